"""A linear head on a token of each word: the module, saving, loading and prediction."""

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

TokenPlace = Literal["first", "last"]  # token of a word
DIGITS = 7  # of a probability in a file
BATCH = 16  # windows that are read at once


def tags_of(labels: Sequence[str]) -> list[str]:
    """The IOB2 tags for `labels`, in the order of their numbers."""
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


class Tagger(nn.Module):  # type: ignore[misc]
    """`body` under a linear head in fp32 that predicts a tag for each token; a word has that of its token at `place`."""

    def __init__(self, body: nn.Module, labels: Sequence[str], place: TokenPlace) -> None:
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
    """`body` under the head in `trained/`, for inference."""
    facts = heads.facts(trained)
    model = Tagger(body, facts["labels"], facts["place"])
    heads.fill(model.heads, trained)
    loaded: Tagger = model.eval()
    return loaded


def log_probabilities(model: Tagger, reader: Reader, texts: Sequence[Words]) -> list[torch.Tensor]:
    """For each text the log-probabilities of its words' tags (words, tags), in nats and fp32."""
    around = frame(reader)
    size = reader.positions - sum(map(len, around))
    pieces = [(i, window) for i, text in enumerate(texts) for window in windows(len(text), size)]
    of_tokens = [torch.zeros(len(text), len(model.tags)) for text in texts]
    for start in range(0, len(pieces), BATCH):
        batch = pieces[start : start + BATCH]
        logits = _logits(model, reader, [framed(texts[i].ids, window, around) for i, window in batch])
        for row, (i, window) in enumerate(batch):
            skipped = len(around[0]) - window.start
            of_tokens[i][window.first : window.last] = logits[row, window.first + skipped : window.last + skipped]
    side = 0 if model.place == "first" else 1
    places = [[token[side] for token in text.tokens] for text in texts]
    return [logits[of_text].log_softmax(-1) for logits, of_text in zip(of_tokens, places, strict=True)]


def _logits(model: Tagger, reader: Reader, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    batch = to_device(encoder.collate(rows, reader.pad_token_id), model.heads[0].weight.device)
    with torch.inference_mode():
        logits: torch.Tensor = model(**batch).float().cpu()
        return logits


def likeliest(model: Tagger, shares: torch.Tensor) -> list[str]:
    """The likeliest well-formed tags for (words, tags) log-probabilities (Viterbi 1967): an I- continues the entity
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


def probabilities(model: Tagger, text: Words, tags: Sequence[str], shares: torch.Tensor) -> entities.SpanProbabilities:
    """For each entity that `tags` mark: the probability of each label for exactly its span, and of none (OUTSIDE).

    `shares`: (words, tags) log-probabilities, taken as independent of each other. p(label) = p(B) of the first word,
    times p(I) of the others, times 1 - p(I) of the word that follows.
    """
    by_span = {}
    for entity in entities.from_tags(tags):
        of_labels = {label: _of_span(model, shares, entity.start, entity.end, label) for label in model.labels}
        rest = max(0.0, 1 - sum(of_labels.values()))
        key = entities.key(text.spans[entity.start][0], text.spans[entity.end - 1][1])
        by_span[key] = {name: round(share, DIGITS) for name, share in {**of_labels, OUTSIDE: rest}.items()}
    return by_span


def _of_span(model: Tagger, shares: torch.Tensor, start: int, end: int, label: str) -> float:
    begins, goes_on = model.tags.index(f"B-{label}"), model.tags.index(f"I-{label}")
    inside = float(shares[start, begins] + shares[start + 1 : end, goes_on].sum())
    behind = float(shares[end, goes_on].exp()) if end < len(shares) else 0.0
    return math.exp(inside) * (1 - behind)


def written(text: Words, tags: Sequence[str]) -> str:
    """The entities of a text as an answer, see tasks/formats/entities.py."""
    marked = [
        Entity(text.spans[entity.start][0], text.spans[entity.end - 1][1], entity.label)
        for entity in entities.from_tags(tags)
    ]
    return entities.to_json(text.text, marked)
