"""Which columns of a table are labels (short, recurring values), and the likeliest class of one."""

from collections.abc import Mapping, Sequence

LONGEST = 40, 100  # characters of a label of several words, and of a single word, such as an identifier
FEWEST = 2  # values


def is_label(values: Sequence[str]) -> bool:
    """Whether the cleaned `values` of a column are classes: at most half as many values as rows."""
    classes = {value for value in values if value}
    is_short = all(len(value) <= LONGEST[len(value.split()) == 1] and "\n" not in value for value in classes)
    return is_short and FEWEST <= len(classes) <= len(values) / 2


def likeliest(shares: Mapping[str, float]) -> str:
    """The class with the highest probability; among equals the first by name."""
    return min(shares, key=lambda name: (-shares[name], name))
