"""A linear classifier on a text's token n-grams, averaged (geometrically) with a tuned encoder.

Features are TF-IDF (term frequencies as 1 + ln, rows of length 1), the classifier is a logistic regression. Often one of
the two is right where the other is wrong, as with a wide and a deep part (Cheng et al. 2016, arXiv:1606.07792); here
they are trained separately and have equal weights.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from tasks.models import heads, logistic

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

FEATURES = 50_000  # the most frequent n-grams
Gram = tuple[int, ...]


class NGrams(nn.Module):  # type: ignore[misc]
    """The linear classifiers of all columns; column i has `sizes[i]` classes.

    `grams` (n-grams, longest): token ids, -1 behind shorter ones; `idf` (n-grams,); `weight` (n-grams, classes of all
    columns); `bias` (classes of all columns,).
    """

    grams: torch.Tensor
    idf: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, tensors: Mapping[str, torch.Tensor], sizes: Sequence[int]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        self.sizes, self.longest = list(sizes), self.grams.shape[1]
        self.rarity: list[float] = self.idf.tolist()
        self.places = {tuple(t for t in gram if t >= 0): i for i, gram in enumerate(self.grams.tolist())}

    def forward(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probabilities (rows, classes) of each column; `rows`: of token ids."""
        features = [self._values(row) for row in rows]
        places = [place for row in features for place in row]
        values = torch.tensor([value for row in features for value in row.values()], dtype=self.weight.dtype)
        starts = [0, *accumulate(len(row) for row in features)][: len(features)]
        device = self.weight.device
        scores = nn.functional.embedding_bag(
            torch.tensor(places, dtype=torch.long, device=device),
            self.weight,
            torch.tensor(starts, dtype=torch.long, device=device),
            mode="sum",
            per_sample_weights=values.to(device),
        )
        return [part.log_softmax(-1) for part in (scores + self.bias).split(self.sizes, dim=1)]

    def beside(self, logits: Sequence[torch.Tensor], rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """The geometric mean of the probabilities of `logits` and of the n-grams of `rows`, as logits."""
        return [(neural.log_softmax(-1) + linear) / 2 for neural, linear in zip(logits, self(rows), strict=True)]

    def _values(self, row: Sequence[int]) -> dict[int, float]:
        counts = Counter(place for gram in grams(row, self.longest) if (place := self.places.get(gram)) is not None)
        values = {place: (1 + math.log(count)) * self.rarity[place] for place, count in counts.items()}
        length = math.sqrt(sum(value * value for value in values.values())) or 1.0
        return {place: value / length for place, value in values.items()}


def grams(row: Sequence[int], longest: int) -> Iterator[Gram]:
    """The n-grams of `row` of 1 to `longest` tokens."""
    for size in range(1, longest + 1):
        for start in range(len(row) - size + 1):
            yield tuple(row[start : start + size])


def fit(rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]], sizes: Sequence[int], longest: int) -> NGrams:
    """The classifier of `labels` (rows, columns), class numbers below `sizes[column]`, from `rows` of token ids."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    used = _used_rows(labels)
    words = TfidfVectorizer(analyzer=lambda row: grams(row, longest), sublinear_tf=True, max_features=FEATURES)
    values = words.fit_transform([rows[place] for place in used])
    vocabulary = sorted(words.vocabulary_, key=words.vocabulary_.__getitem__)
    fitted = [_weights(logistic.fit(values, [labels[place][column] for place in used])) for column in range(len(sizes))]
    tensors = {
        "grams": torch.tensor([[*gram, *[-1] * (longest - len(gram))] for gram in vocabulary], dtype=torch.int32),
        "idf": torch.tensor(words.idf_, dtype=torch.float32),
        "weight": torch.cat([weight for weight, _ in fitted], 1),
        "bias": torch.cat([bias for _, bias in fitted]),
    }
    return NGrams(tensors, sizes)


def _used_rows(labels: Sequence[Sequence[int]]) -> list[int]:
    """The places of the rows that are used: evenly spaced if there are very many, and the first row of each class, or
    it could never be predicted.
    """
    step = max(1, -(-len(labels) // logistic.MOST))
    first: dict[tuple[int, int], int] = {}
    for place, row in enumerate(labels):
        for column, label in enumerate(row):
            first.setdefault((column, label), place)
    return sorted({*range(0, len(labels), step), *first.values()})


def _weights(model: "LogisticRegression") -> tuple[torch.Tensor, torch.Tensor]:
    """(n-grams, classes) and (classes,) of a regression."""
    weight, bias = torch.tensor(model.coef_, dtype=torch.float32), torch.tensor(model.intercept_, dtype=torch.float32)
    if len(model.classes_) == 2:  # scikit-learn has only the second class's, against 0
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    return weight.t().contiguous(), bias


def save(model: NGrams, folder: Path) -> None:
    """ngrams.safetensors."""
    from safetensors.torch import save_file

    tensors = {name: buffer.cpu().contiguous() for name, buffer in model.named_buffers()}
    save_file(tensors, folder / heads.NGRAMS, metadata={"format": "pt"})


def load(folder: Path, sizes: Sequence[int]) -> NGrams | None:
    """What save() wrote into `folder`; None if there is no n-gram classifier beside the heads."""
    from safetensors.torch import load_file

    return NGrams(load_file(folder / heads.NGRAMS), sizes) if (folder / heads.NGRAMS).exists() else None
