"""What a report leads with: one sentence with both verdicts, where it is served, and the table of who is best."""

import copy
from pathlib import Path

import pytest

from tasks.comparison.contestants import CONTESTANTS, NO_MODEL, TUNED
from tasks.comparison.worth import VERDICTS
from tasks.stages.evaluate.measures import TABLE
from tasks.steps.report import glossary
from tasks.steps.report.headline import checks, evidence, headline, measures
from tasks.steps.report.page import dollars
from tasks.steps.report.standings import measured, standings
from tests.tasks.reported import SUMMARY, Page, rendered, small_run

TEST = "40 rows won, 38 lost (McNemar p = 0.4, needs < 0.05)"


def standing(who: str, value: float, lead: float | None = None, interval: list[float] | None = None) -> dict:
    pace = 0.9 if who == TUNED else 0.1
    return {"who": who, "value": value, "lead": lead, "interval": interval, "seconds_per_answer": pace, "cost": pace}


def worth(was: bool | None = True) -> dict:
    """Of two labels together and each, the probe the better one at priority."""

    def contest(what: str, measure: str, *each: dict) -> dict:
        return {"what": what, "measure": measure, "winner": each[0]["who"], "standings": list(each)}

    return {
        "was": was,
        "sentence": f"{VERDICTS[was]}: over all labels, the tuned model reaches 73.4 %.",
        "assumption": "0.04 dollars per core hour",
        "contests": [
            contest("all labels", "labels_right", standing(TUNED, 0.734), standing("probe", 0.5, 0.234, [0.1, 0.3])),
            contest(
                "intent",
                "intent_accuracy",
                standing("probe", 0.8, -0.066, [-0.12, -0.01]),
                standing(TUNED, 0.734),
                standing("parent", 0.223, 0.511, [-0.1, 0.6]),
            ),
        ],
    }


@pytest.fixture
def summary() -> dict:
    return {**copy.deepcopy(SUMMARY), "worth": worth()}


@pytest.mark.parametrize(
    ("was", "words"),
    [
        (True, "triage is good enough to serve, and tuning was worth it"),
        (False, "triage is good enough to serve, but tuning was not worth it"),
        (None, "triage is good enough to serve, but it is not shown that tuning was worth it"),
    ],
)
def test_the_first_sentence_says_both_and_the_next_does_not_say_it_again(
    was: bool | None, words: str, summary: dict
) -> None:
    summary["worth"] = worth(was)
    assert headline(summary).title == words
    assert evidence(summary) == "Over all labels, the tuned model reaches 73.4 %."


def test_what_was_refused_leads_with_the_first_reason_and_then_says_whether_it_was_worth_it(summary: dict) -> None:
    summary["gate"] = {
        "passed": False,
        "checks": [
            {"held": True, "words": "valid is 0.981, the minimum is 0.95"},
            {"held": False, "words": f"not shown better than the probe on intent_accuracy: {TEST}"},
            {"held": False, "words": "perplexity is 9, the most allowed is 5"},
        ],
    }
    assert (
        headline(summary).title == "triage was refused: not shown better than the probe on intent accuracy (and 1 more)"
    )
    assert evidence(summary).startswith("Tuning was worth it: ")


def test_the_page_leads_in_the_order_of_what_a_person_wants(summary: dict, tmp_path: Path) -> None:
    small_run(tmp_path)
    summary["cascade"] = {"model": "triage_labels", "columns": ["category", "intent"]}
    summary["origin"] = {"parent": "smollm2", "dataset": "tickets", "objective": "sft", "tuner": "lora"}
    page = Page(rendered(tmp_path, summary))
    text = " ".join(page.text.split())
    places = [
        text.index(words)
        for words in (
            "✓ triage is good enough to serve, and tuning was worth it",
            "triage_labels predicts category, intent, and triage writes the rest",
            "http://127.0.0.1:8000/v1 serves triage",
            "On the same 12 held-out rows",
            "★ 73.4 %",
            "The cost assumes 0.04 dollars per core hour",
            "Answers, side by side",
            "The gate: passed",
            "The other measures, on the same 12 held-out rows",
            "smollm2, tuned on tickets (sft, lora)",
        )
    ]
    assert places == sorted(places)
    assert "comes on top" not in text, "time and cost are those of both models"
    assert text.count("intent accuracy") == 0, "shown in the table of who is best"


