"""The `evaluate` section of a model."""

from typing import Annotated

from pydantic import Field

from tasks.section import Section


class Evaluate(Section):
    """What is measured in the answers, and how."""

    labels: list[str] = Field(default=[], description="columns of the answer that hold one of a few classes")
    texts: list[str] | None = Field(
        default=None, description="columns of the answer that hold free text; all that are nothing else when not given"
    )
    numbers: list[str] = Field(default=[], description="columns of the answer that hold a number")
    tags: list[str] = Field(
        default=[], description="columns of the answer that hold a tag for each token (`B-PER I-PER O`), blanks between"
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="of the intervals")] = 0.95
    bootstrap_resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0, description="of the bootstrap")] = 42
