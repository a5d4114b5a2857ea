"""The `retrain` section."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.section import Section

Share = Annotated[float, Field(ge=0, le=1, description="share of answers")]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Retrain(Section):
    """What starts a retraining, and what holds it back."""

    consider_every: Annotated[float, Field(gt=0, le=10_080, description="minutes")] = 15
    cron: str | None = Field(
        default=None, description="a schedule of its own in cron's words (UTC), such as '0 3 * * 1'; none when empty"
    )
    on_drift: bool = Field(default=True, description="an alarm of the monitor starts one")
    min_quality: dict[str, Share] = Field(
        default={}, description="measure of the monitor (valid, category_accuracy): the least that is good enough"
    )
    min_labelled: Annotated[
        int, Field(ge=1, le=10_000_000, description="new labelled rows that start one by themselves")
    ] = 200
    min_labelled_for_drift: Annotated[
        int,
        Field(
            ge=0,
            le=10_000_000,
            description="new labelled rows without which drift and low quality wait: there would be nothing to learn "
            "from",
        ),
    ] = 30
    cooldown: Annotated[
        float, Field(ge=0, le=8760, description="hours from the start of one to the start of the next")
    ] = 24
    max_runs_per_week: Annotated[int, Field(ge=1, le=1000, description="of one task")] = 3
    max_hours_per_week: Annotated[
        float,
        Field(gt=0, le=10_000, description="hours of training, of all tasks together (GPU hours, where there is one)"),
    ] = 24
    max_share_of_key: Annotated[
        float, Field(gt=0, le=1, description="share of the harvested rows that one key may bring; more looks planted")
    ] = 0.5

    @model_validator(mode="after")
    def _has_a_schedule_that_can_be_read(self) -> Self:
        if self.cron is not None:
            from cronsim import CronSim, CronSimError

            try:
                CronSim(self.cron, EPOCH)
            except CronSimError:
                raise ValueError(
                    f"cron is '{self.cron}', which is no schedule; write minute, hour, day, month and weekday, such "
                    "as '0 3 * * 1'"
                ) from None
        return self
