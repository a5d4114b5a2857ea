"""Builds trl's GRPOTrainer and RLOOTrainer for a section: the same settings by the same names, and exact resumption."""

import math
from typing import TYPE_CHECKING, Protocol, cast
from unittest import mock

from tasks import objectives
from tasks.stages.train.online import Parts

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import nn

    from tasks.stages.train.group_trainer import Groups


class Grouped(Protocol):
    """What the sections of grpo and rloo have."""

    kind: str
    beta: float
    num_generations: int
    num_iterations: int

    def settings(self) -> dict[str, object]:
        """The arguments of trl's config for the section."""
        ...


def trainer(parts: Parts) -> "Groups":
    """trl's trainer of the objective's kind."""
    import trl

    from tasks.stages.train.group_trainer import Groups

    params = cast(Grouped, parts.params.objective)
    name = params.kind.upper()
    # trl would load vLLM, which it is not asked to use, for seconds, and warn of its version
    with mock.patch("trl.import_utils.is_vllm_available", return_value=False):
        library: type = getattr(trl, f"{name}Trainer")
    made = type(f"{name}Groups", (Groups, library), {"library": library.__module__})
    prompts = [*parts.prompts["train"], *parts.prompts["validation"]]
    count = len(parts.prompts["train"])
    return cast(
        "Groups",
        made(
            model=parts.model,
            processing_class=parts.tokenizer,
            questions=prompts,
            rubric=parts.rubric(),
            beta=params.beta,
            reference=_reference(parts, params.beta),
            args=getattr(trl, f"{name}Config")(**_arguments(parts, params)),
            train_dataset=_numbers(range(count)),
            eval_dataset=_numbers(range(count, len(prompts))),
            callbacks=list(parts.callbacks),
            groups=parts.groups,
            schedule=parts.schedule,
        ),
    )


def _numbers(numbers: range) -> "Dataset":
    """trl's data set of the prompts of these numbers."""
    from datasets import Dataset

    return Dataset.from_list([{"prompt": str(number)} for number in numbers])


def _reference(parts: Parts, beta: float) -> "nn.Module | None":
    """The parent, where the tuned model cannot be the parent for a time and the loss compares with it."""
    if beta == 0 or hasattr(parts.model, "disable_adapter"):
        return None
    objective = objectives.of(parts.params.objective)
    parent = objective.parent(parts.parent, {"dtype": parts.model.dtype, "attn_implementation": "eager"})
    return parent.requires_grad_(False).eval()


def _arguments(parts: Parts, params: Grouped) -> dict[str, object]:
    """Arguments of trl's config. A checkpoint is at a step before which answers are written, as a resumed run writes
    them anew; and each step is logged, as a resumed run has not seen the steps that would be averaged.
    """
    answers = parts.params.per_device_train_batch_size * parts.params.gradient_accumulation_steps
    generations = len(parts.prompts["train"]) // (answers // params.num_generations)
    steps = math.ceil(generations * params.num_iterations * parts.params.num_train_epochs)
    every = math.ceil(steps * parts.params.eval_steps / params.num_iterations) * params.num_iterations
    return {
        **parts.arguments,
        **params.settings(),
        "beta": 0.0,  # see Groups
        "num_generations_eval": 1,
        "eval_steps": every,
        "save_steps": every,
        "logging_steps": 1,
        "include_num_input_tokens_seen": "no",  # trl counts them
        "disable_dropout": False,
    }
