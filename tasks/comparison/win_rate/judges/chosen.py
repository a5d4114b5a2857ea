"""Which judge a command names: the table of kinds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.comparison.win_rate.judges import Judge

if TYPE_CHECKING:
    from tasks.params import Params


@dataclass(frozen=True)
class Request:
    """A win rate as a command asks for it: two models, the kind of judge and which one (`using`), the dataset of the
    prompts and the most of them, and the temperature and seed of the answers (0: the likeliest tokens). `file` is a
    sheet that came back from a `reader`, who may be a model.
    """

    model: str
    against: str
    by: str = "rubric"
    using: str = ""
    on: str = ""
    rows: int | None = None
    temperature: float = 0.0
    seed: int = 42
    file: Path | None = None
    reader: str = ""
    is_model: bool = False


@dataclass(frozen=True)
class Chosen:
    """A judge; `name` is that of its folder, `stages` what must be up to date before it judges, and `made_of` (called
    after them) what its verdicts rest on.
    """

    name: str
    judge: Judge
    stages: list[str]
    made_of: Callable[[], Mapping[str, object]] = field(default=dict)


Choose = Callable[["Params", Request], Chosen]  # ParamsError when params.yaml has no such judge