def test_a_server_of_probabilities_is_compared_by_these(summary: dict, tmp_path: Path) -> None:
    small_run(tmp_path)
    summary["endpoint"]["parity"] = {"prompts": 16, "share": 1.0, "difference": 4.2e-6}
    text = Page(rendered(tmp_path, summary)).text
    assert "probabilities are those of the measured model on 16 texts, within 4e-06" in text and "tokens (" not in text


def test_nobody_to_compare_with_is_said_in_neither_sentence(summary: dict) -> None:
    summary["worth"] = None
    assert headline(summary).title == "triage is good enough to serve" and evidence(summary) == ""
    assert standings(None, summary["evaluation"]) is None and measured(None) == set()


def test_the_table_marks_winners_and_leads_that_are_sure(summary: dict) -> None:
    table = standings(summary["worth"], summary["evaluation"])
    assert table.heads == ("Tuned", "Parent", "Probe") and table.paces == (0.9, 0.1, 0.1) and table.in_points
    every, intent = table.lines
    assert [cell.text for cell in every.cells] == ["73.4 %", "–", "50.0 %"] and every.cells[0].is_winner
    tuned, parent, probe = intent.cells
    assert tuned.note == "60.0 % to 80.0 %" and not tuned.is_winner
    assert (parent.note, parent.state) == ("+51.1 (-10.0 to +60.0)", "")
    assert (probe.note, probe.state, probe.is_winner) == ("-6.6 (-12.0 to -1.0)", "behind", True)
    assert every.cells[2].state == "ahead"


def test_what_the_table_shows_of_both_is_not_shown_again(summary: dict) -> None:
    assert measured(summary["worth"]) == {"intent_accuracy"}


def test_a_micro_f1_that_is_the_accuracy_is_not_shown_beside_it(summary: dict) -> None:
    evaluation = summary["evaluation"]
    for who in ("parent", "tuned"):
        evaluation[who]["intent_micro_f1"] = evaluation[who]["intent_accuracy"]
    evaluation["measures"]["intent_micro_f1"] = {"higher_is_better": True}
    assert "intent_micro_f1" in [of.name for of in measures(evaluation)]
    shown = measured(summary["worth"])
    assert [of.name for of in measures(evaluation, shown)] == ["valid", "perplexity"]
    evaluation["parent"]["intent_micro_f1"] = 0.3
    assert [of.name for of in measures(evaluation, shown)] == ["valid", "perplexity", "intent_micro_f1"]


def test_each_kind_of_measure_is_explained_once() -> None:
    known = glossary.meanings(["intent_macro_f1", "category_macro_f1", "reply_rouge_l", "valid", "rank_error"])
    assert list(known) == ["macro F1", "ROUGE-L", "valid"]


def test_a_parent_that_reads_nothing_is_not_called_a_model_and_stands_for_the_commonest_class(summary: dict) -> None:
    summary["evaluation"]["seconds_per_answer"]["parent"] = 0.0
    intent = summary["worth"]["contests"][1]
    intent["standings"].insert(0, standing("commonest", 0.9, -0.2, [-0.3, -0.1]))
    intent["winner"] = "commonest"
    assert standings(summary["worth"], summary["evaluation"]).heads == ("Tuned", "Parent", "Probe", "Commonest class")
    intent["standings"][0] = standing("commonest", 0.223, 0.511, [-0.1, 0.6])
    intent["winner"] = "probe"
    table = standings(summary["worth"], summary["evaluation"])
    assert table.heads == ("Tuned", "Parent", "Probe") and dict(table.who)["Parent"] == NO_MODEL


def test_the_gate_names_measures_as_people_do(summary: dict) -> None:
    summary["gate"]["checks"] = [{"held": True, "words": "intent_accuracy is 0.9 and rank_error is 2"}]
    assert checks(summary) == [(True, "intent accuracy is 0.9 and rank error is 2")]


def test_each_contestant_and_each_measure_is_explained() -> None:
    assert all(each.heading and each.explanation for each in CONTESTANTS.values() if each.folder)
    for name in ["labels_right", *(row.measure("column").name for row in TABLE)]:
        assert glossary.meaning(name) and glossary.unit(name), name


@pytest.mark.parametrize(("cost", "words"), [(None, "–"), (0.0, "nothing"), (1e-5, "under $0.001"), (0.0123, "$0.012")])
def test_a_price_is_said_as_people_say_it(cost: float | None, words: str) -> None:
    assert dollars(cost) == words and dollars(12.5) == "$12.50"
