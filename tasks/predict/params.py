"""The `predict` section of a model."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.section import Section


class Predict(Section):
    """How the held-out rows are asked: the tuned model, its parent and the champion alike."""

    max_new_tokens: Annotated[int, Field(ge=1, le=100_000, description="tokens an answer may have")] = 128
    tool_turns: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="earlier turns of a dialogue that call tools and are asked as well; of more, so many of them",
        ),
    ] = 4
    per_device_eval_batch_size: Annotated[int, Field(ge=1, le=4096, description="rows; fewer where they are long")] = 32
    engine: Literal["auto", "transformers", "vllm"] = Field(
        default="auto",
        description="what writes the answers; auto: vLLM where there is a GPU and it can, and transformers elsewhere",
    )
