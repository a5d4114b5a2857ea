"""What a dry run measures, as JSON: its last line of output."""

import json
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from tasks.plan.amounts import Amounts


@dataclass(frozen=True)
class Times:
    """Seconds of a whole run, by what a few of its steps took."""

    start: float  # to load the model and read the rows
    training: float
    evaluations: float
    checkpoints: float

    @property
    def total(self) -> float:
        """From the first step on, as timing.json counts them."""
        return self.training + self.evaluations + self.checkpoints


@dataclass(frozen=True)
class Result:
    """A dry run. Sizes are in bytes."""

    amounts: Amounts
    lengths: tuple[int, ...]  # tokens of the training rows, in ascending order
    left_out: int  # rows that are longer than max_length, or cannot be used
    held_out: int  # validation rows
    decayed: int  # weights that a weight decay applies to
    times: Times | None  # None if the run does not fit
    peak: int
    limit: int
    largest: int  # the most rows of a batch that fit
    advice: str  # what to change, if the run does not fit
    disk: int
    disk_free: int


def to_json(result: Result) -> str:
    """A line of JSON."""
    return json.dumps(asdict(result))


def of_json(line: str) -> Result:
    """The result that `to_json` has written."""
    return TypeAdapter(Result).validate_json(line)
