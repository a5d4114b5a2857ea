"""Values of rows that several measures share: texts, class numbers, ranks, probabilities and numbers."""

from collections.abc import Sequence

import numpy as np

from tasks.errors import AnnealError
from tasks.formats.numbers import number
from tasks.stages.evaluate.measures.measure import Rows
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import clean

NO_CLASS = -1  # no answer, or a class that no row has; one number for all, since tests mix the answers of two models


def answer_text(row: Prediction, column: str) -> str:
    """The answer's value in `column`; empty for an invalid answer."""
    return (row.parsed or {}).get(column, "")


def right_texts(row: Prediction, column: str) -> list[str]:
    """All right texts of `column`."""
    return [row.right[column], *row.others]


def class_numbers(rows: Sequence[Prediction], label: str) -> Rows:
    """(actual, predicted) class numbers of each row, shape (rows, 2), by the order of the classes that occur."""
    index = {name: i for i, name in enumerate(_classes(rows, label))}
    pairs = [(index[clean(row.right[label])], index.get(clean(answer_text(row, label)), NO_CLASS)) for row in rows]
    return np.array(pairs, float)


def class_probabilities(rows: Sequence[Prediction], label: str) -> tuple[Rows, Rows]:
    """(number of the right class, shape (rows,); probability of each class that occurs, shape (rows, classes)); 0 for a
    class that the model does not know.
    """
    classes = _classes(rows, label)
    index = {name: i for i, name in enumerate(classes)}
    actual = np.array([index[clean(row.right[label])] for row in rows], float)
    shares = [probabilities(row, label) for row in rows]
    return actual, np.array([[row.get(name, 0.0) for name in classes] for row in shares], float)


def probabilities(row: Prediction, label: str) -> dict[str, float]:
    """The probability of each class of `label`; AnnealError if the model gave none."""
    if row.probabilities is None or label not in row.probabilities:
        raise AnnealError(
            f"params.yaml: gate.compare_on is a measure of the probabilities of `{label}`, and not all answers have "
            "any; compare on another."
        )
    return dict(row.probabilities[label])


def have_probabilities(rows: Sequence[Prediction], label: str) -> bool:
    """Whether every row has probabilities of `label`."""
    return all(row.probabilities is not None and label in row.probabilities for row in rows)


def doubled_ranks(values: Rows) -> Rows:
    """Twice the rank (from 0) of each value in its column, ties at their mean: integers below twice the rows."""
    from scipy.stats import rankdata

    ranks: Rows = 2 * rankdata(values, axis=0) - 2
    return ranks


def numbers(rows: Sequence[Prediction], column: str) -> tuple[Rows, Rows]:
    """(right, answered) numbers, each of shape (rows,).

    An answer that is not a number counts as the right number that is farthest from the row's own, so that no answer is
    never better than a guess. AnnealError if a right answer is not a number.
    """
    right = np.array([_right_number(row, column) for row in rows], float)
    ends = np.array([right.min(), right.max()])
    if ends[0] == ends[1]:
        ends += [0, 1]  # all rows are equal: an invalid answer still needs some distance
    farthest = np.where(right - ends[0] > ends[1] - right, ends[0], ends[1])
    answers = [number(answer_text(row, column)) for row in rows]
    return right, np.array([far if value is None else value for value, far in zip(answers, farthest, strict=True)])


def _right_number(row: Prediction, column: str) -> float:
    value = number(row.right[column])
    if value is None:
        raise AnnealError(
            f"evaluate.numbers names `{column}`, and the right answer of a row is {row.right[column]!r}, which is not "
            "a number: correct the row, or remove the column from evaluate.numbers."
        )
    return value


def _classes(rows: Sequence[Prediction], label: str) -> list[str]:
    return sorted({clean(row.right[label]) for row in rows})
