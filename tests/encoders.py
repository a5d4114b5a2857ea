"""A tiny but real encoder (a BERT of 2 layers) in a folder, and the toy rows with their labels alone."""

import json
from pathlib import Path

from tasks.files import sha256, write_json, write_jsonl
from tasks.stages.prepare.classes import shares
from tasks.stages.prepare.numbers import scales
from tasks.stages.prepare.shapes import scored, spans, tagged
from tasks.stages.prepare.split_or_drop import Placed
from tests import tiny

LABELS = tiny.LABELS
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_base(folder: Path) -> Path:
    """Write `folder/` as tasks/stages/base.py would: safetensors in fp32, tokenizer, source.json; returns it."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.15,
        architectures=["BertModel"],
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights = sha256(folder / "model.safetensors")
    source = {"folder": "tests/encoders", "license": "apache-2.0", "card_name": "anneal/tiny-encoder"}
    write_json(folder / "source.json", {**source, "sha256": weights, "weights_sha256": weights})
    return folder


def _tokenizer() -> object:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertTokenizerFast

    words = {word for row in tiny.things(0, 128) for word in f"{row['size']} {row['thing']}".split()}
    letters = {*"abcdefghijklmnopqrstuvwxyz0123456789", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")}
    names = [*SPECIAL, *sorted(letters | words | set(".,:;!?-[]"))]
    whole = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    whole.normalizer, whole.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    whole.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return BertTokenizerFast(tokenizer_object=whole)


def rows(first: int, count: int) -> list[dict]:
    """Rows as prepare writes them of the shape `labelled`."""
    return [
        {
            "id": row["id"],
            "messages": [{"role": "user", "content": f"{row['size']} {row['thing']}"}],
            "answer": json.dumps({label: row[label] for label in LABELS}),
            "row": row,
        }
        for row in tiny.things(first, count)
    ]


def tagged_rows(first: int, count: int) -> list[dict]:
    """The same of the shape `tagged`: `small , a red apple !`, of which the size and the thing are marked."""
    params = tagged.Params(shape="tagged")
    cells = [(row["id"], [row["size"], ",", *row["thing"].split(), "!"]) for row in tiny.things(first, count)]
    return [
        dict(tagged.example({"id": name, "tokens": json.dumps(tokens), "tags": "B-SIZE O O B-THING I-THING O"}, params))
        for name, tokens in cells
    ]


WEIGHTS = {size: 1.5 * place for place, size in enumerate(tiny.SIZES)}


def scored_rows(first: int, count: int) -> list[dict]:
    """The same of the shape `scored`: how heavy by its size, and how warm by its colour, in other units."""
    params = scored.Params(shape="scored", user="{{ size }} {{ thing }}", numbers=["weight", "warmth"])
    warmth = {"warm": "0.002", "cold": "-1e-3"}
    return [
        dict(scored.example({**row, "weight": str(100 + WEIGHTS[row["size"]]), "warmth": warmth[row["mood"]]}, params))
        for row in tiny.things(first, count)
    ]


def write_scored(folder: Path, n: int) -> Path:
    """Write `folder/` like data/prepared/<dataset>, with these rows."""
    splits = {"train": scored_rows(0, n), "validation": scored_rows(n, 16), "test": scored_rows(n + 16, 16)}
    for name, rows_of in splits.items():
        write_jsonl(folder / f"{name}.jsonl", rows_of)
    params = scored.Params(shape="scored", user="{{ size }} {{ thing }}", numbers=["weight", "warmth"])
    known = scales([Placed(row, "train") for row in splits["train"]], params.numbers)
    write_json(folder / "format.json", {**scored.templates(params), "example": "scored", "numbers": known})
    return folder


def write_tagged(folder: Path, n: int) -> Path:
    """Write `folder/` like data/prepared/<dataset>, with these rows."""
    for name, first, count in (("train", 0, n), ("validation", n, 16), ("test", n + 16, 16)):
        write_jsonl(folder / f"{name}.jsonl", tagged_rows(first, count))
    form = tagged.templates(tagged.Params(shape="tagged"))
    write_json(folder / "format.json", {**form, "shape": "tagged", "example": "tagged"})
    return folder


def span_rows(first: int, count: int) -> list[dict]:
    """The same of the shape `spans`."""
    return [span_row(row) for row in tiny.things(first, count)]


def span_row(row: dict) -> dict:
    """Which colour a thing has, or, of every third, which a lamp has that is not in the context."""
    _, colour, thing = row["thing"].split()
    is_there = int(row["id"][-4:]) % 3 > 0 or thing == "lamp"
    raw = {"question": f"{thing if is_there else 'lamp'}?", "context": f"{row['size']}, a {colour} {thing}! a door."}
    answer = colour if is_there else ""
    params = spans.Params(shape="spans", answer="answer")
    return dict(spans.example({**raw, "id": row["id"], "answer": answer}, params))


def write_spans(folder: Path, n: int) -> Path:
    """Write `folder/` like data/prepared/<dataset>, with these rows."""
    for name, first, count in (("train", 0, n), ("validation", n, 16), ("test", n + 16, 16)):
        write_jsonl(folder / f"{name}.jsonl", span_rows(first, count))
    form = spans.templates(spans.Params(shape="spans"))
    write_json(folder / "format.json", {**form, "shape": "spans", "example": "spans", "answered": 2 / 3})
    return folder


def write_prepared(folder: Path, n: int) -> Path:
    """Write `folder/` like data/prepared/<dataset>, see tests/tiny.py."""
    held_out = max(8, n // 4)
    splits = {"train": rows(0, n), "validation": rows(n, held_out), "test": rows(n + held_out, held_out)}
    for name, split in splits.items():
        write_jsonl(folder / f"{name}.jsonl", split)
    write_jsonl(folder / "dropped.jsonl", [])
    kept = [Placed(row, "train") for row in splits["train"]]
    form = {
        "system": None,
        "user": "{{ size }} {{ thing }}",
        "answer": LABELS,
        "shape": "labelled",
        "example": "labelled",
    }
    write_json(folder / "format.json", {**form, "classes": shares(kept, LABELS)})
    return folder
