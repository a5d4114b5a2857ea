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
Probabilities = dict[str, dict[str, float]]  # {column: {class: its probability}}
L = TypeVar("L", bound=Labelled)


class Classifier(nn.Module):  # type: ignore[misc]
    """`body` under a linear head in fp32 for each column of `classes` ({column: its classes}); `ngrams`, if any, are
    averaged with its predictions and not trained with it.
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


def oversampled(rows: Sequence[L], counts: Sequence[Sequence[int]], share: float, most: int, seed: int) -> list[L]:
    """`rows`, where those of classes with less than `share` of the most common class's rows are repeated, each at most
    `most` times; `counts` of each column's classes.

    Repeat factors as in Gupta et al. 2019 (arXiv:1908.03195): a row with several labels has that of its rarest. Where
    a factor is not a whole number, `seed` and the rows' ids decide which rows are repeated once more.
    """
    factors = [[min(most, max(1.0, share * max(column) / count)) for count in column] for column in counts]
    repeated: list[L] = []
    for row in rows:
        factor = max(factors[place][label] for place, label in enumerate(row["labels"]))
        repeated += [row] * (int(factor) + (_uniform(f"{seed} {row['id']}") < factor % 1))
    return repeated


def _uniform(text: str) -> float:
    """A pseudo-random number in [0, 1), from a hash of `text`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def save(model: Classifier, kind: str, folder: Path) -> None:
    """Write head.safetensors, head.json with the objective's kind, the pooling and the classes, and any n-grams."""
    heads.save(model.heads, {"kind": kind, "pooling": model.pooling, "classes": model.classes}, folder)
    if model.ngrams is not None:
        ngrams.save(model.ngrams, folder)


def load(body: nn.Module, trained: Path, kind: "type[Classifier]" = Classifier) -> Classifier:
    """`body` under the heads in `trained/`, for inference; `kind`: the class of the classifier."""
    facts = heads.facts(trained)
    model = kind(body, facts["classes"], facts["pooling"])
    heads.fill(model.heads, trained)
    model.ngrams = ngrams.load(trained, [len(known) for known in model.classes.values()])
    loaded: Classifier = model.eval()
    return loaded


def log_probabilities(model: Classifier, reader: Reader, texts: Sequence[str]) -> list[torch.Tensor]:
    """(texts, classes) of each column, in nats and fp32."""
    return log_probabilities_of_tokens(model, reader, [reader.encode(text) for text in texts])


def log_probabilities_of_tokens(model: Classifier, reader: Reader, encoded: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The same for texts as token ids, in one forward pass."""
    batch = to_device(encoder.collate(encoded, reader.pad_token_id), model.heads[0].weight.device)
    with torch.inference_mode():
        return [logits.float().log_softmax(-1) for logits in model(**batch)]


def by_class(classes: Mapping[str, Sequence[str]], columns: Sequence[torch.Tensor]) -> list[Probabilities]:
    """For each text the probabilities of the classes by name, from the log-probabilities of `columns`."""
    shares = [column.exp().tolist() for column in columns]
    return [
        {
            column: {name: round(share, DIGITS) for name, share in zip(known, shares[place][i], strict=True)}
            for place, (column, known) in enumerate(classes.items())
        }
        for i in range(len(columns[0]))
    ]


def written(probabilities: Mapping[str, Mapping[str, float]]) -> str:
    """The answer as a JSON object: the likeliest class of each column."""
    return json.dumps({column: likeliest(shares) for column, shares in probabilities.items()}, ensure_ascii=False)


def reply(probabilities: Probabilities, token_ids: Sequence[int] = ()) -> Reply:
    """The reply with these probabilities, to an input of these tokens."""
    return {"token_ids": tuple(token_ids), "text": written(probabilities), "probabilities": probabilities}


def predict(model: Classifier, reader: Reader, encoded: Sequence[Sequence[int]]) -> list[Reply]:
    """The reply to each text, as token ids, from one forward pass."""
    probabilities = by_class(model.classes, log_probabilities_of_tokens(model, reader, encoded))
    return list(map(reply, probabilities, encoded))
