"""The plots, figures, days and durations of a report are right and read as a person would say them."""

import copy

import pytest

from tasks.comparison.measure_names import words
from tasks.steps.report.confusion import coarser, confusion
from tasks.steps.report.headline import figure, measures
from tasks.steps.report.page import day, duration
from tasks.steps.report.plots import MOST_CLASSES, loss_curves
from tests.tasks.reported import INTENTS, SUMMARY


def test_report_marks_the_best_step():
    plot = loss_curves(
        [
            {"step": "1", "loss": "2", "eval_loss": ""},
            {"step": "2", "loss": "", "eval_loss": "1.5"},
            {"step": "3", "loss": "1", "eval_loss": "1.7"},
        ]
    )
    assert "1.500, at step 2 of 3" in plot.caption


def test_confusion_keeps_the_classes_of_a_coarser_label_together():
    rows = {
        "intent": [{"actual": name, "predicted": name} for name in INTENTS],
        "category": [{"actual": group, "predicted": group} for group in INTENTS.values()],
    }
    assert coarser("intent", rows) == (INTENTS, "category")
    assert coarser("category", rows) == ({}, None)
    assert "Classes of one category stand together" in confusion("intent", rows).caption


def test_confusion_of_very_many_classes_keeps_those_with_errors():
    rows = [{"actual": f"class {place}", "predicted": f"class {place}"} for place in range(90)]
    plot = confusion(
        "intent",
        {
            "intent": [
                *rows,
                {"actual": "class 77", "predicted": "class 88"},
                {"actual": "class 77", "predicted": "(none)"},
            ]
        },
    )
    assert "class 77" in plot.svg and f"The {MOST_CLASSES} classes with the most errors, of 91" in plot.caption
    assert "90 of 92 rows are right" in plot.caption


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, "–"), (0.412, "0.41 s"), (3.0, "3.0 s"), (59.7, "1 min 00 s"), (95, "1 min 35 s"), (7810, "2 h 10 min")],
)
def test_durations_read_like_a_person_says_them(seconds, written):
    assert duration(seconds) == written


def test_figures_and_days_in_words():
    assert [figure(value) for value in (None, 0.0, 1.0, 0.5, 12.34, 154.0, 2e9, 0.0001, float("inf"))] == [
        "–",
        "0",
        "1",
        "0.500",
        "12.3",
        "154",
        "2e+09",
        "0.0001",
        "∞",
    ]
    assert day("2026-11-24T07:00:00+00:00") == "24 November 2026, 07:00 UTC" and day("yesterday") == "yesterday"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("category_accuracy", "category accuracy"),
        ("reply_rouge_l", "reply ROUGE-L"),
        ("category_macro_f1", "category macro F1"),
        ("is_json_auroc", "is JSON AUROC"),
        ("my_mcc_column_mcc", "my mcc column MCC"),
        ("score_rmse", "score RMSE"),
        ("category_log_loss", "category log loss"),
        ("perplexity", "perplexity"),
    ],
)
def test_measures_are_written_as_papers_write_them(name, written):
    assert words(name) == written


def test_a_measure_that_the_parent_has_not_is_shown_without_a_figure():
    summary = copy.deepcopy(SUMMARY["evaluation"])
    summary["measures"]["intent_log_loss"] = {"higher_is_better": False}
    summary["tuned"]["intent_log_loss"], summary["intervals"]["tuned"]["intent_log_loss"] = 0.41, [0.3, 0.5]
    shown = measures(summary)[-1]
    assert (shown.name, shown.parent.text, shown.tuned.text) == ("intent_log_loss", "–", "0.410")
    assert shown.lower_is_better and shown.change == "unknown"
