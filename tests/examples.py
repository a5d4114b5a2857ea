"""How many examples hypothesis tries for what holds for all inputs: all in `make test`, a fifth in `make check`."""

from hypothesis import settings

FULL = 100  # of a test that asks for no number


def examples(count: int) -> settings:
    """`count` examples in `make test`; in `make check` the same share of them as of all others, but not under 5."""
    return settings(max_examples=max(5, count * settings().max_examples // FULL))
