"""Batches rows of similar length, no more of them than fit into memory."""

from collections.abc import Iterator, Sequence

# Tokens of a forward pass, padding included: on a CPU few enough that activations stay in its cache.
READ_AT_ONCE, READ_ON_A_CPU = 4096, 768
AT_ONCE = 16_384  # tokens of the prompts of a batch, padding included: with longer prompts, a batch has fewer rows


def batches(order: Sequence[int], lengths: Sequence[int], rows: int, tokens: int = AT_ONCE) -> Iterator[list[int]]:
    """`order`, longest first, in batches of at most `rows`, and of `tokens` where more than one row is in it."""
    start = 0
    while start < len(order):
        size = max(1, min(rows, tokens // max(1, lengths[order[start]])))
        yield list(order[start : start + size])
        start += size


def longest_first(lengths: Sequence[int]) -> list[int]:
    """The places of `lengths`, so that memory trouble shows at once."""
    return sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))


def tokens_of_a_pass(device: str) -> int:
    """Tokens that a model on a `device` (cpu, cuda, mps) reads in one pass."""
    return min(READ_AT_ONCE, READ_ON_A_CPU) if device == "cpu" else READ_AT_ONCE
