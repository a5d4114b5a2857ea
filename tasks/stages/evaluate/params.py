"""The `evaluate` section of a model."""

from typing import Annotated

from pydantic import Field

from tasks.section import Section


class Evaluate(Section):
    """Which columns of the answers are measured, and how."""

    labels: list[str] = Field(default=[], description="answer columns that hold one of a few classes")
    texts: list[str] | None = Field(
        default=None, description="answer columns that hold free text; by default all that hold nothing else"
    )
    numbers: list[str] = Field(default=[], description="answer columns that hold a number")
    tags: list[str] = Field(
        default=[], description="answer columns that hold a tag per token, separated by spaces (`B-PER I-PER O`)"
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="level of the confidence intervals")] = 0.95
    bootstrap_resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0, description="seed of the bootstrap")] = 42
