"""What objectives share that tell classes: which classes the rows have, the loss of all columns, how likely the right
ones are.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.errors import AnnealError

if TYPE_CHECKING:
    from torch import Tensor

LOWEST = 1.0e4  # nats: what a class that is not known counts at most


def labels(row: Mapping[str, Any]) -> dict[str, str]:
    """{column: class} of a prepared row, or of one that was answered."""
    answer: dict[str, str] = json.loads(row["expected"] if "expected" in row else row["answer"])
    return answer


def counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """{column: {class: how many rows have it}}, both by the alphabet."""
    every: dict[str, Counter[str]] = {}
    for row in rows:
        for column, label in labels(row).items():
            every.setdefault(column, Counter())[label] += 1
    return {column: dict(sorted(count.items())) for column, count in sorted(every.items())}


def numbers(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """{column: {class: its number}}."""
    return {column: {name: i for i, name in enumerate(known)} for column, known in counts.items()}


def refuse_single(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Raise AnnealError for a column with one class only."""
    for column, known in counts.items():
        if len(known) < 2:
            raise AnnealError(
                f"all training rows have the class {next(iter(known))!r} in `{column}`: there is nothing to tell "
                "apart; add rows of another class, or leave the column out of prepare.labels."
            )


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


def predictions(model: Any, columns: "Sequence[Tensor]", rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a prediction holds of each of `rows`, see tasks/tuned.py, and `probabilities`: {column: {class: share}}.

    `columns`: of each the log-probabilities (rows, classes). A class that the model does not know, as a champion's may
    be, has no likelihood above zero.
    """
    from tasks import classifier

    made = []
    for i, (row, told) in enumerate(zip(rows, classifier.named(model, columns), strict=True)):
        right = labels(row)
        scores = [
            columns[place][i, known.index(right[column])].item() if right.get(column) in known else -LOWEST
            for place, (column, known) in enumerate(model.classes.items())
        ]
        prediction = {"text": classifier.written(told), "token_ids": [], "finished": True, "probabilities": told}
        made.append({**prediction, "nll": -sum(scores), "tokens": len(scores)})
    return made
