"""Assigns each row to a split by its content alone, so that data added later never moves a test row into training."""

import hashlib


def split(text: str, seed: int, validation_share: float, test_share: float) -> str:
    """`train`, `validation` or `test` for a row with the input `text`, by the hash of seed and text as a number in
    [0, 1).
    """
    digest = hashlib.sha256(f"{seed}\n{text}".encode()).digest()
    quantile = int.from_bytes(digest[:8], "big") / 2**64
    if quantile < test_share:
        return "test"
    return "validation" if quantile < test_share + validation_share else "train"
