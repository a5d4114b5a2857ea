"""A tiny but real ViT (2 layers, 32 pixels) in a folder, and images of coloured shapes, drawn from their numbers."""

import json
import random
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.dataset import answered
from tasks.files import sha256, write_json, write_jsonl
from tasks.stages.prepare.classes import shares
from tasks.stages.prepare.shapes import image as shape
from tasks.stages.prepare.split_or_drop import Placed
from tasks.texts import pixels

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 70, 200)}
FORMS = ("disc", "bar")
LABELS = ["colour", "form"]
PARAMS = shape.Params(shape="image", labels=LABELS)


def make_base(folder: Path) -> Path:
    """Write `folder/` as tasks/stages/base.py would: safetensors in fp32, image processor, source.json; returns it."""
    import torch
    from transformers import ViTConfig, ViTModel

    folder.mkdir(parents=True, exist_ok=True)
    config = ViTConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        initializer_range=0.15,
        architectures=["ViTModel"],
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    write_processor(folder)
    weights = sha256(folder / "model.safetensors")
    source = {"folder": "tests/pictures", "license": "apache-2.0", "card_name": "anneal/tiny-vit"}
    write_json(folder / "source.json", {**source, "sha256": weights, "weights_sha256": weights})
    return folder


def write_processor(folder: Path, side: int = 32) -> None:
    """Write a preprocessor_config.json as hubs have it."""
    own = {"do_resize": True, "size": {"height": side, "width": side}, "resample": 2, "do_normalize": True}
    scale = {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    write_json(folder / "preprocessor_config.json", {"image_processor_type": "ViTImageProcessor", **own, **scale})


def drawn(number: int) -> "tuple[Image, str, str]":
    """(image, colour, form) of a number: its place, size and background are drawn from it."""
    from PIL import Image, ImageDraw

    draw = random.Random(number)
    colour, form = list(COLOURS)[number % len(COLOURS)], FORMS[number // len(COLOURS) % len(FORMS)]
    picture = Image.new("RGB", (40 + draw.randint(0, 16), 40), tuple(draw.randint(200, 255) for _ in range(3)))
    left, top, size = draw.randint(2, 10), draw.randint(2, 10), draw.randint(18, 24)
    pen, fill = ImageDraw.Draw(picture), tuple(value + draw.randint(-20, 20) for value in COLOURS[colour])
    if form == "disc":
        pen.ellipse((left, top, left + size, top + size), fill=fill)
    else:
        pen.rectangle((left, top + size // 2, left + size, top + size // 2 + 4), fill=fill)
    return picture, colour, form


def write_images(folder: Path, count: int, first: int = 0) -> list[dict[str, str]]:
    """Write images into `folder`; `{id, image, colour, form}` of each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + count):
        picture, colour, form = drawn(number)
        file = folder / f"{number}.png"
        picture.save(file)
        rows.append({"id": f"p{number}", "image": file.as_posix(), "colour": colour, "form": form})
    return rows


def write_folders(folder: Path, count: int) -> Path:
    """Write `folder/` with a folder a colour."""
    for number in range(count):
        picture, colour, _ = drawn(number)
        (folder / colour).mkdir(parents=True, exist_ok=True)
        picture.save(folder / colour / f"{number}.png")
    return folder


def write_prepared(folder: Path, counts: Mapping[str, int]) -> Path:
    """Write `folder/` like data/prepared/<dataset>, with so many rows in each split, and the images beside it."""
    made = iter([dict(shape.example(row, PARAMS)) for row in write_images(folder / "images", sum(counts.values()))])
    splits = {name: list(islice(made, count)) for name, count in counts.items()}
    for name, split in splits.items():
        write_jsonl(folder / f"{name}.jsonl", split)
    write_jsonl(folder / "dropped.jsonl", [])
    known = shares([Placed(row, "train") for row in splits["train"]], LABELS)
    form = {**shape.templates(PARAMS), "shape": "image", "example": "image", "classes": known}
    write_json(folder / "format.json", form)
    return folder


def prediction_of(row: dict) -> dict:
    """The row as it was asked, answered rightly."""
    known = {column: {label: 1.0} for column, label in json.loads(row["answer"]).items()}
    return {**answered.row_of(row), "text": row["answer"], "finished": True, "token_ids": [], "probabilities": known}


def content(number: int, kind: str = "PNG") -> bytes:
    """The bytes of a drawn image."""
    import io

    buffer = io.BytesIO()
    drawn(number)[0].save(buffer, kind)
    raw = buffer.getvalue()
    pixels.decode(raw)
    return raw
