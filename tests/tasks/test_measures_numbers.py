"""Measures of answers that are numbers: by hand, as scipy and scikit-learn have them, and where an answer is none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.formats.answer import format_of
from tasks.formats.numbers import format_number, number, problem, rounds_to
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.measures.mae import mae
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.measures.pearson import pearson
from tasks.stages.evaluate.measures.rmse import rmse
from tasks.stages.evaluate.measures.spearman import spearman
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import read
from tests.examples import examples
from tests.tasks.scored import text_row

RMSE, SPEARMAN, MAE, PEARSON = rmse("score"), spearman("score"), mae("score"), pearson("score")
numbers = st.lists(st.tuples(*[st.integers(-20, 20).map(lambda value: value / 4)] * 2), min_size=2, max_size=30)


def parts(measure: Measure, *pairs: tuple[object, object]) -> np.ndarray:
    """The rows of a measure of (answer, right answer)."""
    rows = [text_row(str(said), str(right), score=str(right)) for said, right in pairs]
    return measure.rows(read(rows, format_of("{{ score }}"), {}))


def value(measure: Measure, *pairs: tuple[object, object]) -> float:
    """The value of such rows."""
    return measure.value(parts(measure, *pairs))


def test_rmse_and_spearman_by_hand():
    assert value(RMSE, (1, 1), (2, 4), (6, 3)) == pytest.approx(math.sqrt((0 + 4 + 9) / 3))
    assert value(SPEARMAN, (1, 10), (2, 20), (4, 30), (3, 40)) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert value(SPEARMAN, (3, 1), (2, 2), (1, 3)) == pytest.approx(-1)


@examples(60)
@given(numbers, st.randoms(use_true_random=False))
def test_they_agree_with_scikit_learn_and_scipy_for_any_set_of_rows_in_any_order(pairs, dice):
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error

    errors, ranks, distances, deviations = (parts(measure, *pairs) for measure in (RMSE, SPEARMAN, MAE, PEARSON))
    for places in (dice.sample(range(len(pairs)), len(pairs)), [dice.randrange(len(pairs)) for _ in pairs]):
        said, right = np.array([pairs[place] for place in places]).T
        assert RMSE.value(errors[places]) == pytest.approx(root_mean_squared_error(right, said))
        assert MAE.value(distances[places]) == pytest.approx(mean_absolute_error(right, said))
        is_defined = np.ptp(said) > 0 and np.ptp(right) > 0
        assert PEARSON.value(deviations[places]) == pytest.approx(pearsonr(right, said).statistic if is_defined else 0)
        assert SPEARMAN.value(ranks[places]) == pytest.approx(spearmanr(right, said).statistic if is_defined else 0)


@pytest.mark.parametrize(
    "text", ["three", "", "n/a", "nan", "inf", "-Infinity", "1_000", "1e400", "1e101", "3 stars", "3,5"]
)
def test_what_is_not_a_number_is_none(text):
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,234.50", "'1,234.50', which has a unit, or marks between its digits; write the digits alone, as in 1234.5"),
        ("3.5 kg", "'3.5 kg', which has a unit, or marks between its digits; write the digits alone, as in 1234.5"),
        ("$5", "'$5', which has a unit, or marks between its digits; write the digits alone, as in 1234.5"),
        ("five", "'five', which is not a number"),
        ("2024-01-05", "'2024-01-05', which is not a number"),
        ("NaN", "'NaN', which is not a number"),
        ("1" + "," * 100_000 + "x1", f"'1{',' * 39}', which is not a number"),  # in no time
        ("4.5", None),
    ],
)
def test_what_is_said_of_a_text_that_is_no_number(text: str, words: str | None):
    assert problem(text) == words


def test_a_number_is_written_in_one_way_and_agrees_in_the_digits_that_a_person_wrote():
    assert [format_number(value) for value in (4.0, -0.5, 1e20, 0.1 + 0.2)] == [
        "4",
        "-0.5",
        "1e+20",
        "0.30000000000000004",
    ]
    assert rounds_to("4.4718", "4.5") and rounds_to("4.4718", "4") and rounds_to("1e3", "1000")
    assert not rounds_to("4.4718", "4.4") and not rounds_to("4.4718", "4.50") and not rounds_to("nan", "4")


@pytest.mark.parametrize(("text", "is_"), [("3", 3), (" -2.5\n", -2.5), ("1e3", 1000), ("٣", 3), ("+0.0", 0)])
def test_what_is_a_number(text, is_):
    assert number(text) == is_


def test_an_answer_that_is_no_number_counts_as_the_right_number_that_is_farthest():
    pairs = [("1", 1), ("who knows", 2), ("", 5), ("5", 5)]
    assert parts(RMSE, *pairs).tolist() == [0, 9, 16, 0]  # 2 is farther from 5 than from 1
    assert value(RMSE, ("?", 3), ("3", 3)) == pytest.approx(math.sqrt(1 / 2))  # also where all are alike
    assert value(SPEARMAN, *pairs) < value(SPEARMAN, ("1", 1), ("2", 2), ("5", 5), ("5", 5))


@examples(40)
@given(numbers, st.integers(0, 29))
def test_to_say_nothing_is_never_better_than_any_of_the_right_numbers(pairs, place):
    place %= len(pairs)
    silent = [("?" if at == place else said, right) for at, (said, right) in enumerate(pairs)]
    for guess in {right for _, right in pairs}:
        guessed = [(guess if at == place else said, right) for at, (said, right) in enumerate(pairs)]
        assert value(RMSE, *silent) >= value(RMSE, *guessed) - 1e-12


def test_a_right_answer_that_is_no_number_is_refused():
    with pytest.raises(AnnealError, match="evaluate.numbers names `score`, and the right answer of a row is 'n/a'"):
        value(RMSE, (1, 2), (1, "n/a"))


def test_what_is_not_defined_and_what_is_huge_is_still_a_number():
    assert value(SPEARMAN, (1, 1)) == value(SPEARMAN, (1, 1), (1, 2)) == value(SPEARMAN, (1, 2), (2, 2)) == 0
    assert math.isfinite(value(RMSE, ("1e100", -1e100), ("0", 1e100)))


def test_models_whose_numbers_are_in_other_units_exchange_ranks():
    pairs = [(said, right) for right, said in enumerate([2, 1, 4, 3, 6, 5])]
    assert (parts(SPEARMAN, *pairs) == parts(SPEARMAN, *((10 * said**3, right) for said, right in pairs))).all()


def test_which_are_measured_and_compared_on_follows_from_the_columns():
    params = Evaluate(numbers=["score"])
    assert measures.names(params, ["score", "why"])[:3] == ("valid", "exact_match", "score_rmse")
    assert measures.compared_on(params) == "score_rmse"
    table = measures.of(params, format_of(["score", "why"]))
    assert not table["score_rmse"].higher_is_better and table["score_spearman"].bounds == (-1, 1)
    assert "score_rouge_l" not in table and "why_rouge_l" in table
