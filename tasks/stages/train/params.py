"""The `train` section of a model; names are those of transformers."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tasks.kinds import Kind, KindIn
from tasks.section import Section, suggestion

Share = Annotated[float, Field(gt=0, le=1, description="share of all steps")]
# The optimizers of transformers that the locked libraries provide, and the arguments that each takes in optim_args.
OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "adamw_torch": (),
    "adamw_torch_fused": (),
    "adamw_8bit": (),
    "adamw_bnb_8bit": (),
    "paged_adamw_8bit": (),
    "paged_adamw_32bit": (),
    "adafactor": (),
    "sgd": ("momentum", "dampening", "nesterov"),
    "adagrad": ("lr_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "centered"),
    "lion_8bit": (),
    "lion_32bit": (),
    "paged_lion_8bit": (),
    "paged_lion_32bit": (),
}


def _optimizer(name: str) -> str:
    if name not in OPTIMIZERS:
        raise ValueError(f"there is no optimizer `{name}`{suggestion(name, OPTIMIZERS).rstrip('.')}")
    return name


class Guards(Section):
    """What is done about a training that goes wrong (tasks/stages/train/guards); null for nothing."""

    spike: Annotated[float, Field(gt=0, le=1000, description="standard deviations above the latest losses")] | None = (
        10.0
    )
    diverged: Annotated[float, Field(gt=1, le=1000, description="times the loss of the first steps")] | None = 1.5
    in_a_row: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="bad steps after each other with which training goes back to better weights",
    )
    max_returns: int = Field(default=3, ge=0, le=100, description="how often it may go back before it stops")
    slower: float = Field(default=0.5, gt=0, le=1, description="factor on the learning rate after going back")
    overfitted: (
        Annotated[float, Field(gt=0, le=100, description="share of its minimum by which the validation loss rises")]
        | None
    ) = 0.1
    memorised: (
        Annotated[
            float,
            Field(
                gt=0,
                le=1,
                description="share of training answers repeated word by word, above that of validation answers",
            ),
        ]
        | None
    ) = 0.5
    forgotten: (
        Annotated[float, Field(gt=1, le=1000, description="times the perplexity of general text before training")]
        | None
    ) = 1.5


class Train(Section):
    """One training run: what is learnt, which weights learn it, and how."""

    objective: Annotated[Kind, KindIn("tasks.objectives")]
    tuner: Annotated[Kind, KindIn("tasks.tuners")]
    learning_rate: Annotated[float, Field(gt=0, lt=1, description="peak rate, after warm-up")] = 2.0e-4
    num_train_epochs: Annotated[float, Field(gt=0, le=1000, description="passes over the training rows")] = 2
    per_device_train_batch_size: Annotated[int, Field(ge=1, le=4096, description="rows")] = 8
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=4096)] = 1
    warmup_ratio: Annotated[float, Field(ge=0, lt=1, description="share of all steps")] = 0.1
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup", "slanted_triangular"] = "cosine"
    max_grad_norm: Annotated[float, Field(gt=0, description="clip gradients to this norm")] = 1.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="share of activations to drop; by default the base's own"
    )
    max_length: Annotated[int, Field(ge=8, le=1_000_000, description="tokens; longer rows are dropped and counted")] = (
        512
    )
    eval_steps: Share = 0.25
    load_best_model_at_end: bool = Field(
        default=True,
        description="stop early and keep the checkpoint with the lowest validation loss; false: train to "
        "the end and keep the final weights, if few rows are held out",
    )
    early_stopping_patience: Annotated[
        int, Field(ge=1, description="evaluations without a better validation loss before stopping")
    ] = 2
    bf16: bool = Field(default=True, description="compute in bfloat16 where the hardware supports it")
    fp16: bool = Field(default=False, description="compute in float16 with loss scaling; GPU only")
    gradient_checkpointing: bool = Field(default=False, description="recompute activations to save memory")
    fsdp: bool = Field(
        default=False,
        description="divide weights, gradients and optimizer among the processes, for a model that one device cannot "
        "hold; needs several",
    )
    optim: Annotated[str, AfterValidator(_optimizer)] = "adamw_torch_fused"
    optim_args: str | None = Field(default=None, description="`momentum=0.9, nesterov=true` of sgd, for example")
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    adam_epsilon: Annotated[float, Field(gt=0, lt=1)] = 1.0e-8
    seed: Annotated[int, Field(ge=0)] = 42
    report_to: list[Literal["tensorboard", "wandb"]] = Field(
        default=[],
        description="trackers beside MLflow, if they are installed; both write to `.anneal/trackers` only",
    )
    guards: Guards = Field(default=Guards(), description="what is done about a training that goes wrong")

    @model_validator(mode="after")
    def _computes_in_one_way(self) -> "Train":
        if self.fp16 and self.bf16:
            raise ValueError("fp16 is true, and bf16 is true by default: write bf16: false beside fp16: true")
        return self

    @model_validator(mode="after")
    def _gives_the_optimizer_what_it_takes(self) -> "Train":
        for pair in (self.optim_args or "").replace(" ", "").split(",") if self.optim_args else []:
            name, _, value = pair.partition("=")
            known = OPTIMIZERS[self.optim]
            if name not in known:
                takes = suggestion(name, known) if known else ", which takes no arguments; leave it out"
                raise ValueError(f"optim_args names `{name}` for {self.optim}{takes.rstrip('.')}")
            example = "true" if name in ("nesterov", "centered") else "0.9"
            if not (value.lower() in ("true", "false") if example == "true" else _is_number(value)):
                raise ValueError(f"optim_args gives {name} the value `{value}`; write {name}={example}, for example")
        return self


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
