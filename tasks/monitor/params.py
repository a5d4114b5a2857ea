"""The `monitor` section."""

from typing import Annotated

from pydantic import Field

from tasks.section import Section


class Monitor(Section):
    """How often each task is checked, and how rarely an alarm may be false."""

    check_every: Annotated[float, Field(gt=0, le=10_080, description="minutes")] = 60
    false_alarms_per_year: Annotated[
        float, Field(gt=0, lt=1, description="probability of any false alarm in a year without drift, per model")
    ] = 0.005
    reference_rows: Annotated[
        int, Field(ge=50, le=100_000, description="most rows of training and evaluation kept as reference")
    ] = 2000
    report_rows: Annotated[
        int, Field(ge=20, le=100_000, description="most recent requests shown in a check's report")
    ] = 500
    permutations: Annotated[
        int, Field(ge=99, le=100_000, description="permutations of the two-sample test in a report")
    ] = 999
