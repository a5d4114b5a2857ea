"""Shared by measures: class numbers, ranks, probabilities and numbers of rows."""

from collections.abc import Sequence

import numpy as np

from tasks.errors import AnnealError
from tasks.formats.numbers import number
from tasks.stages.evaluate.measures.measure import Rows
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import clean

NO_CLASS = -1  # no answer, or one of a class that no row is of: models may err in different words, and mix in a test


def answer_text(row: Prediction, column: str) -> str:
    """The answer's value in `column`; an invalid answer has none."""
    return (row.parsed or {}).get(column, "")


def right_texts(row: Prediction, column: str) -> list[str]:
    """The texts that are right in `column`; several where the row has several."""
    return [row.right[column], *row.others]


def class_numbers(rows: Sequence[Prediction], label: str) -> Rows:
    """(actual, predicted) of each row, shape (rows, 2): classes by their place among those that occur."""
    number = {name: i for i, name in enumerate(_classes(rows, label))}
    pairs = [(number[clean(row.right[label])], number.get(clean(answer_text(row, label)), NO_CLASS)) for row in rows]
    return np.array(pairs, float)


def class_probabilities(rows: Sequence[Prediction], label: str) -> tuple[Rows, Rows]:
    """(number of the right class, shape (rows,); probability of each class that occurs, shape (rows, classes)); 0 for a
    class that the model does not know.
    """
    classes = _classes(rows, label)
    number = {name: i for i, name in enumerate(classes)}
    actual = np.array([number[clean(row.right[label])] for row in rows], float)
    given = [probabilities(row, label) for row in rows]
    return actual, np.array([[row.get(name, 0.0) for name in classes] for row in given], float)


def probabilities(row: Prediction, label: str) -> dict[str, float]:
    """The probability of each class of `label`; AnnealError where the model gave none."""
    if row.probabilities is None or label not in row.probabilities:
        raise AnnealError(
            f"params.yaml: gate.compare_on is a measure of the probabilities of `{label}`, and not all answers have "
            "any; compare on another."
        )
    return dict(row.probabilities[label])


def have_probabilities(rows: Sequence[Prediction], label: str) -> bool:
    """Whether each row has the probabilities of `label`."""
    return all(row.probabilities is not None and label in row.probabilities for row in rows)


def doubled_ranks(values: Rows) -> Rows:
    """Twice the rank from 0 of each value in its column, ties at their middle: whole numbers below twice the rows."""
    from scipy.stats import rankdata

    ranks: Rows = 2 * rankdata(values, axis=0) - 2
    return ranks


def numbers(rows: Sequence[Prediction], column: str) -> tuple[Rows, Rows]:
    """(right, answered) numbers, each of shape (rows,).

    An answer that is not a number counts as the right number that is farthest from the row's own, so that to say
    nothing is never better than to guess among them. AnnealError where the right answer is not a number.
    """
    right = np.array([_right_number(row, column) for row in rows], float)
    ends = np.array([right.min(), right.max()])
    if ends[0] == ends[1]:
        ends += [0, 1]  # all rows are alike: some distance there must be
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
