"""Shared by objectives that learn from answers which the model writes while it is trained: their rows are prompts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Prompted
from tasks.dataset.rows import Prepared
from tasks.dialogues import chat
from tasks.section import Section

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

EATS = frozenset({"chat", "preference", "rated"})  # prompts; their own answers only say what a rubric compares with


class Limits(Section):
    """Where a training by reward stops although its reward rises; null for no limit."""

    kl: Annotated[float, Field(gt=0, le=100, description="nats a token that the model may depart from its parent")] | (
        None
    ) = 1.0
    length: (
        Annotated[float, Field(ge=1, le=1000, description="times as long as in the first steps that answers may get")]
        | None
    ) = 2.0
    repetition: (
        Annotated[float, Field(ge=0, lt=1, description="by how much the share of repeated words may grow")] | None
    ) = 0.2
    held_out: (
        Annotated[float, Field(ge=0, lt=1, description="by how much what is measured and not rewarded may fall")] | None
    ) = 0.1
    window: int = Field(
        default=10, ge=3, le=1000, description="first steps, and last ones, that are compared; fewer than it takes to learn"
    )


class Completed(Protocol):
    """Settings with the longest answer."""

    @property
    def max_completion_length(self) -> int:
        """Tokens."""
        ...


class Sampled(Section):
    """How answers are sampled, and how often they are learnt from; names are trl's."""

    max_completion_length: Annotated[
        int, Field(ge=1, le=100_000, description="tokens; with the prompt at most max_length")
    ] = 128
    temperature: Annotated[float, Field(gt=0, le=10, description="of the sampled answers")] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1, description="sample from the likeliest tokens of this probability")] = 1.0
    num_iterations: Annotated[int, Field(ge=1, le=64, description="optimizer steps on the same answers")] = 1
    epsilon: Annotated[float, Field(gt=0, lt=1, description="ratios are clipped to 1 ± epsilon")] = 0.2
    epsilon_high: Annotated[float, Field(gt=0, lt=10, description="the same upwards, if it is not epsilon")] | None = (
        None
    )
    mask_truncated_completions: bool = Field(
        default=False, description="learn nothing from answers that reach max_completion_length"
    )
    limits: Limits = Field(default=Limits(), description="where the training stops although its reward rises")

    def settings(self) -> dict[str, object]:
        """The arguments of trl's config for the kind; beta is given apart, since it needs a reference."""
        return self.model_dump(exclude={"kind", "beta", "limits"})


def encode(params: Section, tokenizer: "Tokenizer", row: Prepared) -> Prompted:
    """The prompt as a server renders it; the row is kept for the rubric."""
    return {"id": row["id"], "input_ids": chat.encode_question(tokenizer, row), "row": row}


def arrange(params: Completed, encoded: Sequence[Prompted], max_length: int) -> tuple[list[Prompted], int]:
    """(the prompts that leave room for an answer, the number of others)."""
    return objectives.fitting(encoded, max_length - params.max_completion_length)


def trained_on(encoded: Prompted) -> list[bool]:
    """None of a prompt: what is trained on is written later."""
    return [False] * len(encoded["input_ids"])

