"""Linear heads on a pooled text: the module, saving, loading and prediction."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from tasks.dataset.encoded import Labelled, to_device
from tasks.dataset.rows import Reply
from tasks.formats.labels import likeliest
from tasks.models import encoder, heads, ngrams
from tasks.models.encoder import Pooling, Reader
from tasks.models.ngrams import NGrams

DIGITS = 7  # of a probability in a file
Told = dict[str, dict[str, float]]  # {column: {class: its probability}}
L = TypeVar("L", bound=Labelled)


class Classifier(nn.Module):  # type: ignore[misc]
    """`body` under a linear head in fp32 for each column of `classes` ({column: its classes}); `ngrams`, where there
    are any, tell with it, and do not learn with it.
    """

    def __init__(
        self, body: nn.Module, classes: Mapping[str, Collection[str]], pooling: Pooling, width: int | None = None
    ) -> None:
        super().__init__()
        self.body, self.config = body, body.config
        self.classes, self.pooling = {column: list(known) for column, known in classes.items()}, pooling
        self.heads = heads.linear(body, [len(known) for known in classes.values()], width)
        self.ngrams: NGrams | None = None

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
        """(batch, time) twice → logits (batch, classes) of each column."""
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        with torch.autocast(input_ids.device.type, enabled=False):
            pooled = encoder.pool(hidden, attention_mask, self.pooling)
            logits = [layer(pooled) for layer in self.heads]
            if self.ngrams is None or self.training:
                return logits
            rows = [ids[is_read.bool()].tolist() for ids, is_read in zip(input_ids, attention_mask, strict=True)]
            return self.ngrams.beside(logits, rows)


def balanced(counts: Sequence[int], model: nn.Module) -> torch.Tensor:
    """(classes,): rows / (classes x rows of the class), as scikit-learn's `balanced`, where `model` is."""
    values = [sum(counts) / (len(counts) * count) for count in counts]
    return torch.tensor(values, device=next(model.parameters()).device)


def with_rare_again(rows: Sequence[L], counts: Sequence[Sequence[int]], share: float, most: int, seed: int) -> list[L]:
    """`rows`, those of a class again that has less than `share` of the most common one's, each `most`
    times at most; `counts` of each column's classes.

    Repeat factors as of Gupta et al. 2019 (arXiv:1908.03195): of a row with several labels that of its rarest. Which
    rows come once more where a factor is no whole number follows from `seed` and their ids.
    """
    factors = [[min(most, max(1.0, share * max(column) / count)) for count in column] for column in counts]
    again: list[L] = []
    for row in rows:
        factor = max(factors[place][label] for place, label in enumerate(row["labels"]))
        again += [row] * (int(factor) + (_place(f"{seed} {row['id']}") < factor % 1))
    return again


def _place(text: str) -> float:
    """A number in [0, 1) that looks random."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def save(model: Classifier, kind: str, folder: Path) -> None:
    """head.safetensors, head.json with the objective's kind, the pooling and the classes, and n-grams."""
    heads.save(model.heads, {"kind": kind, "pooling": model.pooling, "classes": model.classes}, folder)
    if model.ngrams is not None:
        ngrams.save(model.ngrams, folder)


def load(body: nn.Module, trained: Path, kind: "type[Classifier]" = Classifier) -> Classifier:
    """`body` under the heads in `trained/`, for asking; `kind`: of classifier."""
    facts = heads.facts(trained)
    model = kind(body, facts["classes"], facts["pooling"])
    heads.fill(model.heads, trained)
    model.ngrams = ngrams.load(trained, [len(known) for known in model.classes.values()])
    loaded: Classifier = model.eval()
    return loaded


def log_probabilities(model: Classifier, reader: Reader, texts: Sequence[str]) -> list[torch.Tensor]:
    """Of each column (texts, classes), in nats and fp32."""
    return of_tokens(model, reader, [reader.encode(text) for text in texts])


def of_tokens(model: Classifier, reader: Reader, encoded: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The same of texts as token ids, in one forward pass."""
    there = to_device(encoder.collate(encoded, reader.pad_token_id), model.heads[0].weight.device)
    with torch.inference_mode():
        return [logits.float().log_softmax(-1) for logits in model(**there)]


def named(classes: Mapping[str, Sequence[str]], columns: Sequence[torch.Tensor]) -> list[Told]:
    """The log-probabilities of `columns` as shares of the classes by name, a text each."""
    shares = [told.exp().tolist() for told in columns]
    return [
        {
            column: {name: round(share, DIGITS) for name, share in zip(known, shares[place][i], strict=True)}
            for place, (column, known) in enumerate(classes.items())
        }
        for i in range(len(columns[0]))
    ]


def written(told: Mapping[str, Mapping[str, float]]) -> str:
    """The answer as a JSON object: the likeliest class of each column."""
    return json.dumps({column: likeliest(shares) for column, shares in told.items()}, ensure_ascii=False)


def reply(told: Told, read: Sequence[int] = ()) -> Reply:
    """What the shares of classes come to, of what was `read` as these tokens."""
    return {"token_ids": tuple(read), "text": written(told), "probabilities": told}


def tell(model: Classifier, reader: Reader, encoded: Sequence[Sequence[int]]) -> list[Reply]:
    """What texts come to in one forward pass."""
    told = named(model.classes, of_tokens(model, reader, encoded))
    return [reply(shares, ids) for ids, shares in zip(encoded, told, strict=True)]
