"""The `monitor` section."""

from typing import Annotated

from pydantic import Field

from tasks.section import Section


class Monitor(Section):
    """How often each task is checked, and how seldom a check may be wrong."""

    check_every: Annotated[float, Field(gt=0, le=10_080, description="minutes")] = 60
    false_alarms_per_year: Annotated[
        float, Field(gt=0, lt=1, description="chance of one false alarm or more in a year of a task without drift")
    ] = 0.005
    reference_rows: Annotated[
        int, Field(ge=50, le=100_000, description="rows of training and evaluation that are kept as reference, at most")
    ] = 2000
    report_rows: Annotated[int, Field(ge=20, le=100_000, description="latest requests in the report of a check")] = 500
    permutations: Annotated[int, Field(ge=99, le=100_000, description="of the two-sample test in a report")] = 999
