"""The section `sweeps.<model>`: which settings of a training are tried, how, and for how long."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.section import Section

Number = int | float


class Tried(Section):
    """The values of a setting that are tried: between `low` and `high` (whole numbers if both are), or `choices`, or a
    multiple of another setting, `{times: 2, of: tuner.r}`.
    """

    low: Number | None = None
    high: Number | None = None
    log: bool = Field(default=False, description="draw the logarithm evenly")
    step: Number | None = Field(default=None, description="distance of the values tried; a grid needs it")
    choices: list[bool | int | float | str] | None = Field(default=None, min_length=2, max_length=100)
    times: float | None = Field(default=None, gt=0, le=1000, description="multiple of another setting")
    of: str | None = Field(default=None, description="that setting, which the space tries as well")

    @model_validator(mode="after")
    def _is_of_one_form(self) -> "Tried":
        values = {name: getattr(self, name) for name in type(self).model_fields}
        given = {name for name, value in values.items() if value is not None and value is not False}
        forms = ({"low", "high"}, {"choices"}, {"times", "of"})
        if given - {"log", "step"} not in forms or (given & {"log", "step"} and self.low is None):
            raise ValueError("write low and high (with log or step), or choices, or times and of")
        return self

    @model_validator(mode="after")
    def _is_a_range(self) -> "Tried":
        if self.low is None or self.high is None:
            return self
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g}, and high is {self.high:g}: low must be below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low:g}, which has no logarithm: leave log out, or raise low above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other: leave one of them out")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step is {self.step:g}; it should be above 0 and at most high - low")
        if self.is_whole and isinstance(self.step, float):
            raise ValueError(f"step is {self.step:g}, and low and high are whole numbers: write a whole step")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def is_drawn(self) -> bool:
        """Whether it is no multiple of another setting."""
        return self.times is None

    @property
    def extremes(self) -> list[bool | int | float | str]:
        """Both ends, or all choices; none of a multiple."""
        return self.choices or [end for end in (self.low, self.high) if end is not None]

    @property
    def needs_step(self) -> bool:
        """Whether a grid has no points of it."""
        return self.low is not None and self.step is None


class Sweep(Section):
    """A row of `sweeps`, named as its model: trials train for a short while, the best ones (finalists) in full."""

    space: Annotated[
        dict[str, Tried],
        Field(min_length=1, description="setting of the section `train`, as in tuner.r: the values to try"),
    ]
    sampler: Literal["tpe", "grid", "random"] = Field(
        default="tpe", description="who chooses: the tree-structured Parzen estimator, every combination, or chance"
    )
    trials: Annotated[int, Field(ge=2, le=10_000, description="trainings to compare")] = 20
    seconds: Annotated[float, Field(ge=1, description="of a trial at most, start and evaluations included")] | None = (
        None
    )
    steps: Annotated[int, Field(ge=1, description="of the model's own batches; all trials see as many rows")] | None = (
        None
    )
    evaluations: Annotated[int, Field(ge=1, le=100, description="of a trial, at which it may be pruned")] = 4
    pruner: Literal["median", "hyperband", "none"] = Field(
        default="median", description="who stops a trial early: median (worse than half of the others at this point)"
    )
    at_once: Annotated[
        int, Field(ge=1, le=256, description="trials side by side; by default as many as there is room for")
    ] | (None) = None
    finalists: Annotated[int, Field(ge=1, le=20, description="best trials that are trained in full")] = 3
    held_back: Annotated[
        float, Field(gt=0, lt=1, description="share of the validation rows that no trial sees, to judge the finalists")
    ] = 0.5
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42

    @model_validator(mode="after")
    def _is_limited_in_one_way(self) -> "Sweep":
        if self.seconds is not None and self.steps is not None:
            raise ValueError("seconds and steps both limit a trial: leave one of them out")
        return self

    def only(self, key: str) -> "Sweep":
        """The sweep of one setting, and of those that are multiples of it."""
        kept = {name: entry for name, entry in self.space.items() if key in (name, entry.of)}
        return self.model_copy(update={"space": kept})

    @property
    def is_short(self) -> bool:
        """Whether trials are shorter than a training in full."""
        return self.seconds is not None or self.steps is not None
