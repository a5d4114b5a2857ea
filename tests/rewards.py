"""Toy pairs, of which the short and polite answer is the better one, as a source and as prepared rows."""

from pathlib import Path

from tasks.files import write_json, write_jsonl
from tasks.stages.prepare import classes
from tasks.stages.prepare.shapes import choice
from tasks.stages.prepare.split_or_drop import Placed
from tests import tiny

PARAMS = choice.Params(shape="choice")


def pairs(first: int, count: int) -> list[dict]:
    """Rows of a source: a thing, the shelf of its colour as the better answer, and another shelf, or a worse word."""
    colours = list(tiny.COLOURS)
    rows = []
    for number, thing in enumerate(tiny.things(first, count)):
        other = colours[(colours.index(thing["colour"]) + 1 + number % 3) % 4]
        rows.append(
            {
                "id": thing["id"],
                "prompt": f"{thing['size']} {thing['thing']}",
                "chosen": thing["reply"],
                "rejected": f"No {other} shelf.",
            }
        )
    return rows


def rows(first: int, count: int, **more: str) -> list[dict]:
    """The same as prepare writes them."""
    return [dict(choice.example({**row, **more}, PARAMS)) for row in pairs(first, count)]


def joined(prompt: list[dict], answers: list[str]) -> list[dict]:
    """The messages of a choice between `answers`."""
    return [*prompt, *({"role": "assistant", "content": answer} for answer in answers)]


def write_prepared(folder: Path, n: int, held_out: int = 16) -> Path:
    """Write `folder/` like data/prepared/<dataset>."""
    splits = {"train": rows(0, n), "validation": rows(n, held_out), "test": rows(n + held_out, held_out)}
    for name, split in splits.items():
        write_jsonl(folder / f"{name}.jsonl", split)
    write_jsonl(folder / "dropped.jsonl", [])
    known = classes.shares([Placed(row, "train") for row in splits["train"]], PARAMS.labels)
    form = {**choice.templates(PARAMS), "shape": "choice", "example": "choice", "classes": known}
    write_json(folder / "format.json", form)
    return folder
