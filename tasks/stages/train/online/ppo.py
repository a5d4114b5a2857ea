"""The Trainer of proximal policy optimisation: it writes answers, has them judged, and learns from them for some steps.

Checkpoints are at the steps before which answers are written, so nothing of a set of answers has to be kept; what is
drawn depends on the seed and the number of the step (plan.py). One process; several are refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import TrainerControl, TrainingArguments

from tasks.dataset.encoded import Batch, Encoded, left_padded, to_device
from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.models import policy
from tasks.models.policy import Moments, Told
from tasks.stages.train.online import Parts
from tasks.stages.train.online.answers import AT_ONCE, Writing, Written, evaluating, judge, write
from tasks.stages.train.online.experience import Experience, LearntFrom, batch_of
from tasks.stages.train.online.plan import Plan
from tasks.stages.train.online.rehearsed import WritesAnswers

if TYPE_CHECKING:
    from tasks.objectives.ppo import Params

STATE = "online.json"  # in a checkpoint


class PpoTrainer(WritesAnswers):
    """Each batch of its data loader is one of answers, which are made when a step needs them."""

    loss_is_scaled_for_ga = True  # by the number of tokens in a step

    def __init__(self, parts: Parts) -> None:
        params = parts.params
        self.settings: Params = params.objective  # type: ignore[assignment]  # its kind is ppo
        self.max_completion_length = self.settings.max_completion_length
        self.prompts, self.rubric, self.tokenizer = parts.prompts, parts.rubric(), parts.tokenizer
        self.micro, self.kl_coef, self.moments = params.per_device_train_batch_size, self.settings.kl_coef, Moments()
        self.plan = Plan(
            rows=len(self.prompts["train"]),
            epochs=params.num_train_epochs,
            size=self.micro * params.gradient_accumulation_steps * self.settings.num_mini_batches,
            mini_batches=self.settings.num_mini_batches,
            passes=self.settings.num_ppo_epochs,
            seed=params.seed,
        )
        self.answered: list[Experience] = []
        self.figures: dict[str, float] = {}
        self.updates: list[dict[str, float]] = []
        answers = self.plan.steps * params.gradient_accumulation_steps * self.micro
        super().__init__(
            model=parts.model,
            args=TrainingArguments(**{**parts.arguments, **self._arguments(params.eval_steps)}),
            train_dataset=range(answers),  # only counted: see get_batch_samples
            eval_dataset=self.prompts["validation"],
            data_collator=len,
            callbacks=list(parts.callbacks),
            groups=parts.groups,
            schedule=parts.schedule,
        )
        if self.args.world_size > 1 or self.args.n_gpu > 1:
            raise AnnealError("train.objective.kind ppo learns in one process; make a single GPU visible.")

    def _arguments(self, share: float) -> dict[str, object]:
        between = self.plan.between(share)
        return {
            "num_train_epochs": 1,
            "eval_steps": between,
            "save_steps": between,
            "logging_steps": self.plan.steps_each,
            "logging_first_step": False,  # a step logs what all steps with the same answers came to
        }

    def _get_train_sampler(self, train_dataset: object = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def get_batch_samples(
        self, epoch_iterator: Iterator[int], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], torch.Tensor]:
        """The answers that the next step learns, in batches, and the number of their tokens."""
        list(islice(epoch_iterator, num_batches))  # counted, so that the Trainer knows where it is
        step = self.state.global_step
        if step % self.plan.steps_each == 0:
            self.answered = self._write(step // self.plan.steps_each)
        rows, pad = [self.answered[place] for place in self.plan.mini_batch(step)], self.tokenizer.pad_token_id
        batches = [batch_of(rows[start : start + self.micro], pad) for start in range(0, len(rows), self.micro)]
        return batches, torch.tensor(sum(len(row.logp) for row in rows), device=device)

    def continues_from(self, step: int) -> bool:
        """Before answers are written."""
        return step % self.plan.steps_each == 0

    @property
    def writer(self) -> nn.Module:
        """Without the values."""
        body: nn.Module = self.model.body
        return body

    @property
    def answers_at_once(self) -> int:
        """The answers to the prompts of a rollout are written some at a time."""
        return min(AT_ONCE, self.plan.size)

    def rehearsed(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """What a step computes of answers to `rows`, each as long as it may be."""
        with self.compute_loss_context_manager():
            told = policy.tell(self.model, self.longest(rows), self.settings.temperature)
        return (told.logp + told.values).mean()

    def _write(self, rollout: int) -> list[Experience]:
        """Answers to the prompts of a rollout, and what is learnt from them; notes what a step logs."""
        settings = self.settings
        prompts = [self.prompts["train"][place] for place in self.plan.prompts(rollout)]
        how = Writing(settings.temperature, self.plan.seed * 1_000_003 + rollout, settings.max_completion_length)
        written = write(self.writer, self.tokenizer, prompts, how)
        scores, self.figures = judge(self.rubric, prompts, written)
        told, reference = self._told(written)
        kl = float(policy.mean(policy.divergence(told.logp, reference.logp), told.mask))
        self.figures |= {"kl": kl, "kl_coef": self.kl_coef, "entropy": float(policy.mean(told.entropy, told.mask))}
        experiences = self._experiences(written, torch.tensor(scores.total), told, reference)
        self.kl_coef = policy.adapted(self.kl_coef, kl, settings.target_kl)
        return experiences

    def _told(self, written: Sequence[Written]) -> tuple[Told, Told]:
        """What the model says of the answers, and what its parent does."""
        told, reference = list[Told](), list[Told]()
        longest = max(len(row.completion["input_ids"]) - row.completion["prompt_length"] for row in written)
        with torch.no_grad(), evaluating(self.model), self.compute_loss_context_manager():
            for start in range(0, len(written), self.micro):
                rows = [row.completion for row in written[start : start + self.micro]]
                batch = to_device(left_padded(rows, self.tokenizer.pad_token_id), self.args.device)
                told.append(_widened(policy.tell(self.model, batch, self.settings.temperature), longest))
                with self.writer.disable_adapter():
                    parent = policy.tell(self.model, batch, self.settings.temperature)
                reference.append(_widened(parent, longest))
        return _joined(told), _joined(reference)

    def _experiences(
        self, written: Sequence[Written], scores: torch.Tensor, told: Told, reference: Told
    ) -> list[Experience]:
        settings = self.settings
        if settings.normalize_rewards:
            self.moments = self.moments.with_more(scores)
            scores = self.moments.normalised(scores)
        scores = scores - settings.missing_eos_penalty * torch.tensor([float(not row.finished) for row in written])
        ratio = told.logp - reference.logp
        rewards = policy.token_rewards(scores.float(), ratio, told.mask, self.kl_coef)
        better = policy.advantages(rewards, told.values, told.mask, settings.gamma, settings.lam)
        white = policy.whitened(better.advantages, told.mask)
        counts = told.mask.sum(-1).int().tolist()
        return [
            Experience(
                row.completion,
                *(part[place, -counts[place] :] for part in (told.logp, told.values, white, better.returns)),
            )
            for place, row in enumerate(written)
        ]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: LearntFrom,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor = None,
    ) -> torch.Tensor:
        """(clipped policy loss + vf_coef × clipped value loss) summed over tokens, over `num_items_in_batch`."""
        settings = self.settings
        told = policy.tell(model, inputs, settings.temperature)
        count = told.mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss, clipped = policy.policy_loss(
            told.logp, inputs["old_logp"], inputs["old_advantages"], told.mask, settings.cliprange
        )
        value = policy.value_loss(
            told.values, inputs["old_values"], inputs["old_returns"], told.mask, settings.cliprange_value
        )
        sums = {"policy_loss": loss, "value_loss": value, "clip_share": clipped, "tokens": told.mask.sum()}
        self.updates.append({name: float(part.detach()) for name, part in sums.items()})
        return (loss + settings.vf_coef * value) / count

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what was written and learnt since the last time."""
        if "loss" in logs and self.updates:
            tokens = sum(update["tokens"] for update in self.updates)
            sums = {name: sum(update[name] for update in self.updates) / tokens for name in self.updates[0]}
            logs |= {**self.figures, **{name: value for name, value in sums.items() if name != "tokens"}}
            self.updates = []
        super().log(logs, start_time)

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        """What greedy answers to the validation rows earn."""
        rows = self.prompts["validation"]
        how = Writing(0.0, 0, self.settings.max_completion_length)
        _, earned = judge(self.rubric, rows, write(self.writer, self.tokenizer, rows, how))
        metrics = {"eval_loss": 0.0 - earned["reward"], **{f"eval_{name}": value for name, value in earned.items()}}
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        super()._save(output_dir, state_dict)
        state = {"kl_coef": self.kl_coef, "moments": asdict(self.moments)}
        write_json(Path(output_dir or self.args.output_dir) / STATE, state)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        state = read_json(Path(resume_from_checkpoint) / STATE)
        self.kl_coef, self.moments = state["kl_coef"], Moments(**state["moments"])


def _widened(told: Told, width: int) -> Told:
    """The same, padded on the left to `width` tokens, on the CPU."""
    return Told(*(nn.functional.pad(part.float().cpu(), (width - part.shape[1], 0)) for part in told))


def _joined(parts: Sequence[Told]) -> Told:
    return Told(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def trainer(parts: Parts) -> PpoTrainer:
    """The Trainer of ppo."""
    return PpoTrainer(parts)
