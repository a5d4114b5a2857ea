"""The held-out prompts of a win rate: test rows that neither model, nor one that it was tuned from, was trained on."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.dataset.rows import Prepared, prompt
from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.texts.clean import folded

TRAINED_ON = ("train.jsonl", "validation.jsonl")


@dataclass(frozen=True)
class Prompts:
    """`rows` in the order of the test split; counts of those `seen` in training, and of `repeated` prompts."""

    rows: list[Prepared]
    seen: int
    repeated: int


def held_out(prepared: Path, trained_on: Iterable[Path], most: int | None) -> Prompts:
    """The test rows of `prepared` without those whose prompt is in the training or validation rows of `trained_on`,
    each prompt once; at most `most`, by a hash of their ids. AnnealError where none are left.
    """
    every: list[Prepared] = read_jsonl(prepared / "test.jsonl")
    if not every or not all(row["messages"] for row in every):
        raise AnnealError(
            f"{prepared}/test.jsonl has no prompts to answer: a win rate is of answers; name a dataset of chats, "
            "tables or pairs (ON=…)."
        )
    known = prompts_in(trained_on)
    new = [row for row in every if folded(prompt(row)) not in known]
    firsts = dict[str, Prepared]()
    for row in new:
        firsts.setdefault(folded(prompt(row)), row)
    once = list(firsts.values())
    if not once:
        raise AnnealError(
            f"all {len(every)} test rows of {prepared} were trained on by one of the two models or those it was "
            "tuned from: name a dataset that both held out (ON=…)."
        )
    drawn = sorted(once, key=lambda row: hashlib.sha256(str(row["id"]).encode()).hexdigest())[:most]
    ids = {row["id"] for row in drawn}
    return Prompts([row for row in once if row["id"] in ids], len(every) - len(new), len(new) - len(once))


def prompts_in(trained_on: Iterable[Path]) -> set[str]:
    """The prompts of the training and validation rows in these folders, as texts that look alike are equal."""
    files = [folder / name for folder in trained_on for name in TRAINED_ON]
    return {folded(prompt(row)) for file in files if file.exists() for row in read_jsonl(file)}
