"""The gate is a pure function: minimum values, better than the parent, not worse than the champion; each with its
reason.
"""

import copy

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.stages.evaluate.comparison import compare
from tasks.stages.evaluate.measures.exact_match import exact_match
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.measures.perplexity import perplexity
from tasks.stages.evaluate.measures.rmse import rmse
from tasks.stages.evaluate.measures.rouge import rouge_l
from tasks.stages.evaluate.measures.valid import valid
from tasks.steps.gate import Gate, GateVerdict, Rivals, gate
from tests.examples import examples
from tests.sentences import Says

# 20 rows: the parent has 5 right, the tuned model those and 10 more.
PARENT = [1.0] * 5 + [0.0] * 15
TUNED = [1.0] * 15 + [0.0] * 5
GOOD = {"valid": 1.0, "exact_match": 0.75}
EXACT, PERPLEXITY, ROUGE = exact_match(""), perplexity(""), rouge_l("reply")
TABLE = {measure.name: measure for measure in (valid(""), EXACT, ROUGE, PERPLEXITY)}
row = st.sampled_from([0.0, 1.0])


def decide(
    params: Gate,
    metrics: dict,
    tuned: list,
    parent: list,
    champion: list | None,
    on: Measure = EXACT,
    parents: dict | None = None,
) -> GateVerdict:
    """The verdict on `metrics` of the tuned model, and on rows of the measure `on`; `parents` are the parent's
    metrics.
    """
    rows = (np.array(tuned), np.array(parent), None if champion is None else np.array(champion))
    return gate(params, TABLE, {"tuned": metrics, "parent": parents or {"valid": 0.5}}, Rivals(on, *rows))


def rows(won: int, lost: int, both: int = 0, neither: int = 0) -> tuple[list[float], list[float]]:
    """Scores of two models of which the first alone has `won` rows right, the second alone `lost`."""
    return [1.0] * won + [0.0] * lost + [1.0] * both + [0.0] * neither, [0.0] * won + [1.0] * lost + [1.0] * both + [
        0.0
    ] * neither


def test_a_model_that_is_better_than_its_parent_passes_when_there_is_no_champion():
    verdict = decide(Gate(minimum={"valid": 0.9}), GOOD, TUNED, PARENT, None)
    assert verdict.passed
    assert [reason[0] for reason in verdict.reasons] == ["✓", "✓", "✓"]
    assert verdict.reasons[0] == "✓ valid is 1.000, the minimum is 0.9"
    assert "10 rows won, 0 lost" in verdict.reasons[1]
    assert "no other champion" in verdict.reasons[2]


def test_a_value_below_its_minimum_fails_and_one_at_its_minimum_passes():
    low = decide(Gate(minimum={"valid": 0.9}), {"valid": 0.899}, TUNED, PARENT, None)
    assert not low.passed and low.reasons[0] == "✗ valid is 0.899, the minimum is 0.9"
    assert decide(Gate(minimum={"valid": 0.9}), {"valid": 0.9}, TUNED, PARENT, None).passed


def test_a_minimum_that_was_not_measured_fails():
    verdict = decide(Gate(minimum={"category_f1": 0.1}), GOOD, TUNED, PARENT, None)
    assert not verdict.passed
    assert verdict.reasons[0] == Says("✗ category_f1", "not measured", "exact_match, valid")


def test_a_value_that_is_no_number_fails_its_minimum():
    assert not decide(Gate(minimum={"valid": 0.0}), {"valid": float("nan")}, TUNED, PARENT, None).passed


def test_one_broken_minimum_is_enough_and_every_reason_is_told():
    verdict = decide(Gate(minimum={"valid": 0.9, "exact_match": 0.9}), GOOD, TUNED, PARENT, PARENT)
    assert not verdict.passed
    assert [reason[0] for reason in verdict.reasons] == ["✗", "✓", "✓", "✓"]


def test_rows_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError):
        decide(Gate(), GOOD, TUNED, PARENT[:-1], None)
    with pytest.raises(ValueError):
        decide(Gate(), GOOD, TUNED, PARENT, TUNED[:-1])


