"""The `predict` section of a model."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.section import Section


class Predict(Section):
    """How the held-out rows are asked: the tuned model, its parent and the champion alike."""

    max_new_tokens: Annotated[int, Field(ge=1, le=100_000, description="tokens of the longest answer")] = 128
    tool_turns: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="most earlier tool-calling turns of a dialogue that are evaluated as well",
        ),
    ] = 4
    per_device_eval_batch_size: Annotated[int, Field(ge=1, le=4096, description="rows; fewer if they are long")] = 32
    engine: Literal["auto", "transformers", "vllm"] = Field(
        default="auto",
        description="what generates the answers; auto: vLLM on a GPU where it supports the model, "
        "transformers otherwise",
    )
