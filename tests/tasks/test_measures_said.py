"""What answers say of themselves: whether they decline what they should, and how sure they are; by hand."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.formats.answer import format_of
from tasks.stages.evaluate import comparison, measures
from tasks.stages.evaluate.comparison import compare
from tasks.stages.evaluate.measures.declined import begins
from tasks.stages.evaluate.measures.refusal_balance import balance
from tasks.stages.evaluate.measures.stated import probability
from tasks.stages.evaluate.params import Declines, Evaluate, Stated
from tasks.stages.evaluate.predictions import read
from tests.tasks import own_params
from tests.tasks.scored import scores, text_row, values

DECLINES = {"column": "declined", "begins_with": ["yes"]}
LEVELS = {"low": 0.2, "high": 0.9}
STATED = {"column": "confidence", "about": ["intent"], "values": LEVELS}
REFUSALS, OF_REFUSALS = Evaluate(bootstrap_resamples=100, declines=DECLINES), ["declined", "reply"]
SURE, OF_SURE = Evaluate(bootstrap_resamples=100, labels=["intent"], stated=STATED), ["intent", "confidence"]
CLASSES = {"intent": frozenset({"refund", "delivery"})}


def declined(said: str | None, right: str) -> dict:
    """An answer that says that it declines or not, or that cannot be read."""
    text = "Sorry" if said is None else json.dumps({"declined": said, "reply": "x"})
    return text_row(text, json.dumps({"declined": right, "reply": "x"}), declined=right, reply="x")


def sure(intent: str, confidence: str, right: str = "refund") -> dict:
    """An answer that says how sure it is of its label."""
    text = json.dumps({"intent": intent, "confidence": confidence})
    return text_row(text, json.dumps({"intent": right, "confidence": "high"}), intent=right, confidence="high")


def test_recall_counts_rows_to_decline_and_over_refusal_the_others() -> None:
    rows = [declined("yes", "yes"), declined("no", "yes"), declined("Yes.", "yes"), declined(None, "yes")]
    rows += [declined("no", "no"), declined("yes", "no"), declined(None, "no"), declined("no", "no")]
    found, (told, intervals) = scores(rows, REFUSALS, OF_REFUSALS, {}), values(rows, REFUSALS, OF_REFUSALS, {})
    assert found["refusal_recall"] == [1, 0, 1, 0] and found["over_refusal"] == [0, 1, 0, 0]
    assert (told["refusal_recall"], told["over_refusal"]) == (0.5, 0.25)
    assert told["refusal_balance"] == pytest.approx((0.5 + 0.75) / 2)
    for name in ("refusal_recall", "over_refusal", "refusal_balance"):
        assert intervals[name][0] <= told[name] <= intervals[name][1]


@pytest.mark.parametrize("said", ["yes", "no"])
def test_a_model_that_always_says_the_same_is_at_a_half(said: str) -> None:
    told = values([declined(said, right) for right in ("yes", "no", "no", "no")], REFUSALS, OF_REFUSALS, {})[0]
    assert told["refusal_balance"] == 0.5
    assert (told["refusal_recall"], told["over_refusal"]) == ((1.0, 1.0) if said == "yes" else (0.0, 0.0))


def test_where_nothing_is_to_decline_only_over_refusal_is_measured() -> None:
    table = measures.of(REFUSALS, format_of(OF_REFUSALS))
    rows = measures.rows(table, read([declined("no", "no")] * 3, format_of(OF_REFUSALS), {}))
    assert "over_refusal" in rows and not {"refusal_recall", "refusal_balance"} & rows.keys()
    assert balance(np.array([[0.0, 0.0], [0.0, 1.0]])) == 0.5  # of a resample with one kind of row


def test_a_text_declines_by_its_first_words() -> None:
    params = Evaluate(bootstrap_resamples=100, declines={"begins_with": ["I can't", "Sorry"]})
    rows = [text_row(text, right, reply=right) for text, right in (("I CAN'T say", "Sorry, no"), ("Yes", "I can't"))]
    assert scores(rows, params, "{{ reply }}", {})["refusal_recall"] == [1, 0]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("No", True), (" no, not that", True), ("NO.", True), ("nothing", False), ("", False), ("we do: no", False)],
)
def test_a_phrase_ends_where_a_word_does(text: str, is_one: bool) -> None:
    assert begins(text, ["no"]) is is_one


def test_brier_and_ece_of_what_is_stated_by_hand() -> None:
    rows = [sure("refund", "high"), sure("refund", "high"), sure("delivery", "high"), sure("delivery", "low")]
    told = values(rows, SURE, OF_SURE, CLASSES)[0]
    assert told["stated_brier"] == pytest.approx((2 * 0.1**2 + 0.9**2 + 0.2**2) / 4)
    assert told["stated_ece"] == pytest.approx((abs(2 - 2.7) + abs(0 - 0.2)) / 4)  # two bins


def test_whoever_knows_when_it_is_wrong_is_better_than_one_that_is_always_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "RESAMPLES", 199)
    table, form = measures.of(SURE, format_of(OF_SURE)), format_of(OF_SURE)
    right = [place % 3 > 0 for place in range(60)]
    knows = [sure("refund" if is_right else "delivery", "high" if is_right else "low") for is_right in right]
    boasts = [sure("refund" if is_right else "delivery", "high") for is_right in right]
    for name in ("stated_brier", "stated_ece"):
        ours, theirs = (table[name].rows(read(rows, form, CLASSES)) for rows in (knows, boasts))
        assert compare(table[name], ours, theirs).p < 0.05 < compare(table[name], theirs, ours).p


@pytest.mark.parametrize("text", ["certain", "", "0.9"])
def test_an_answer_that_states_nothing_counts_as_surely_wrong(text: str) -> None:
    assert values([sure("refund", text)], SURE, OF_SURE, CLASSES)[0]["stated_brier"] == 1.0


@pytest.mark.parametrize(
    ("text", "p"),
    [("0.8", 0.8), ("80 %", 0.8), ("80%", 0.8), ("1", 1.0), ("0", 0.0), ("80", None), ("-0.1", None), ("sure", None)],
)
def test_a_number_is_a_probability_or_none(text: str, p: float | None) -> None:
    assert probability(text, Stated(column="confidence")) == pytest.approx(p)


def test_words_count_in_any_case_and_are_no_free_text() -> None:
    assert probability(" HIGH ", Stated(**STATED)) == 0.9
    table = measures.of(SURE, format_of(OF_SURE))
    assert not [name for name in table if name.startswith("confidence")]
    assert "reply_bleu" in measures.of(REFUSALS, format_of(OF_REFUSALS)) and "declined_bleu" not in table


def test_without_columns_it_is_about_the_labels_or_all_the_rest() -> None:
    whole = Evaluate(bootstrap_resamples=100, stated={"column": "confidence", "values": LEVELS})
    assert values([sure("refund", "high")], whole, OF_SURE, {})[0]["stated_brier"] == pytest.approx(0.01)
    assert values([sure("delivery", "high")], whole, OF_SURE, {})[0]["stated_brier"] == pytest.approx(0.81)


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"begins_with": []}, {"begins_with": [""]}, {}):
        with pytest.raises(ValidationError):
            Declines(**wrong)
    with pytest.raises(ValidationError):
        Stated(column="confidence", values={"high": 1.5})


@pytest.mark.parametrize(
    ("evaluate", "words"),
    [
        (
            {"declines": {"column": "declned", "begins_with": ["yes"]}},
            "evaluate.declines.column names `declned`, which datasets.tickets.prepare.answer does not hold",
        ),
        (
            {"declines": {"begins_with": ["no"]}},
            "declines names no column, and the answers are JSON, which never begins",
        ),
        ({"stated": {"column": "sure"}}, "evaluate.stated.column names `sure`, which"),
        (
            {"stated": {"column": "reply", "values": {"later": 0.5}}},
            "stated reads the column `reply`, and the data say 'soon' there, which is not one of its `values`",
        ),
        ({"stated": {"column": "reply"}}, "which is not a number from 0 to 1, or a share in per cent; give `values`"),
    ],
)
def test_what_answers_cannot_say_is_refused_before_any_work(
    evaluate: dict, words: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own_params.write_rows(own_params.ROWS)
    assert words in own_params.refusal(models__mine__evaluate=evaluate)
