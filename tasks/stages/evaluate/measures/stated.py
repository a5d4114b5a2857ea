"""How sure an answer says that it is, as a probability, beside whether it is right."""

from collections.abc import Sequence

import numpy as np

from tasks.formats.answer import agrees
from tasks.formats.numbers import number
from tasks.stages.evaluate.measures.measure import Rows
from tasks.stages.evaluate.params import Stated
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import folded


def stated(rows: Sequence[Prediction], how: Stated) -> Rows:
    """(whether the answer is right, how sure it says that it is), shape (rows, 2).

    An answer that cannot be read, or that does not say how sure it is, counts as surely wrong: no figure is better for
    saying nothing.
    """
    return np.array([_pair(row, how) for row in rows], float)


def _pair(row: Prediction, how: Stated) -> tuple[float, float]:
    p = probability((row.parsed or {}).get(how.column, ""), how)
    if p is None:
        return 0.0, 1.0
    about = how.about or [column for column in row.right if column != how.column]
    return float(agrees(row.parsed, row.right, about)), p


def probability(text: str, how: Stated) -> float | None:
    """The probability that a word of `values` stands for; else that of a number from 0 to 1, or of a share in per
    cent; None for any other text.
    """
    words = {folded(word): p for word, p in how.values.items()}
    if words:
        return words.get(folded(text))
    value = number(text.strip().removesuffix("%"))
    if value is None:
        return None
    value = value / 100 if text.strip().endswith("%") else value
    return value if 0 <= value <= 1 else None
