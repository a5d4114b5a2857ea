"""The probabilities in an answer of a version that tells classes."""

from collections.abc import Mapping

Told = dict[str, dict[str, float]]  # {column: {class: its probability}}


def read(value: object) -> Told | None:
    """The probabilities of a choice, None where it has none; TypeError for what are none."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError("the probabilities of an answer are not an object")
    return {str(column): _shares(shares) for column, shares in value.items()} or None


def _shares(shares: object) -> dict[str, float]:
    if not isinstance(shares, Mapping) or not shares or not all(_is_share(share) for share in shares.values()):
        raise TypeError("the probabilities of a column are not numbers")
    return {str(name): float(share) for name, share in shares.items()}


def _is_share(share: object) -> bool:
    return isinstance(share, int | float) and 0 <= share <= 1  # no NaN: no database takes it
