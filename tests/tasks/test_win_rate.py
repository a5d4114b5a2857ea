"""Win rates: what must hold of any rate, interval, length-controlled rate, and verdict in both orders."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.comparison.win_rate import words
from tasks.comparison.win_rate.datasets import STAGES
from tasks.comparison.win_rate.judges.both_orders import BothOrders
from tasks.comparison.win_rate.judges.scored import by_scores
from tasks.comparison.win_rate.length_controlled import controlled
from tasks.comparison.win_rate.rate import Shares, interval, p_of, rate
from tasks.rewards import Scores
from tasks.stages.evaluate.comparison import wilson
from tasks.stages.evaluate.params import Evaluate
from tests import tiny
from tests.house.project import ROOT, stages

EVALUATE = Evaluate(bootstrap_resamples=100)
ROWS = tiny.prepared_rows(0, 4)
shares_of = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=60).map(np.array)


@given(shares_of)
def test_swapping_the_models_turns_the_interval_round(shares: Shares) -> None:
    low, high = interval(shares, 0.95)
    assert interval(1 - shares, 0.95) == pytest.approx([1 - high, 1 - low])


@pytest.mark.parametrize("shares", [[1.0, 1, 0, 0.5, 1], [0.75, 0.25, 1, 1, 0.5, 1], [0.0] * 9])
def test_swapping_the_models_turns_every_figure_round(shares: list[float]) -> None:
    ours, theirs = rate(np.array(shares), 0.95), rate(1 - np.array(shares), 0.95)
    assert (theirs["value"], theirs["p"]) == pytest.approx((1 - ours["value"], ours["p"]))
    assert (theirs["wins"], theirs["ties"], theirs["losses"]) == (ours["losses"], ours["ties"], ours["wins"])


@given(shares_of)
def test_the_interval_holds_the_rate_and_ties_only_make_it_narrower(shares: Shares) -> None:
    from statsmodels.stats.proportion import proportion_confint

    low, high = interval(shares, 0.95)
    widest = proportion_confint(shares.sum(), len(shares), 0.05, method="wilson")  # of a coin with that mean
    assert widest[0] - 1e-9 <= low <= shares.mean() + 1e-9 and shares.mean() - 1e-9 <= high <= widest[1] + 1e-9


def test_without_ties_the_interval_is_wilsons() -> None:
    for won in (0, 3, 31, 50):
        shares = np.array([1.0] * won + [0.0] * (50 - won))
        assert interval(shares, 0.9) == pytest.approx(wilson(shares, 0.9), abs=1e-9)


def test_many_ties_make_the_interval_narrower_and_never_none() -> None:
    widths = [np.diff(interval(np.array([1.0, 0.0] * n + [0.5] * (50 - 2 * n)), 0.95))[0] for n in (25, 10, 1, 0)]
    assert widths == sorted(widths, reverse=True) and widths[-1] > 0.05


@pytest.mark.parametrize(("won", "tied"), [(0.5, 0.0), (0.3, 0.4), (0.6, 0.2), (0.9, 0.05)])
def test_the_interval_holds_the_true_rate_as_often_as_it_says(won: float, tied: float) -> None:
    chance, true = np.random.default_rng(1), won + tied / 2
    drawn = chance.choice([1.0, 0.5, 0.0], (600, 50), p=[won, tied, 1 - won - tied])
    held = [low <= true <= high for low, high in (interval(shares, 0.95) for shares in drawn)]
    assert np.mean(held) >= 0.925


def test_a_model_against_itself_is_at_a_half_and_never_significant() -> None:
    scores = Scores([1.0, 0.5, 0.0, 2.5], {"valid": [1.0, 0.5, 0.0, 2.5]}, {})
    judged = by_scores("itself", scores, scores, {"valid": 1.0})
    itself = rate(np.array(judged.shares, float), 0.95)
    assert (itself["value"], itself["ties"], itself["p"]) == (0.5, 4, 1.0)
    low, high = itself["interval"]
    assert low < 0.5 < high
    lengths = [3, 9, 4, 7]
    assert controlled(np.array(judged.shares, float), (lengths, lengths), EVALUATE)["value"] == 0.5


def test_the_test_is_the_exact_sign_test_and_ties_tell_nothing() -> None:
    from scipy.stats import binomtest

    shares = np.array([1.0] * 9 + [0.0] * 2)
    assert p_of(shares) == pytest.approx(binomtest(9, 11, 0.5).pvalue)
    assert p_of(np.append(shares, [0.5] * 40)) == pytest.approx(p_of(shares))
    assert p_of(np.array([1.0] * 8)) == pytest.approx(2 / 256)


def test_verdicts_of_two_orders_are_tested_by_permutation() -> None:
    assert p_of(np.array([0.75] * 8)) == pytest.approx(2 / 256)  # all exchanges are tried: exact
    assert p_of(np.array([0.75, 0.25] * 4)) == pytest.approx(1.0)
    assert p_of(np.array([0.75])) == 1.0


def planted(
    rows: int, quality: float, taste: float, longer: float = 60.0
) -> tuple[Shares, tuple[list[int], list[int]]]:
    """Verdicts of a judge with a `taste` for length on answers that are `longer` as a rule, and better by `quality`
    log odds.
    """
    chance = np.random.default_rng(3)
    gap = chance.normal(longer, 80, rows).round()
    odds = quality + taste * np.tanh(gap / gap.std())
    won = (chance.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    return won, ([200 + int(each) for each in gap], [200] * rows)


def test_a_model_that_wins_by_length_alone_is_at_a_half_once_length_is_controlled() -> None:
    shares, lengths = planted(600, quality=0.0, taste=2.0)
    known = controlled(shares, lengths, EVALUATE)
    assert shares.mean() > 0.6
    assert known["value"] == pytest.approx(0.5, abs=0.05) and known["interval"][0] < 0.5 < known["interval"][1]


def test_a_model_that_is_better_wins_whatever_the_length() -> None:
    shares, lengths = planted(600, quality=1.0, taste=0.0)
    known = controlled(shares, lengths, EVALUATE)
    assert known["interval"][0] > 0.6 and known["value"] == pytest.approx(shares.mean(), abs=0.05)


def test_controlling_turns_round_when_the_models_are_swapped() -> None:
    shares, (ours, theirs) = planted(60, quality=0.5, taste=1.0)
    there, back = controlled(shares, (ours, theirs), EVALUATE), controlled(1 - shares, (theirs, ours), EVALUATE)
    assert back["value"] == pytest.approx(1 - there["value"], abs=1e-6)
    assert back["interval"] == pytest.approx([1 - edge for edge in reversed(there["interval"])], abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_where_every_answer_is_longer_nothing_is_controlled(sign: int) -> None:
    known = controlled(np.array([1.0, 0.0, 1.0]), ([200 + sign, 200 + sign, 200 + 2 * sign], [200] * 3), EVALUATE)
    assert known.keys() == {"reason"} and ("longer" if sign > 0 else "shorter") in known["reason"]


def test_who_wins_all_is_not_sure_to_win_always() -> None:
    known = controlled(np.ones(10), (list(range(10)), [5] * 10), EVALUATE)
    assert known["value"] == 1.0 and known["interval"] == pytest.approx(wilson(np.ones(10), 0.95))


def judge_by(compare: Callable[[str, str, str], float | None]) -> BothOrders:
    return BothOrders("a judge", compare)


def test_a_judge_who_always_takes_the_first_says_nothing() -> None:
    judged = judge_by(lambda prompt, first, second: 1.0)(ROWS, ["a", "b", "c", "d"], ["e", "f", "g", "h"])
    assert judged.shares == [0.5] * 4
    assert judged.orders == {"same": 0.0, "first_preferred": 1.0}
    assert judged.notes[0] == "won shown first, lost shown second"


def test_a_judge_of_quality_says_the_same_in_both_orders() -> None:
    judged = judge_by(lambda prompt, first, second: float(first > second))(
        ROWS, ["b", "b", "b", "a"], ["a", "c", "a", "b"]
    )
    assert judged.shares == [1.0, 0.0, 1.0, 0.0] and judged.orders == {"same": 1.0, "first_preferred": 0.5}


def test_half_a_verdict_counts_a_quarter() -> None:
    verdicts = {("a", "b"): 1.0, ("b", "a"): 0.5}
    judged = judge_by(lambda prompt, first, second: verdicts[first, second])(ROWS[:1], ["a"], ["b"])
    assert judged.shares == [0.75]


def test_equal_answers_tie_unseen_and_a_missing_verdict_is_none() -> None:
    seen: list[tuple[str, str]] = []

    def compare(prompt: str, first: str, second: str) -> float | None:
        seen.append((first, second))
        return None if first == "?" else 1.0

    judged = judge_by(compare)(ROWS[:2], ["a", "?"], ["a", "b"])
    assert judged.shares == [0.5, None] and seen == [("?", "b"), ("b", "?")]
    assert judged.notes == ["the same answer", "no verdict"] and judged.orders is None


def test_scores_decide_and_the_held_out_ones_do_not() -> None:
    first = Scores([1.0, 0.3 - 0.1], {"a": [1.0, 0.2]}, {"b": [0.0, 0.0]})
    second = Scores([0.5, 0.2], {"a": [0.5, 0.2]}, {"b": [1.0, 1.0]})
    judged = by_scores("a rubric", first, second, {"a": 1.0})
    assert judged.shares == [1.0, 0.5]  # 0.3 - 0.1 is 0.2 but for rounding
    assert [(part["name"], part["weight"]) for part in judged.parts] == [("a", 1.0), ("b", None)]


def test_each_stage_that_makes_a_dataset_is_known() -> None:
    makers = {stage.name for stage in stages(ROOT) if any(out.startswith("data/prepared/") for out in stage.outs)}
    assert makers <= set(STAGES.values())


@pytest.mark.parametrize(
    ("p", "value", "known", "said"),
    [
        (0.2, 0.6, {"value": 0.6, "interval": [0.4, 0.8]}, "open"),
        (0.01, 0.7, {"value": 0.7, "interval": [0.6, 0.8]}, "better"),
        (0.01, 0.7, {"reason": "every answer is longer"}, "better"),
        (0.01, 0.7, {"value": 0.55, "interval": [0.4, 0.7]}, "longer"),
        (0.01, 0.3, {"value": 0.3, "interval": [0.2, 0.4]}, "worse"),
        (0.01, 0.3, {"value": 0.45, "interval": [0.3, 0.6]}, "shorter"),
    ],
)
def test_who_wins_by_length_is_not_called_better(p: float, value: float, known: dict, said: str) -> None:
    assert words.verdict({"rate": {"p": p, "value": value}, "confidence": 0.95, "controlled": known}) == said
    assert said in words.HEADS
