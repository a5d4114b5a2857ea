"""A linear head on a token of each word: the module, how it is kept, and what it says."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.dataset.encoded import to_device
from tasks.formats import entities
from tasks.formats.entities import OUTSIDE, Entity
from tasks.models import encoder, heads
from tasks.models.encoder import Reader
from tasks.models.words import Words, frame, framed, windows

Place = Literal["first", "last"]  # token of a word
DIGITS = 7  # of a probability in a file
BATCH = 16  # windows that are read at once


def tags_of(labels: Sequence[str]) -> list[str]:
    """The tags of IOB2 for `labels`, by their number."""
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


class Tagger(nn.Module):  # type: ignore[misc]
    """`body` under a linear head in fp32 that tells a tag of each token; that at `place` in a word speaks for it."""

    def __init__(self, body: nn.Module, labels: Sequence[str], place: Place) -> None:
        super().__init__()
        self.body, self.config = body, body.config
        self.labels, self.tags, self.place = list(labels), tags_of(labels), place
        self.heads = heads.linear(body, [len(self.tags)])

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(batch, time) twice → logits (batch, time, tags)."""
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        with torch.autocast(input_ids.device.type, enabled=False):
            logits: torch.Tensor = self.heads[0](hidden.float())
            return logits


def save(model: Tagger, kind: str, folder: Path) -> None:
    """head.safetensors, and head.json with the objective's kind, the labels and the place."""
    heads.save(model.heads, {"kind": kind, "labels": model.labels, "place": model.place}, folder)


def load(body: nn.Module, trained: Path) -> Tagger:
    """`body` under the head in `trained/`, for asking."""
    facts = heads.facts(trained)
    model = Tagger(body, facts["labels"], facts["place"])
    heads.fill(model.heads, trained)
    loaded: Tagger = model.eval()
    return loaded


def told(model: Tagger, reader: Reader, read: Sequence[Words]) -> list[torch.Tensor]:
    """Of each text that was read the log-probabilities of its words' tags (words, tags), in nats and fp32."""
    around = frame(reader)
    size = reader.positions - sum(map(len, around))
    pieces = [(i, window) for i, each in enumerate(read) for window in windows(len(each.ids), size)]
    of_tokens = [torch.zeros(len(each.ids), len(model.tags)) for each in read]
    for start in range(0, len(pieces), BATCH):
        batch = pieces[start : start + BATCH]
        logits = _logits(model, reader, [framed(read[i].ids, window, around) for i, window in batch])
        for row, (i, window) in enumerate(batch):
            skipped = len(around[0]) - window.start
            of_tokens[i][window.first : window.last] = logits[row, window.first + skipped : window.last + skipped]
    side = 0 if model.place == "first" else 1
    places = [[token[side] for token in each.tokens] for each in read]
    return [logits[own].log_softmax(-1) for logits, own in zip(of_tokens, places, strict=True)]


def _logits(model: Tagger, reader: Reader, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    there = to_device(encoder.collate(rows, reader.pad_token_id), model.heads[0].weight.device)
    with torch.inference_mode():
        logits: torch.Tensor = model(**there).float().cpu()
        return logits


def likeliest(model: Tagger, shares: torch.Tensor) -> list[str]:
    """The likeliest well-formed tags for (words, tags) log-probabilities (Viterbi 1967): an I- goes on with what stands
    before it.
    """
    if not len(shares):
        return []
    scores: NDArray[np.float64] = shares.double().numpy()
    follows = _follows(model.tags)
    best = np.where(np.char.startswith(model.tags, "I-"), -np.inf, scores[0])
    before = np.zeros(scores.shape, int)
    for word in range(1, len(scores)):
        paths = best[:, None] + follows
        before[word] = paths.argmax(0)
        best = paths.max(0) + scores[word]
    path = [int(best.argmax())]
    for word in range(len(scores) - 1, 0, -1):
        path.append(int(before[word, path[-1]]))
    return [model.tags[place] for place in reversed(path)]


def _follows(tags: Sequence[str]) -> NDArray[np.float64]:
    """(before, tag): 0 where a tag may follow another, else minus infinity."""
    allowed = [[not tag.startswith("I-") or before[2:] == tag[2:] for tag in tags] for before in tags]
    return np.where(allowed, 0.0, -np.inf)


def probabilities(model: Tagger, read: Words, tags: Sequence[str], shares: torch.Tensor) -> entities.SpanProbabilities:
    """Of each entity that `tags` mark in a text that was read how likely each label is of exactly this stretch, and
    OUTSIDE none of them; `shares`: (words, tags) log-probabilities, taken as independent of each other.

    p(label) = p(B) of the first word, times p(I) of the others, times 1 - p(I) of the word behind.
    """
    told = {}
    for known in entities.from_tags(tags):
        of_labels = {label: _of_stretch(model, shares, known.start, known.end, label) for label in model.labels}
        rest = max(0.0, 1 - sum(of_labels.values()))
        key = entities.key(read.spans[known.start][0], read.spans[known.end - 1][1])
        told[key] = {name: round(share, DIGITS) for name, share in {**of_labels, OUTSIDE: rest}.items()}
    return told


def _of_stretch(model: Tagger, shares: torch.Tensor, start: int, end: int, label: str) -> float:
    begins, goes_on = model.tags.index(f"B-{label}"), model.tags.index(f"I-{label}")
    inside = float(shares[start, begins] + shares[start + 1 : end, goes_on].sum())
    behind = float(shares[end, goes_on].exp()) if end < len(shares) else 0.0
    return math.exp(inside) * (1 - behind)


def written(read: Words, tags: Sequence[str]) -> str:
    """The entities of a text that was read as an answer, see tasks/formats/entities.py."""
    marked = [
        Entity(read.spans[known.start][0], read.spans[known.end - 1][1], known.label)
        for known in entities.from_tags(tags)
    ]
    return entities.to_json(read.text, marked)