def test_a_model_no_better_than_its_parent_fails():
    assert not decide(Gate(), GOOD, PARENT, PARENT, None).passed
    assert not decide(Gate(), GOOD, PARENT, TUNED, None).passed


def test_better_by_chance_is_not_better():
    four, five = rows(4, 0, both=3), rows(5, 0, both=3)  # p = 1/16 and 1/32
    assert not decide(Gate(alpha=0.05), GOOD, *four, None).passed
    assert decide(Gate(alpha=0.05), GOOD, *five, None).passed
    assert not decide(Gate(alpha=0.01), GOOD, *five, None).passed


def test_a_model_equal_to_the_champion_passes():
    verdict = decide(Gate(), GOOD, TUNED, PARENT, TUNED)
    assert verdict.passed and verdict.reasons[-1].startswith(
        "✓ not worse than the champion on exact_match: 0 rows won, 0 lost (difference +0.000"
    )


def test_a_model_with_as_many_rows_right_as_the_champion_but_others_passes():
    assert decide(Gate(), GOOD, TUNED, PARENT, [0.0] * 2 + [1.0] * 15 + [0.0] * 3).passed


def test_a_model_worse_than_the_champion_fails():
    verdict = decide(Gate(max_drop=0.02), GOOD, TUNED, PARENT, [1.0] * 20)
    assert not verdict.passed
    assert verdict.reasons[-1].startswith(
        "✗ worse than the champion on exact_match: 0 rows won, 5 lost (difference -0.250, allowed -0.02;"
    )


def test_a_drop_within_the_allowance_that_is_no_chance_fails_all_the_same():
    # 5 of 300 rows: a drop of 1.7 % is allowed, but 5 lost and none won is p = 1/32.
    tuned, champion = rows(0, 5, both=100, neither=195)
    parent = [0.0] * 300
    assert not decide(Gate(max_drop=0.02), GOOD, tuned, parent, champion).passed
    assert decide(Gate(max_drop=0.02), GOOD, *(scores[1:] for scores in (tuned, parent, champion))).passed


def test_a_drop_that_may_be_chance_but_is_too_large_fails():
    tuned, champion = rows(0, 2, both=10, neither=8)  # p = 1/4, a drop of 10 %
    parent = [0.0] * 20
    assert not decide(Gate(max_drop=0.05), GOOD, tuned, parent, champion).passed
    assert decide(Gate(max_drop=0.10), GOOD, tuned, parent, champion).passed


@examples(100)
@given(st.lists(st.tuples(row, row, row), min_size=1, max_size=40))
def test_the_same_values_give_the_same_verdict_and_stay_as_they_were(scores):
    tuned, parent, champion = map(list, zip(*scores, strict=True))
    given_values = (Gate(minimum={"valid": 0.5}), dict(GOOD), tuned, parent, champion)
    before = copy.deepcopy(given_values)
    assert decide(*given_values) == decide(*before)
    assert given_values == before


@examples(100)
@given(st.lists(st.tuples(row, row), min_size=5, max_size=30), st.data())
def test_one_more_right_row_never_turns_better_than_the_parent_into_not_better(scores, data):
    tuned, parent = map(list, zip(*scores, strict=True))
    assume(0.0 in tuned)
    place = data.draw(st.sampled_from([index for index, score in enumerate(tuned) if score == 0.0]))
    improved = [*tuned[:place], 1.0, *tuned[place + 1 :]]
    before, after = (decide(Gate(alpha=0.3), {}, scores, parent, None) for scores in (tuned, improved))
    assert (
        compare(EXACT, np.array(improved), np.array(parent)).p
        <= compare(EXACT, np.array(tuned), np.array(parent)).p + 1e-12
    )
    assert after.passed or not before.passed


@examples(100)
@given(st.lists(st.tuples(row, row), min_size=1, max_size=30))
def test_a_tuned_model_is_never_better_and_worse_than_the_same_model(scores):
    tuned, other = map(list, zip(*scores, strict=True))
    verdict = decide(Gate(), {}, tuned, other, other)
    assert not verdict.passed or "✓ not worse than the champion" in verdict.reasons[-1]
    if verdict.reasons[0].startswith("✓ better"):
        assert verdict.passed


