"""Texts and rows, how they are divided, and one run of prepare over them."""

import random
from pathlib import Path

from tasks.dataset.prepared import SPLITS
from tasks.files import read_jsonl, write_json, write_jsonl
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.split import split
from tasks.stages.prepare.split_or_drop import assign

PARAMS = Prepare(
    system="Triage.",
    user="{{ subject }}: {{ body }}",
    answer=["category", "reply"],
    validation_share=0.2,
    test_share=0.3,
)
SUITE = [
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "split", "value_set": list(SPLITS)}},
    {"type": "expect_column_values_to_be_json_parseable", "kwargs": {"column": "answer"}},
]
WORDS = (
    "amber boat cedar dusk ember frost grove heron inlet jade kelp lark maple north otter pearl quartz river "
    "slate thorn umber vale willow yarrow zephyr"
).split()


def bodies(count: int, seed: int = 0) -> list[str]:
    """Texts of 12 words, none like another."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=12)) for _ in range(count)]


def raw(count: int) -> list[dict]:
    """`count` rows as validate leaves them, none like another."""
    return [
        {
            "id": f"r{number:03}",
            "subject": f"case {number}",
            "body": body,
            "category": "billing",
            "reply": f"Reply {number}.",
        }
        for number, body in enumerate(bodies(count))
    ]


def row(text: str, identity: str = "r", answer: str = "a") -> dict:
    """A formatted row whose prompt is `text`."""
    return {
        "id": identity,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": text}],
        "answer": answer,
        "row": {"id": identity, "subject": "", "body": text, "reply": answer},
    }


def assigned(texts: list[str], params: Prepare = PARAMS) -> tuple[dict[str, str], dict[str, str]]:
    """({text: split} of the kept, {text: reason} of the dropped); the id of a row is its text."""
    assignment = assign([row(text, text) for text in texts], params)
    return {placed.row["id"]: placed.split for placed in assignment.kept}, {
        dropped.row["id"]: dropped.reason for dropped in assignment.dropped
    }


def of_split(name: str, base: str, params: Prepare = PARAMS) -> str:
    """`base` with the first number after it that puts the text into the split `name`."""
    return next(
        text
        for number in range(1000)
        if split(text := f"{base} {number}", params.seed, params.validation_share, params.test_share) == name
    )


def run(
    folder: Path, rows: list[dict], params: Prepare = PARAMS, suite: list[dict] = SUITE, limits: dict | None = None
) -> dict[str, list[dict]]:
    """The rows of each split and the dropped ones, after prepare has run in `folder`."""
    write_jsonl(folder / "in" / "rows.jsonl", rows)
    write_json(
        folder / "in" / "limits.json",
        {"rows": len(rows), "quarantined": 0, "max_quarantined_share": 0.02} | (limits or {}),
    )
    write_json(folder / "suite.json", {"expectations": suite})
    prepare(params, folder / "in", folder / "suite.json", folder / "out", folder / "docs", folder / "report.json")
    return {name: read_jsonl(folder / "out" / f"{name}.jsonl") for name in (*SPLITS, "dropped")}


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """|a ∩ b| / |a ∪ b|."""
    return len(a & b) / len(a | b)
