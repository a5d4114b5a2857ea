"""A version on trial is judged by the coin that the gateway threw: an equal one is seldom called worse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom

from tasks.serve.canary import Counts, assess, wealth


def decide(failures: dict[str, tuple[int, int]], answers: int = 100, hours: float = 1.0, mode: str = "share") -> str:
    return assess(Counts(answers, 4 * answers, failures), mode, 0.2, 0.05, 500, hours, 72).action


@pytest.mark.parametrize(("x", "n", "share"), [(0, 0, 0.2), (3, 3, 0.2), (2, 9, 0.2), (5, 8, 0.5), (0, 30, 0.01)])
def test_the_wealth_is_the_integral_that_it_is_said_to_be(x: int, n: int, share: float) -> None:
    value, _ = quad(lambda q: (q / share) ** x * ((1 - q) / (1 - share)) ** (n - x), share, 1)
    assert wealth(x, n, share) == pytest.approx(value / (1 - share), rel=1e-6)


@given(st.integers(0, 60), st.sampled_from([0.01, 0.2, 0.5, 0.9]))
def test_the_wealth_is_one_on_average_when_the_versions_are_equal(n: int, share: float) -> None:
    x = np.arange(n + 1)
    assert float(np.sum(binom.pmf(x, n, share) * wealth(x, n, share))) == pytest.approx(1.0, rel=1e-6)


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_next_failure_makes_a_fair_bet(x: int, more: int) -> None:
    n, share = x + more, 0.2
    expected = share * wealth(x + 1, n + 1, share) + (1 - share) * wealth(x, n + 1, share)
    assert float(expected) == pytest.approx(float(wealth(x, n, share)), rel=1e-6, abs=1e-12)


def test_looking_after_every_failure_an_equal_version_is_called_worse_no_more_often_than_promised() -> None:
    failures = np.arange(1, 301)
    wealths = wealth(np.arange(301)[:, None].clip(max=failures), failures, 0.2)  # [on the challenger, of so many - 1]

    def share_called_worse(share: float) -> float:
        on_challenger = np.cumsum(np.random.default_rng(0).random((4000, 300)) < share, axis=1)
        return float((wealths[on_challenger, failures - 1].max(axis=1) >= 20).mean())

    assert share_called_worse(0.2) <= 0.05
    assert share_called_worse(0.4) > 0.99  # planted: a version that fails 2.7 times as often


def test_verdicts() -> None:
    assert decide({}) == "continue" and decide({"invalid": (4, 20)}) == "continue"
    assert decide({"invalid": (5, 5)}) == "roll_back"
    assert decide({"error": (0, 50)}) == "continue"  # it is the champion that fails
    assert decide({"invalid": (20, 100)}, answers=500) == "promote"
    assert decide({}, hours=72) == "call_off"
    assert (
        decide({"invalid": (9, 9)}, mode="shadow") == "roll_back"
        and decide({"invalid": (5, 5)}, mode="shadow") == "continue"
    )


def test_the_reasons_say_what_was_counted() -> None:
    found = assess(Counts(100, 400, {"invalid": (9, 12), "slow": (1, 5)}), "share", 0.2, 0.05, 500, 1, 72)
    assert found.reasons == (
        "more answers that are not valid: 9 of 100 on the challenger, 3 of 400 on the champion; of 12, 2 would be "
        "expected"
        "",
    )
    assert found.facts["failures"] == {"invalid": [9, 12], "slow": [1, 5]} and found.facts["line"] == 20
