"""The gate is a pure function: minimum values, better than the parent, not worse than the champion; each with its reason."""

import copy
from fractions import Fraction
from math import comb

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tasks.gate import Gate, gate, mcnemar

modest = settings(max_examples=100, deadline=None, derandomize=True, database=None)

# 20 rows: the parent has 5 right, the tuned model those and 10 more.
PARENT = [1.0] * 5 + [0.0] * 15
TUNED = [1.0] * 15 + [0.0] * 5
GOOD = {"valid_json": 1.0, "exact_match": 0.75}
row = st.sampled_from([0.0, 1.0])


def rows(won: int, lost: int, both: int = 0, neither: int = 0) -> tuple[list[float], list[float]]:
    """Scores of two models of which the first alone has `won` rows right, the second alone `lost`."""
    return [1.0] * won + [0.0] * lost + [1.0] * both + [0.0] * neither, [0.0] * won + [1.0] * lost + [1.0] * both + [0.0] * neither


def test_a_model_that_is_better_than_its_parent_passes_when_there_is_no_champion():
    verdict = gate(Gate(minimum={"valid_json": 0.9}), GOOD, TUNED, PARENT, None)
    assert verdict.passed
    assert [reason[0] for reason in verdict.reasons] == ["✓", "✓", "✓"]
    assert verdict.reasons[0] == "✓ valid_json is 1.000, the minimum is 0.9"
    assert "10 rows won, 0 lost" in verdict.reasons[1]
    assert "no other champion" in verdict.reasons[2]


def test_a_value_below_its_minimum_fails_and_one_at_its_minimum_passes():
    low = gate(Gate(minimum={"valid_json": 0.9}), {"valid_json": 0.899}, TUNED, PARENT, None)
    assert not low.passed and low.reasons[0] == "✗ valid_json is 0.899, the minimum is 0.9"
    assert gate(Gate(minimum={"valid_json": 0.9}), {"valid_json": 0.9}, TUNED, PARENT, None).passed


def test_a_minimum_that_was_not_measured_fails():
    verdict = gate(Gate(minimum={"category_f1": 0.1}), GOOD, TUNED, PARENT, None)
    assert not verdict.passed
    assert verdict.reasons[0] == "✗ category_f1 has a minimum but was not measured; the metrics are exact_match, valid_json"


def test_a_value_that_is_no_number_fails_its_minimum():
    assert not gate(Gate(minimum={"valid_json": 0.0}), {"valid_json": float("nan")}, TUNED, PARENT, None).passed


def test_one_broken_minimum_is_enough_and_every_reason_is_told():
    verdict = gate(Gate(minimum={"valid_json": 0.9, "exact_match": 0.9}), GOOD, TUNED, PARENT, PARENT)
    assert not verdict.passed
    assert [reason[0] for reason in verdict.reasons] == ["✗", "✓", "✓", "✓"]


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (8, 1, Fraction(10, 512)),  # (C(9,8) + C(9,9)) / 2⁹
        (5, 0, Fraction(1, 32)),
        (4, 0, Fraction(1, 16)),
        (1, 1, Fraction(3, 4)),
        (0, 5, Fraction(1)),
        (10, 3, Fraction(286 + 78 + 13 + 1, 8192)),
        (0, 0, Fraction(1)),
    ],
)
def test_mcnemars_p_is_the_exact_one(won, lost, p):
    assert mcnemar(*rows(won, lost, both=7, neither=4)) == (won, lost, pytest.approx(float(p), rel=1e-12))


@modest
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemars_p_is_the_tail_of_a_fair_coin(won, lost):
    n = won + lost
    tail = Fraction(sum(comb(n, k) for k in range(won, n + 1)), 2**n)
    assert mcnemar(*rows(won, lost))[2] == pytest.approx(float(tail), rel=1e-9)


def test_rows_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError):
        mcnemar([1.0, 0.0], [1.0])
    with pytest.raises(ValueError):
        gate(Gate(), GOOD, TUNED, PARENT[:-1], None)
    with pytest.raises(ValueError):
        gate(Gate(), GOOD, TUNED, PARENT, TUNED[:-1])


