"""Shared by all shapes of the `prepare` section of a dataset."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.section import Section

Share = Annotated[float, Field(gt=0, lt=1, description="share of rows")]
Similarity = Annotated[float, Field(gt=0, le=1, description="Jaccard similarity of 5-character shingles")]

System = Annotated[str, Field(min_length=1, description="system message for every row; none by default")] | None
Role = Literal["system", "user", "assistant", "tool"]


class Prepare(Section):
    """How rows are split and deduplicated; the shape decides how they become prompts and answers."""

    seed: Annotated[int, Field(ge=0, description="seed of the split")] = 42
    validation_share: Annotated[float, Field(gt=0, lt=1, description="share of rows, used for early stopping")] = 0.1
    test_share: Share = 0.2
    near_duplicate_similarity: Similarity = 0.8
    contamination_similarity: Similarity = 0.6

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share + test_share leave nothing to train on; together they must be below 1")
        return self


class Pairs(Prepare):
    """The columns of a prompt and two answers, for the shapes of preferences."""

    prompt: str = Field(
        default="prompt", min_length=1, description="column; not needed if the answers are whole dialogues"
    )
    chosen: str = Field(default="chosen", min_length=1, description="column")
    rejected: str = Field(default="rejected", min_length=1, description="column")
    system: System = None
    system_column: str = Field(default="system", min_length=1, description="column, if the rows have it")
    roles: dict[str, Role] = Field(default={}, description="your names for the standard roles: {human: user}")
