"""Shared by classification objectives: the classes in the rows, the loss over all columns, the probabilities of the
right classes.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from tasks.dataset.encoded import Labelled, Processor
from tasks.dataset.rows import Answer, Prepared, Row, Splits, as_answer
from tasks.errors import AnnealError
from tasks.weights.layer_groups import Headed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.models.classifier import Classifier

LOWEST = 1.0e4  # nats: the loss of a class that the model does not know


class Weighed(Headed):
    """How rare classes are weighted, and label smoothing."""

    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: weight each class by its inverse frequency in the training rows"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    oversample: Annotated[float, Field(gt=0, le=1, description="share of the most common class's rows")] | None = Field(
        default=None,
        description="repeat training rows of rarer classes until they have this share of the most common class's rows",
    )
    oversample_most: Annotated[int, Field(ge=2, le=1000, description="the most times one row is repeated")] = 10

    @model_validator(mode="after")
    def _counts_rare_classes_once(self) -> Self:
        if self.oversample is not None and self.class_weights != "none":
            raise ValueError(
                f"class_weights is {self.class_weights} and oversample {self.oversample:g}, so rare classes would be "
                "weighted twice; remove one of them"
            )
        return self


L = TypeVar("L", bound=Labelled)
R = TypeVar("R", bound=Processor)


def labels(row: Row) -> dict[str, str]:
    """{column: class} of a row."""
    answer: dict[str, str] = json.loads(row["answer"])
    return answer


def counts(rows: Sequence[Prepared]) -> dict[str, dict[str, int]]:
    """{column: {class: number of rows}}, both sorted."""
    every: dict[str, Counter[str]] = {}
    for row in rows:
        for column, label in labels(row).items():
            every.setdefault(column, Counter())[label] += 1
    return {column: dict(sorted(count.items())) for column, count in sorted(every.items())}


@dataclass(frozen=True)
class Classes(Generic[R]):
    """A reader of texts or images, and the classes of each label column, sorted, with their numbers of rows."""

    reader: R
    counts: dict[str, dict[str, int]]

    @property
    def pad_token_id(self) -> int:
        """The reader's."""
        return self.reader.pad_token_id

    @cached_property
    def numbers(self) -> dict[str, dict[str, int]]:
        """{column: {class: its number}}."""
        return {column: {name: i for i, name in enumerate(known)} for column, known in self.counts.items()}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, or the placeholder of an image."""
        return self.reader.decode(tokens)

    def labels(self, row: Prepared) -> list[int]:
        """The number of the class of a prepared row in each column."""
        right = labels(row)
        return [known[right[column]] for column, known in self.numbers.items()]


def check(processor: Classes[R], rows: Splits) -> None:
    """Raise AnnealError for a column with one class only; prepare has set aside what training never saw."""
    for column, known in processor.counts.items():
        if len(known) < 2:
            raise AnnealError(
                f"all training rows have the class {next(iter(known))!r} in `{column}`: there is nothing to "
                "distinguish; add rows of another class, or leave the column out of prepare.labels."
            )


def repeated(params: Weighed, processor: Classes[R], encoded: Sequence[L], seed: int) -> list[L]:
    """The training rows, with those of rare classes repeated if `params.oversample` says so."""
    from tasks.models.classifier import oversampled

    if params.oversample is None:
        return list(encoded)
    counts = [list(known.values()) for known in processor.counts.values()]
    return oversampled(encoded, counts, params.oversample, params.oversample_most, seed)


def weighed(params: Weighed, model: "Classifier", processor: Classes[R]) -> "nn.Module":
    """`model` with `class_weights`, one tensor a column; None where all classes count alike."""
    from tasks.models.classifier import balanced

    counts = [list(known.values()) for known in processor.counts.values()]
    is_balanced = params.class_weights == "balanced"
    model.class_weights = [balanced(known, model) if is_balanced else None for known in counts]
    headed: nn.Module = model
    return headed


def loss(
    logits: "Sequence[Tensor]",
    targets: "Tensor",
    weights: "Sequence[Tensor | None]",
    label_smoothing: float,
    num_items: "Tensor | None",
) -> "Tensor":
    """The cross-entropy of each column, summed over columns; the mean over rows (`num_items`: labels of all batches of
    a step). `logits`: (batch, classes) a column; `targets`: (batch, columns).
    """
    from torch.nn.functional import cross_entropy

    total: Tensor = sum(
        cross_entropy(of_column, targets[:, i], weights[i], reduction="sum", label_smoothing=label_smoothing)
        for i, of_column in enumerate(logits)
    )
    return total / (len(targets) if num_items is None else num_items / targets.shape[1])


def answers(model: "Classifier", columns: "Sequence[Tensor]", rows: Sequence[Row]) -> list[Answer]:
    """The model's answer to each of `rows`; `columns`: the log-probabilities (rows, classes) of each column.

    A class that the model does not know (a champion may have been trained on others) has a likelihood of zero.
    """
    from tasks.models import classifier

    predictions: list[Answer] = []
    for i, (row, probabilities) in enumerate(zip(rows, classifier.by_class(model.classes, columns), strict=True)):
        right = labels(row)
        scores = [
            columns[place][i, known.index(right[column])].item() if right.get(column) in known else -LOWEST
            for place, (column, known) in enumerate(model.classes.items())
        ]
        predictions.append(as_answer(classifier.reply(probabilities), {"nll": -sum(scores), "tokens": len(scores)}))
    return predictions
