"""Decides whether a tuned model may be promoted: minimum values, better than its parent, not worse than the champion."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from tasks.section import Section


class Gate(Section):
    """The `gate` section of a model."""

    minimum: dict[str, float] = Field(default={}, description="metric: the least that the tuned model must reach")
    compare_on: str = Field(default="exact_match", description="the row score (0 or 1) of the paired tests")
    alpha: Annotated[float, Field(gt=0, lt=0.5, description="level of the paired tests")] = 0.05
    max_drop: Annotated[float, Field(ge=0, lt=1, description="how far below the champion is still not worse")] = 0.02


@dataclass(frozen=True)
class Check:
    """One thing that the gate looked at: whether it held, and the sentence that says so."""

    held: bool
    words: str

    def __str__(self) -> str:
        return f"{'✓' if self.held else '✗'} {self.words}"


@dataclass(frozen=True)
class Verdict:
    """Whether the model passes, and all that was looked at."""

    passed: bool
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The checks for display: ✓ or ✗ before the words. Code asks `checks` and never parses these."""
        return tuple(map(str, self.checks))

    @property
    def failures(self) -> tuple[str, ...]:
        """The words of the checks that did not hold."""
        return tuple(check.words for check in self.checks if not check.held)


def gate(params: Gate, metrics: dict[str, float], tuned: list[float], parent: list[float], champion: list[float] | None) -> Verdict:
    """The verdict on a tuned model from its `metrics` and the row scores (rows,) of tuned, parent and champion (or None).

    Pure: the same values, the same verdict.
    """
    checks = [*_minimums(params, metrics), _beats_parent(params, tuned, parent)]
    if champion is None:
        checks.append(Check(True, "there is no other champion to compare with"))
    else:
        checks.append(_not_worse(params, tuned, champion))
    return Verdict(all(check.held for check in checks), tuple(checks))


def mcnemar(better: list[float], worse: list[float]) -> tuple[int, int, float]:
    """(rows only `better` has right, rows only `worse` has right, one-sided exact p that `better` is no better).

    McNemar 1947, in its exact form: under no difference the discordant rows fall on either side like a fair coin.
    """
    from scipy.stats import binomtest

    won = sum(a > b for a, b in zip(better, worse, strict=True))
    lost = sum(a < b for a, b in zip(better, worse, strict=True))
    return won, lost, binomtest(won, won + lost, 0.5, alternative="greater").pvalue if won + lost else 1.0


def _minimums(params: Gate, metrics: dict[str, float]) -> list[Check]:
    checks = []
    for name, least in sorted(params.minimum.items()):
        if name not in metrics:
            words = f"{name} has a minimum but was not measured; the metrics are {', '.join(sorted(metrics))}"
            checks.append(Check(False, words))
        else:
            checks.append(Check(metrics[name] >= least, f"{name} is {metrics[name]:.3f}, the minimum is {least:g}"))
    return checks


def _beats_parent(params: Gate, tuned: list[float], parent: list[float]) -> Check:
    won, lost, p = mcnemar(tuned, parent)
    held = p < params.alpha
    found = f"{won} rows won, {lost} lost (McNemar p = {p:.2g}, needs < {params.alpha:g})"
    return Check(held, f"{'better' if held else 'not shown to be better'} than its parent on {params.compare_on}: {found}")


def _not_worse(params: Gate, tuned: list[float], champion: list[float]) -> Check:
    won, lost, p_worse = mcnemar(champion, tuned)
    difference = (lost - won) / len(tuned)
    held = -difference <= params.max_drop and p_worse >= params.alpha
    found = f"{lost} rows won, {won} lost (difference {difference:+.3f}, allowed -{params.max_drop:g}; McNemar p of a loss = {p_worse:.2g})"
    return Check(held, f"{'not worse' if held else 'worse'} than the champion on {params.compare_on}: {found}")
