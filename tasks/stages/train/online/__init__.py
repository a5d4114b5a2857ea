"""Training on answers that the model writes itself: a module a kind of Trainer, which an objective names as `online`.

Its rows are prompts (`Prompted`), and a rubric says what an answer earns. What a step logs has the same names whatever
the Trainer, so that curves, the guard against reward hacking and MLflow need not know it: `reward`, `reward/<name>`,
`held_out` and `held_out/<name>`, `kl` (nats a token, to the parent), `entropy` (nats), `length` (tokens), `unfinished`
(share) and `repetition` (share of n-grams that are there already). An evaluation logs them with `eval_` before the
name, of greedy answers to the validation rows, and `eval_loss`, which is minus the reward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from tasks import kinds, rewards
from tasks.dataset.encoded import Encoded, Processor, Prompted
from tasks.rewards import Rubric, Scores
from tasks.stages.train.params import Train
from tasks.weights.layer_groups import Group

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer
    from transformers import TrainerCallback

    from tasks.stages.train.checkpoints import LearntWeights, Schedule

WORDS = 3  # in an n-gram that counts as repeated


@dataclass(frozen=True)
class Parts:
    """What a Trainer is made of, online or not."""

    params: Train
    parent: Path  # its weights
    model: "nn.Module"  # with the tuner and the objective's head
    processor: Processor
    rows: Mapping[str, Sequence[Encoded]]  # train, validation
    prepared: Path | None  # where the rubric is
    arguments: Mapping[str, object]  # of transformers' TrainingArguments, or of a class built on it
    callbacks: "Sequence[TrainerCallback]"
    groups: Sequence[Group]  # and `schedule`: see LearntWeights
    schedule: "Schedule | None"

    @property
    def tokenizer(self) -> "Tokenizer":
        """The processor of a model that writes."""
        return self.processor

    @property
    def prompts(self) -> Mapping[str, Sequence[Prompted]]:
        """The rows of an online objective."""
        return cast("Mapping[str, Sequence[Prompted]]", self.rows)

    def rubric(self) -> Rubric:
        """What answers earn; AnnealError if nothing says so."""
        assert self.prepared is not None, "the folder of the rubric is not given"
        return rewards.load(self.prepared)


class Online(Protocol):
    """A module of this package."""

    def trainer(self, parts: Parts) -> "LearntWeights":
        """A Trainer whose checkpoints are at the steps before which it writes answers, so that a run that was killed
        ends in the same weights.
        """
        ...


def of(name: str) -> Online:
    """The module that an objective names."""
    return cast(Online, kinds.load(__name__, name))


def figures(
    scores: Scores, answers: Sequence[str], tokens: Sequence[int], finished: Sequence[bool]
) -> dict[str, float]:
    """What a step logs of its `answers`, of so many `tokens` each."""
    held_out = {f"held_out/{name}": _mean(values) for name, values in scores.held_out.items()}
    return {
        "reward": _mean(scores.total),
        **{f"reward/{name}": _mean(values) for name, values in scores.parts.items()},
        **held_out,
        **({"held_out": _mean([*held_out.values()])} if held_out else {}),
        "length": _mean(tokens),
        "unfinished": 1 - _mean(finished),
        "repetition": 1 - _mean([rewards.distinct(answer, WORDS) for answer in answers]),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