def test_a_model_no_better_than_its_parent_fails():
    assert not gate(Gate(), GOOD, PARENT, PARENT, None).passed
    assert not gate(Gate(), GOOD, PARENT, TUNED, None).passed


def test_better_by_chance_is_not_better():
    four, five = rows(4, 0, both=3), rows(5, 0, both=3)  # p = 1/16 and 1/32
    assert not gate(Gate(alpha=0.05), GOOD, *four, None).passed
    assert gate(Gate(alpha=0.05), GOOD, *five, None).passed
    assert not gate(Gate(alpha=0.01), GOOD, *five, None).passed


def test_a_model_equal_to_the_champion_passes():
    verdict = gate(Gate(), GOOD, TUNED, PARENT, TUNED)
    assert verdict.passed and verdict.reasons[-1].startswith("✓ not worse than the champion on exact_match: 0 rows won, 0 lost (difference +0.000")


def test_a_model_with_as_many_rows_right_as_the_champion_but_others_passes():
    assert gate(Gate(), GOOD, TUNED, PARENT, [0.0] * 2 + [1.0] * 15 + [0.0] * 3).passed


def test_a_model_worse_than_the_champion_fails():
    verdict = gate(Gate(max_drop=0.02), GOOD, TUNED, PARENT, [1.0] * 20)
    assert not verdict.passed
    assert verdict.reasons[-1].startswith("✗ worse than the champion on exact_match: 0 rows won, 5 lost (difference -0.250, allowed -0.02;")


def test_a_drop_within_the_allowance_that_is_no_chance_fails_all_the_same():
    # 5 of 300 rows: a drop of 1.7 % is allowed, but 5 lost and none won is p = 1/32.
    tuned, champion = rows(0, 5, both=100, neither=195)
    parent = [0.0] * 300
    assert not gate(Gate(max_drop=0.02), GOOD, tuned, parent, champion).passed
    assert gate(Gate(max_drop=0.02), GOOD, *(scores[1:] for scores in (tuned, parent, champion))).passed


def test_a_drop_that_may_be_chance_but_is_too_large_fails():
    tuned, champion = rows(0, 2, both=10, neither=8)  # p = 1/4, a drop of 10 %
    parent = [0.0] * 20
    assert not gate(Gate(max_drop=0.05), GOOD, tuned, parent, champion).passed
    assert gate(Gate(max_drop=0.10), GOOD, tuned, parent, champion).passed


@modest
@given(st.lists(st.tuples(row, row, row), min_size=1, max_size=40))
def test_the_same_values_give_the_same_verdict_and_stay_as_they_were(scores):
    tuned, parent, champion = map(list, zip(*scores, strict=True))
    given_values = (Gate(minimum={"valid_json": 0.5}), dict(GOOD), tuned, parent, champion)
    before = copy.deepcopy(given_values)
    assert gate(*given_values) == gate(*before)
    assert given_values == before


@modest
@given(st.lists(st.tuples(row, row), min_size=5, max_size=30), st.data())
def test_one_more_right_row_never_turns_better_than_the_parent_into_not_better(scores, data):
    tuned, parent = map(list, zip(*scores, strict=True))
    assume(0.0 in tuned)
    place = data.draw(st.sampled_from([index for index, score in enumerate(tuned) if score == 0.0]))
    improved = [*tuned[:place], 1.0, *tuned[place + 1 :]]
    before, after = (gate(Gate(alpha=0.3), {}, scores, parent, None) for scores in (tuned, improved))
    assert mcnemar(improved, parent)[2] <= mcnemar(tuned, parent)[2] + 1e-12
    assert after.passed or not before.passed


@modest
@given(st.lists(st.tuples(row, row), min_size=1, max_size=30))
def test_a_tuned_model_is_never_better_and_worse_than_the_same_model(scores):
    tuned, other = map(list, zip(*scores, strict=True))
    verdict = gate(Gate(), {}, tuned, other, other)
    assert not verdict.passed or "✓ not worse than the champion" in verdict.reasons[-1]
    if verdict.reasons[0].startswith("✓ better"):
        assert verdict.passed
