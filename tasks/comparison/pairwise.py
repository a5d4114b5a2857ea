"""Features of choices between two answers: how the first differs from the second in words and length."""

from collections.abc import Sequence

import numpy as np

from tasks.comparison.linear import Matrix
from tasks.dataset.rows import Prepared
from tasks.dialogues import choices


def are_choices(rows: Sequence[Prepared]) -> bool:
    """Whether `rows` ask which of two answers is better."""
    return len(choices.split(rows[0]["messages"])[1]) > 1


def texts(rows: Sequence[Prepared]) -> list[str]:
    """All first answers, then all second ones."""
    return [row["row"][place] for place in choices.PAIR for row in rows]


def differences(features: Matrix, texts: Sequence[str]) -> Matrix:
    """(choices, width + 1): from the `features` of `texts` (as above), those of the first answer less those of the
    second, and how many times longer it is, as a logarithm.
    """
    lengths = np.log([[1.0 + len(text)] for text in texts])
    first, second = np.split(np.hstack([features, lengths]), 2)
    difference: Matrix = first - second
    return difference


def both_ways(features: Matrix) -> Matrix:
    """The choices, and the same with their answers exchanged: neither place is then the likelier one."""
    doubled: Matrix = np.vstack([features, -features])
    return doubled


def exchanged(places: Sequence[str]) -> list[str]:
    """The better `places` of these."""
    other = dict(zip(choices.PAIR, reversed(choices.PAIR), strict=True))
    return [*places, *(other[place] for place in places)]
