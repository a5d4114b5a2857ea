"""The `train` section of a model; names are those of transformers."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks.kinds import Kind, KindIn
from tasks.section import Section

Share = Annotated[float, Field(gt=0, le=1, description="share of all steps")]
MOVED = ("r", "lora_alpha", "lora_dropout", "target_modules")


class Train(Section):
    """One training run: what is learnt, which weights learn it, and how."""

    objective: Annotated[Kind, KindIn("tasks.objectives")]
    tuner: Annotated[Kind, KindIn("tasks.tuners")]
    learning_rate: Annotated[float, Field(gt=0, lt=1, description="peak, after warm-up")] = 2.0e-4
    num_train_epochs: Annotated[float, Field(gt=0, le=1000, description="passes over the training rows")] = 2
    per_device_train_batch_size: Annotated[int, Field(ge=1, le=4096, description="rows")] = 8
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=4096)] = 1
    warmup_ratio: Annotated[float, Field(ge=0, lt=1, description="share of all steps")] = 0.1
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    max_grad_norm: Annotated[float, Field(gt=0, description="gradients are clipped to this norm")] = 1.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_length: Annotated[
        int, Field(ge=8, le=1_000_000, description="tokens; longer rows are left out and counted")
    ] = 512
    eval_steps: Share = 0.25
    early_stopping_patience: Annotated[int, Field(ge=1, description="evaluations without a better validation loss")] = 2
    bf16: bool = Field(default=True, description="compute in bfloat16, where this machine does so in hardware")
    seed: Annotated[int, Field(ge=0)] = 42

    @model_validator(mode="before")
    @classmethod
    def _names_the_place_of_what_has_moved(cls, value: Any) -> Any:
        moved = [key for key in MOVED if isinstance(value, dict) and key in value]
        if moved or (isinstance(value, dict) and "method" in value):
            inside = ", ".join(["kind: lora", *(f"{key}: {value[key]}" for key in moved)])
            raise ValueError(
                f"{', '.join(moved or ['method'])} stands under tuner now: write objective: {{kind: sft}} and "
                f"tuner: {{{inside}}} in its place"
            )
        return value