def test_a_minimum_of_a_measure_that_should_be_low_is_the_most_allowed():
    low = decide(Gate(minimum={"perplexity": 3.0}), {"perplexity": 2.9}, TUNED, PARENT, None)
    assert low.passed and low.reasons[0] == "✓ perplexity is 2.900, the most allowed is 3"
    assert not decide(Gate(minimum={"perplexity": 3.0}), {"perplexity": 3.1}, TUNED, PARENT, None).passed


def test_a_parent_without_a_valid_answer_is_said_to_show_little():
    verdict = decide(Gate(), GOOD, TUNED, PARENT, None, parents={"valid": 0.0})
    assert verdict.passed and verdict.reasons[0].endswith("; the parent gives no valid answer, so this says little")
    assert "says little" not in decide(Gate(), GOOD, TUNED, PARENT, None, parents={"valid": 0.1}).reasons[0]


def test_scores_between_0_and_1_are_compared_by_exchanging_answers():
    tuned, parent = [0.5 + 0.01 * (i % 7) for i in range(20)], [0.45 + 0.01 * (i % 5) for i in range(20)]
    verdict = decide(Gate(), GOOD, tuned, parent, tuned, on=ROUGE)
    assert verdict.passed, verdict.reasons
    assert verdict.reasons[0].startswith(
        "✓ better than its parent on reply_rouge_l: 0.528 against 0.470 (paired permutation p = 0.0"
    )
    assert not decide(Gate(), GOOD, parent, tuned, None, on=ROUGE).passed
    assert not decide(Gate(), GOOD, parent, [0.0] * 20, tuned, on=ROUGE).passed, "worse than the champion"


def nats(each: float, rows: int = 39, tokens: int = 10) -> list[tuple[float, int]]:
    """Rows of perplexity exp(`each`), some harder than others."""
    return [(tokens * each * (0.5 + i % 3 / 2), tokens) for i in range(rows)]


def test_perplexity_is_better_when_lower():
    verdict = decide(Gate(), GOOD, nats(1.0), nats(1.5), nats(1.0), on=PERPLEXITY, parents={"valid": 0.0})
    assert verdict.passed, verdict.reasons
    assert (
        "2.718 against 4.482 (paired bootstrap p = 0.0001" in verdict.reasons[0]
        and "says little" not in verdict.reasons[0]
    )
    assert not decide(Gate(), GOOD, nats(1.5), nats(1.0), None, on=PERPLEXITY).passed


def test_a_perplexity_may_be_worse_than_the_champions_by_a_share_of_it():
    # 1 % above the champion's in every row is no chance, 5 % is too much as well
    for more in (0.01, 0.05):
        verdict = decide(Gate(max_drop=0.02), GOOD, nats(1.0 + more), nats(2.0), nats(1.0), on=PERPLEXITY)
        assert not verdict.passed and verdict.reasons[-1].startswith("✗ worse than the champion on perplexity")


@pytest.mark.parametrize("unit", [1.0, 1000.0, 0.001])
def test_an_error_may_be_worse_by_a_share_of_it_whatever_its_unit(unit):
    """The verdict on prices in dollars is that on prices in cents."""

    def errors(*off: float) -> list[float]:
        return [(one * unit) ** 2 for one in off]

    champion, parent = errors(*[1.0] * 10, *[2.0] * 10), errors(*[9.0] * 20)
    slightly = errors(*[1.1, 0.9] * 5, *[2.32, 1.75] * 5)  # by 2.3 %
    assert not decide(Gate(max_drop=0.02), GOOD, slightly, parent, champion, on=rmse("price")).passed
    verdict = decide(Gate(max_drop=0.03), GOOD, slightly, parent, champion, on=rmse("price"))
    assert verdict.passed, verdict.reasons


def test_perplexities_over_the_tokens_of_two_tokenizers_are_not_compared():
    verdict = decide(Gate(), GOOD, nats(1.0), nats(2.0), nats(3.0, tokens=11), on=PERPLEXITY)
    assert not verdict.passed
    assert verdict.reasons[-1].startswith(
        "✗ cannot be compared with the champion: perplexity is counted over other tokens than the champion's"
    )
