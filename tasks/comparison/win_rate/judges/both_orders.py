"""Verdicts of someone who is shown two answers: each pair in both orders, since a place sways models (Zheng et al.
2023, arXiv:2306.05685).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tasks.comparison.win_rate.judges import Judgement, Orders
from tasks.dataset.rows import Prepared, prompt
from tasks.texts.clean import folded


class Compare(Protocol):
    """Says how far the first of two answers to a prompt is better: 1, 1/2 for a tie, 0; None without a verdict."""

    def __call__(self, prompt: str, first: str, second: str) -> float | None:
        """The verdict."""
        ...


class Pair(NamedTuple):
    """Verdicts in both orders, each of the answer that stood first; `is_same`: they look alike, nobody judged."""

    there: float | None
    back: float | None
    is_same: bool = False

    @property
    def share(self) -> float | None:
        """How far the first model won: the mean of both orders."""
        return None if self.there is None or self.back is None else (self.there + 1 - self.back) / 2

    @property
    def note(self) -> str:
        """The two verdicts in words."""
        if self.is_same:
            return "the same answer"
        if self.there is None or self.back is None:
            return "no verdict"
        words = {1.0: "won", 0.5: "tied", 0.0: "lost"}
        return f"{words[self.there]} shown first, {words[1 - self.back]} shown second"


SAME = Pair(0.5, 0.5, is_same=True)


@dataclass(frozen=True)
class BothOrders:
    """A judge that `compare`s each pair twice; `shown` makes the prompt's text of a row."""

    by: str
    compare: Compare
    shown: Callable[[Prepared], str] = prompt

    def __call__(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> Judgement:
        """The mean of both verdicts; none where one of them is missing. Equal answers tie without being shown."""
        return of_pairs(self.by, [self._judge(row, *both) for row, *both in zip(rows, first, second, strict=True)])

    def _judge(self, row: Prepared, first: str, second: str) -> Pair:
        if is_same(first, second):
            return SAME
        text = self.shown(row)
        return Pair(self.compare(text, first, second), self.compare(text, second, first))


def is_same(first: str, second: str) -> bool:
    """Whether two answers look alike."""
    return folded(first) == folded(second)


def of_pairs(by: str, pairs: Sequence[Pair]) -> Judgement:
    """What the verdicts of both orders come to."""
    return Judgement(by, [pair.share for pair in pairs], [pair.note for pair in pairs], orders=_orders(pairs))


def _orders(pairs: Sequence[Pair]) -> Orders | None:
    """None where nothing was judged in both orders."""
    told = [(there, back) for there, back, same in pairs if not same and there is not None and back is not None]
    if not told:
        return None
    return {
        "same": sum(there == 1 - back for there, back in told) / len(told),
        "first_preferred": sum(there + back for there, back in told) / (2 * len(told)),
    }
