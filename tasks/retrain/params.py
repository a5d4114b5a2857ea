"""The `retrain` section."""

from typing import Annotated

from pydantic import Field

from tasks.section import Section


class Retrain(Section):
    """What starts a retraining, and what holds it back."""

    consider_every: Annotated[float, Field(gt=0, le=10_080, description="minutes")] = 15
    cron: str | None = Field(default=None, description="a schedule of its own in cron's words, such as '0 3 * * 1'; none when empty")
    on_drift: bool = Field(default=True, description="an alarm of the monitor starts one")
    min_quality: dict[str, float] = Field(default={}, description="measure of the monitor (valid_json, category_accuracy): the least that is good enough")
    min_labelled: Annotated[int, Field(ge=1, le=10_000_000, description="new labelled rows that start one by themselves")] = 200
    min_labelled_for_drift: Annotated[int, Field(ge=0, le=10_000_000, description="new labelled rows without which drift waits: there would be nothing to learn from")] = 30
    cooldown: Annotated[float, Field(ge=0, le=8760, description="hours from the start of one to the start of the next")] = 24
    max_runs_per_week: Annotated[int, Field(ge=1, le=1000)] = 3
    max_hours_per_week: Annotated[float, Field(gt=0, le=10_000, description="hours of training (GPU hours, where there is one)")] = 24
    max_share_of_key: Annotated[float, Field(gt=0, le=1, description="share of the harvested rows that one key may bring; more looks planted")] = 0.5
