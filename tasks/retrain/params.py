"""The `retrain` section."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.section import Section

Share = Annotated[float, Field(ge=0, le=1, description="share of answers")]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Retrain(Section):
    """When a retraining starts, and what prevents it."""

    consider_every: Annotated[float, Field(gt=0, le=10_080, description="minutes")] = 15
    cron: str | None = Field(
        default=None, description="an extra schedule as a cron expression (UTC), such as '0 3 * * 1'"
    )
    on_drift: bool = Field(default=True, description="whether an alarm of the monitor starts a retraining")
    min_quality: dict[str, Share] = Field(
        default={}, description="measure of the monitor (valid, category_accuracy): the lowest acceptable value"
    )
    min_labelled: Annotated[
        int, Field(ge=1, le=10_000_000, description="new labelled rows that start a retraining on their own")
    ] = 200
    min_labelled_for_drift: Annotated[
        int,
        Field(
            ge=0,
            le=10_000_000,
            description="new labelled rows needed before drift or low quality starts a retraining",
        ),
    ] = 30
    min_pairs: Annotated[
        int, Field(ge=2, le=10_000_000, description="pairs of answers before a model that learns from them is trained")
    ] = 50
    min_ratings: Annotated[
        int,
        Field(
            ge=1,
            le=10_000_000,
            description="good ratings, and as many bad ones, before a model that learns from them is trained; as many "
            "new ones start a retraining",
        ),
    ] = 50
    cooldown: Annotated[float, Field(ge=0, le=8760, description="hours between the starts of two retrainings")] = 24
    max_runs_per_week: Annotated[int, Field(ge=1, le=1000, description="retrainings of one model")] = 3
    max_hours_per_week: Annotated[
        float,
        Field(gt=0, le=10_000, description="hours of training, all models together (GPU hours if there is a GPU)"),
    ] = 24
    max_share_of_key: Annotated[
        float,
        Field(
            gt=0, le=1, description="share of the harvested rows that may come from one key; more looks like poisoning"
        ),
    ] = 0.5

    @model_validator(mode="after")
    def _has_a_schedule_that_can_be_read(self) -> Self:
        if self.cron is not None:
            from cronsim import CronSim, CronSimError

            try:
                CronSim(self.cron, EPOCH)
            except CronSimError:
                raise ValueError(
                    f"cron is '{self.cron}', which is not a schedule; write minute, hour, day, month and weekday, such "
                    "as '0 3 * * 1'"
                ) from None
        return self
