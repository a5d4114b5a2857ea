"""Rows with several sampled answers, as the stage `sample` writes them."""

from pathlib import Path
from typing import TypedDict, cast

from tasks.dataset.rows import Prepared
from tasks.files import read_jsonl

FILE = "samples.jsonl"


class SampledAnswer(TypedDict):
    """An answer, with the beginning that a cascade has given."""

    text: str
    temperature: float
    tokens: int  # without the end
    finished: bool  # False: cut off at the limit


class Sampled(Prepared):
    """A prepared row, and the answers to it."""

    answers: list[SampledAnswer]


def read(folder: Path) -> list[Sampled]:
    """The rows in the output folder of `sample`."""
    return cast(list[Sampled], read_jsonl(folder / FILE))
