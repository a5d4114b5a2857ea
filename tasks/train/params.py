"""The `train` section of a model; names are those of transformers and peft."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.section import Section

Share = Annotated[float, Field(gt=0, le=1, description="share of all steps")]


class Train(Section):
    """One training run: LoRA on the linear layers, loss on the answer only."""

    method: Literal["lora"] = "lora"
    r: Annotated[int, Field(ge=1, le=512, description="rank of the adapter")] = 16
    lora_alpha: Annotated[int, Field(ge=1, le=4096, description="the update is scaled by lora_alpha / r")] = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
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
