"""trl's trainers of answers that are compared in groups (GRPO, RLOO), with what this project does in its own way.

Prompts and answers are tokens and text as in serving (tasks/dialogues/chat.py), rewards come from a rubric, the
reference is the parent itself, and log-probabilities are in fp32, at the positions that a row would have alone. What is
sampled at a step depends on the seed and the step alone, so a run that was killed ends in the same bytes.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast
from unittest import mock

import torch
from torch import nn
from transformers import GenerationConfig, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.dataset.encoded import Encoded
from tasks.dialogues import chat
from tasks.rewards import Rubric
from tasks.stages.train.checkpoints import Schedule
from tasks.stages.train.online import figures
from tasks.stages.train.online.answers import evaluating
from tasks.stages.train.online.rehearsed import WritesAnswers
from tasks.weights.layer_groups import Group

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase as Tokenizer
    from transformers.utils import ModelOutput
    from trl.trainer.utils import RepeatSampler

    from tasks.dataset.encoded import Prompted

NAMES = ("kl", "entropy")  # what is kept of all that trl logs; the rest is of no use, or the same as `figures`
MEASURED = 1.0e-30  # a beta that is lost in the rounding of a loss, with which trl computes the KL divergence
SEEDS = 1_000_003  # a step's seed is the run's times this, and its own number: no two runs share one


class Groups(WritesAnswers):
    """Stands before a trainer of trl in the bases of a class; `library` is the module of that trainer.

    The prompts of trl's data sets are numbers of `questions`. `reference` is the parent; None if the model is the
    parent while its adapter is disabled.
    """

    library: str
    generation_config: GenerationConfig

    def __init__(
        self,
        *,
        model: nn.Module,
        processing_class: "Tokenizer",
        questions: "Sequence[Prompted]",
        rubric: Rubric,
        beta: float,
        reference: nn.Module | None,
        groups: Sequence[Group] = (),
        schedule: Schedule | None = None,
        **kwargs: object,
    ) -> None:
        self.questions, self.rubric, self.tokenizer = questions, rubric, processing_class
        self.figures: dict[str, dict[str, list[float]]] = {"train": defaultdict(list), "eval": defaultdict(list)}
        held = {name: weight.data for name, weight in model.named_parameters()}
        # trl would copy the adapter of an adapted model as its reference, and load the parent of any other again; but
        # not of a model that does not seem adapted and that has no beta yet.
        with mock.patch(f"{self.library}.is_peft_model", return_value=False):
            super().__init__(
                model=model,
                processing_class=processing_class,
                reward_funcs=self.earned,
                groups=groups,
                schedule=schedule,
                **kwargs,
            )
        for name, weight in model.named_parameters():
            weight.data = held[name]  # trl rounds adapters on quantised layers to bf16
        self.ref_model = reference or (_Parent(model) if hasattr(model, "disable_adapter") else None)
        self.beta = beta or (MEASURED if self.ref_model else 0.0)
        self.sampled, self.greedy = self.generation_config, _greedy(self.generation_kwargs)
        self.add_callback(_Count(self))

    def continues_from(self, step: int) -> bool:
        """Before answers are written."""
        batches = self.args.steps_per_generation * self.num_iterations
        return bool(step * self.args.gradient_accumulation_steps % batches == 0)

    @property
    def answers_at_once(self) -> int:
        """All answers that steps learn from until the next are written."""
        return int(self.args.generation_batch_size)

    def rehearsed(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """What a step computes of answers to `rows`, each as long as it may be."""
        batch, kept = self.longest(rows), self.max_completion_length
        ids, mask = batch["input_ids"], batch["attention_mask"]
        return self._get_per_token_logps_and_entropies(self.model, ids, mask, kept, compute_entropy=True)[0].mean()

    def create_model_card(self, *_: object, **__: object) -> None:
        """None: a checkpoint needs no card."""

    def _get_train_sampler(self, dataset: "Dataset" = None) -> "RepeatSampler":
        """trl's order of prompts and their repetitions, by seed and epoch alone.

        trl draws the order of every epoch from one generator: a resumed run would begin with the first epoch's again.
        """
        order: RepeatSampler = super()._get_train_sampler(dataset)
        # called by the Trainer before each epoch
        order.set_epoch = lambda epoch: order.generator.manual_seed(self.args.data_seed * 1000 + epoch)
        return order

    def _prepare_inputs(self, generation_batch: object) -> dict[str, torch.Tensor]:
        """Answers and what they earned: sampled in training, and in validation those that would be served."""
        generation = self._step // (self.args.steps_per_generation * self.num_iterations)
        self.generation_config = self.sampled if self.model.training else self.greedy
        with torch.random.fork_rng():
            torch.manual_seed(self.args.seed * SEEDS + generation)
            return cast("dict[str, torch.Tensor]", super()._prepare_inputs(generation_batch))

    def _tokenize_prompts(self, prompts: Sequence[str]) -> tuple[list[list[int]], None, dict[str, object]]:
        return [self.questions[int(prompt)]["input_ids"] for prompt in prompts], None, {}

    def _generate_single_turn(self, *args: object, **kwargs: object) -> object:
        with evaluating(self.model):  # without dropout
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(
        self,
        model: "Callable[..., ModelOutput]",
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: object,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """(rows, logits_to_keep) each: log-probabilities of the last tokens as they were sampled, and entropies."""
        size = batch_size or len(input_ids)
        batches = zip(input_ids.split(size), attention_mask.split(size), strict=True)
        scored = [self._scored(model, ids, mask, logits_to_keep, compute_entropy) for ids, mask in batches]
        entropies = [entropy for _, entropy in scored if entropy is not None]
        return torch.cat([values for values, _ in scored]), torch.cat(entropies) if entropies else None, None

    def _scored(
        self,
        model: "Callable[..., ModelOutput]",
        ids: torch.Tensor,
        mask: torch.Tensor,
        kept: int,
        with_entropy: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": places, "logits_to_keep": kept + 1}
        with self.accelerator.autocast():
            logits = model(**inputs, use_cache=False).logits
        values = (logits[:, -kept - 1 : -1].float() / self.temperature).log_softmax(-1)
        entropy = -(values.detach().exp() * values.detach()).sum(-1) if with_entropy else None
        return values.gather(-1, ids[:, -kept:].unsqueeze(-1)).squeeze(-1), entropy

    def earned(self, prompts: Sequence[str], completion_ids: Sequence[list[int]], **_: object) -> list[float]:
        """The reward of each answer, by the rubric."""
        rows = [self.questions[int(prompt)]["row"] for prompt in prompts]
        texts = [chat.decode_answer(self.tokenizer, ids) for ids in completion_ids]
        answers = [row.get("given", "") + text for row, text in zip(rows, texts, strict=True)]
        scores = self.rubric.score(rows, answers)
        finished = [ids[-1] in self.eos_token_ids for ids in completion_ids]
        logged = self.figures["train" if self.model.training else "eval"]
        if self.model.training:
            logged["without_signal"].append(equal_groups(scores.total, self.num_generations))
        for name, value in figures(scores, texts, [len(ids) for ids in completion_ids], finished).items():
            logged[name].append(value)
        self.totals = scores.total
        return scores.total

    def prediction_step(self, *args: object, **kwargs: object) -> tuple[torch.Tensor, None, None]:
        """The loss of a validation batch is minus its mean reward."""
        super().prediction_step(*args, **kwargs)
        return -torch.tensor(self.totals).mean(), None, None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the figures of answers, and NAMES; the rest of what trl counts is left out."""
        mode = "train" if self.model.training else "eval"
        kept = {name: values for name, values in self._metrics[mode].items() if name in NAMES}
        self._metrics[mode] = defaultdict(list, {**kept, **self.figures[mode]})
        self.figures[mode].clear()
        super().log(logs, start_time)


def equal_groups(rewards: Sequence[float], size: int) -> float:
    """The share of groups of `size` answers whose rewards are all the same, from which nothing is learnt."""
    groups = [rewards[start : start + size] for start in range(0, len(rewards), size)]
    return sum(max(group) == min(group) for group in groups) / len(groups)


class _Count(TrainerCallback):  # type: ignore[misc]
    """Tells the trainer where a resumed run is: trl counts from 0, and would generate at other steps."""

    def __init__(self, trainer: Groups) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.trainer._step = state.global_step * args.gradient_accumulation_steps


class _Parent:
    """A tuned model as its parent."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, **inputs: object) -> "ModelOutput":
        with self.model.disable_adapter(), evaluating(self.model):
            return self.model(**inputs)


def _greedy(settings: Mapping[str, object]) -> GenerationConfig:
    """The likeliest answers instead of sampled ones."""
    sampling = ("temperature", "top_p", "top_k", "min_p")
    others = {name: value for name, value in settings.items() if name not in sampling}
    return GenerationConfig(**{**others, "do_sample": False}, disable_compile=True)
