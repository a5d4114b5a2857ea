"""Image classification: one head per label column on a vision body (Dosovitskiy et al. 2020, arXiv:2010.11929,
section 3.1, whose first token represents the image; for convolutions the mean of the last map).
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Batch, Labelled
from tasks.dataset.rows import Answer, Prepared, Reply, Row
from tasks.models import classes, encoder, vision
from tasks.models.architecture import Architecture
from tasks.models.classes import Classes, Weighed
from tasks.models.vision import ImageReader, Picture, Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

summary = "which class an image has in each label column"
eats = frozenset({"image"})
head: objectives.Head = "classes"
hub_task = "image-classification"
architectures: frozenset[Architecture] = frozenset({"vision"})
needs_parent = False
shares_prefix = False
rate_share = 0.5
watch = ("eval_loss", False)
packs = objectives.never_packs
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer = encoder.load_body, vision.load_reader
check, repeated = classes.check, classes.repeated  # all copies of an image are altered alike
in_windows = True  # every image is scaled to one size, so none is too long


class Params(Weighed):
    """Cross-entropy of each label column, summed."""

    kind: Literal["classify_images"]
    pooling: Literal["auto", "mean", "first"] = Field(
        default="auto",
        description="which tokens represent an image; auto: the first token if the base has a class token, else mean",
    )
    augment: bool = Field(default=True, description="train on a random crop in each epoch, mirrored half of the time")


class Shown(Labelled):
    """An image, which is loaded with its batch and counts as one token."""

    picture: Picture
    augment: bool  # whether it is altered in training


def processor(params: Params, weights: Path, rows: Sequence[Prepared]) -> Classes[ImageReader]:
    """The image processor, and the classes of the training `rows`."""
    return Classes(vision.load_reader(weights), classes.counts(rows))


def encode(params: Params, processor: Classes[ImageReader], row: Prepared) -> Shown:
    """The image, and the number of the class in each column."""
    return {
        "id": row["id"],
        "input_ids": [0],
        "picture": Picture(processor.reader, row),
        "augment": params.augment,
        "labels": processor.labels(row),
    }


def arrange(params: Params, encoded: Sequence[Shown], max_length: int) -> tuple[list[Shown], int]:
    """All rows: none is too long."""
    return list(encoded), 0


def collate(rows: Sequence[Shown], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """pixel_values: (batch, channels, height, width); labels: (batch, columns); input_ids, attention_mask: (batch, 1),
    which count the images.

    Training rows have an `epoch`, which with the row's id seeds the augmentation.
    """
    import torch

    pixels = [row["picture"].pixels(_draw(row)) for row in rows]
    count = torch.ones(len(rows), 1, dtype=torch.long)
    labels = torch.tensor([row["labels"] for row in rows])
    return {"input_ids": 0 * count, "attention_mask": count, "pixel_values": torch.stack(pixels), "labels": labels}


def _draw(row: Shown) -> random.Random | None:
    is_altered = row["augment"] and "epoch" in row
    return random.Random(f"{row['epoch']} {row['id']}") if is_altered else None


def trained_on(encoded: Shown) -> list[bool]:
    """No token: the class is that of the whole image."""
    return [False] * len(encoded["input_ids"])


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """See tasks/models/classes.py."""
    logits = model(pixel_values=batch["pixel_values"])
    return classes.loss(logits, batch["labels"], model.class_weights, params.label_smoothing, num_items)


def with_head(params: Params, body: "nn.Module", processor: Classes[ImageReader]) -> "nn.Module":
    """`body` under new heads, whose weights follow from the seed."""
    from tasks.models.image_classifier import ImageClassifier

    pooling = vision.usual_pooling(body) if params.pooling == "auto" else params.pooling
    return classes.weighed(params, ImageClassifier(body, processor.counts, pooling), processor)


def save_head(model: "nn.Module", folder: Path) -> None:
    """head.safetensors and head.json, see tasks/models/classifier.py."""
    from tasks.models import classifier

    classifier.save(model, "classify_images", folder)


def load_head(body: "nn.Module", trained: Path) -> "nn.Module":
    """`body` under the heads in `trained/`."""
    from tasks.models import classifier
    from tasks.models.image_classifier import ImageClassifier

    model: nn.Module = classifier.load(body, trained, ImageClassifier)
    return model


def log_probabilities(model: "nn.Module", reader: ImageReader, rows: Sequence[Row]) -> "list[Tensor]":
    """(rows, classes) of each column, in nats and fp32."""
    from tasks.models import image_classifier

    images = [reader.of_bytes(vision.content(row)) for row in rows]
    columns: list[Tensor] = image_classifier.log_probabilities(model, images)
    return columns


def predict(model: "nn.Module", reader: ImageReader, images: Sequence[Pixels]) -> list[Reply]:
    """The reply to each image, see tasks/models/image_classifier.py."""
    from tasks.models import image_classifier

    return image_classifier.predict(model, images)


def answer_rows(model: "nn.Module", reader: ImageReader, rows: Sequence[Row]) -> list[Answer]:
    """The model's answer to each of `rows`, see tasks/models/classes.py."""
    return classes.answers(model, log_probabilities(model, reader, rows), rows)
