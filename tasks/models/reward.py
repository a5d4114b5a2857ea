"""Reward models: a dialogue that ends with an answer gets a score, from one head or several.

For whoever needs rewards (ppo, grpo, ranking, win rates):

    rewarder = reward.load(folder)         # which `write` made: merged weights, tokenizer, heads
    rewarder.score(rows, answers)          # list[Reward]: (mean, spread), of each answer to the row in its place

Of a prepared row the prompt is read (`messages`, and `tools` if there are any); an answer is a text. `mean` is over the
heads, `spread` their standard deviation, 0 for one head: a cautious reward is mean - k * spread (Coste et al. 2024,
arXiv:2310.02743). sigmoid(a - b) of two means is the probability that the first answer is preferred.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from tasks.dataset.encoded import to_device
from tasks.dataset.rows import Reply, Row
from tasks.dialogues import choices as naming
from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.models import classifier, dialogue_reader, encoder, heads
from tasks.models.classifier import Classifier
from tasks.models.dialogue_reader import Choice, DialogueReader
from tasks.models.encoder import Pooling

KIND = "reward"  # of the objective
TOKENS = 4096  # of a forward pass, padding included
DIGITS = 5  # decimals of a score
MOST_DRAWS = 16  # of a pair for one head


class Reward(NamedTuple):
    """The mean over the heads, and their standard deviation."""

    mean: float
    spread: float


class RewardModel(Classifier):
    """`body` under a head of one unit for each member of the ensemble."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
        """(batch, time) twice → [(batch, heads)]. Padding on either side has no influence: what is read is moved to
        the front, where the positions of all bodies begin.
        """
        order = attention_mask.argsort(dim=1, descending=True, stable=True)
        logits: list[torch.Tensor] = super().forward(input_ids.gather(1, order), attention_mask.gather(1, order))
        return logits


def build(body: nn.Module, count: int, pooling: Pooling) -> RewardModel:
    """`body` under `count` new heads, whose weights follow from the seed."""
    return RewardModel(body, {KIND: [str(number) for number in range(1, count + 1)]}, pooling)


def load_heads(body: nn.Module, trained: Path) -> RewardModel:
    """`body` under the heads in `trained/`, for inference; AnnealError if they are of another objective."""
    if not (trained / heads.FILE).exists() or read_json(trained / heads.FILE)["kind"] != KIND:
        raise AnnealError(
            f"{trained} holds no reward model; name a row of models whose objective is {{kind: {KIND}}}."
        )
    model = classifier.load(body, trained, RewardModel)
    assert isinstance(model, RewardModel)
    return model


def rewards(model: RewardModel, pad_token_id: int, encoded: Sequence[Sequence[int]]) -> torch.Tensor:
    """(dialogues, heads) in fp32, for dialogues as token ids; those of similar length are read together."""
    values = torch.zeros(len(encoded), model.heads[0].out_features)
    order = sorted(range(len(encoded)), key=lambda place: (-len(encoded[place]), place))
    while order:
        size = max(1, TOKENS // len(encoded[order[0]]))
        places, order = order[:size], order[size:]
        batch = encoder.collate([encoded[place] for place in places], pad_token_id)
        with torch.inference_mode():
            (scores,) = model(**to_device(batch, model.heads[0].weight.device))
        values[places] = scores.float().cpu()
    return values


def summary(values: torch.Tensor) -> list[Reward]:
    """The reward of each row of (answers, heads)."""
    if not len(values):
        return []
    means, spreads = values.double().mean(1).tolist(), values.double().std(1, correction=0).tolist()
    return [Reward(*pair) for pair in zip(means, spreads, strict=True)]


def score_choices(model: RewardModel, pad_token_id: int, choices: Sequence[Choice]) -> list[list[Reward]]:
    """The reward of each answer of each choice."""
    dialogues = [dialogue for choice in choices for dialogue in choice.dialogues]
    scored = iter(summary(rewards(model, pad_token_id, dialogues)))
    return [[next(scored) for _ in choice.dialogues] for choice in choices]


def log_shares(scores: Sequence[Reward]) -> list[float]:
    """The log-probability (nats) of each answer to be the best (Plackett 1975): of two, that of Bradley and Terry."""
    most = max(score.mean for score in scores)
    total = most + math.log(sum(math.exp(score.mean - most) for score in scores))
    return [score.mean - total for score in scores]


def reply(choice: Choice, scores: Sequence[Reward]) -> Reply:
    """As `text` the place of the best answer and all scores, with the spreads of an ensemble; as `probabilities` that
    each answer is the best.
    """
    means, places = [score.mean for score in scores], naming.places(len(scores))
    text: dict[str, object] = {naming.COLUMN: places[means.index(max(means))]}
    text["scores"] = [round(mean, DIGITS) for mean in means]
    if any(score.spread for score in scores):
        text["spreads"] = [round(score.spread, DIGITS) for score in scores]
    pairs = zip(places, log_shares(scores), strict=True)
    shares = {place: round(math.exp(nats), classifier.DIGITS) for place, nats in pairs}
    tokens = tuple(token for dialogue in choice.dialogues for token in dialogue)
    return {"token_ids": tokens, "text": json.dumps(text), "probabilities": {naming.COLUMN: shares}}


def bootstrap(identity: str, count: int) -> list[int]:
    """How often the bootstrap sample of each of `count` heads holds a pair: Poisson with a mean of 1, which sampling
    with replacement comes to (Oza & Russell 2001), from a hash; once for a head alone.
    """
    return [1] if count == 1 else [_poisson(f"{number} {identity}") for number in range(count)]


def _poisson(text: str) -> int:
    chance = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    times, share = 0, math.exp(-1)
    while chance >= share and times < MOST_DRAWS:
        chance, times = chance - share, times + 1
        share /= times
    return times


@dataclass(frozen=True)
class Rewarder:
    """A loaded reward model."""

    model: RewardModel
    reader: DialogueReader

    def score(self, rows: Sequence[Row], answers: Sequence[str]) -> list[Reward]:
        """The reward of each of `answers` to the row in its place."""
        encoded = [self.reader.tokens(row, answer) for row, answer in zip(rows, answers, strict=True)]
        return summary(rewards(self.model, self.reader.pad_token_id, encoded))


def write(weights: Path, adapter: Path, folder: Path) -> None:
    """Write `folder` from the output of `package` for a reward model: its merged `weights/` and the heads in
    `adapter/`.
    """
    shutil.copytree(weights, folder, dirs_exist_ok=True)
    for name in (heads.FILE, heads.WEIGHTS):
        shutil.copy(adapter / name, folder / name)


def load(folder: Path) -> Rewarder:
    """The reward model in `folder`, in fp32 on the best device; AnnealError if it is of another kind."""
    reader = dialogue_reader.load(folder)
    return Rewarder(load_heads(encoder.load_body(folder), folder), reader)
