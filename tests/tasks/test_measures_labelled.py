"""What is measured where answers have probabilities, by whom, and how long its intervals and tests take."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, write_json, write_jsonl
from tasks.formats.answer import format_of
from tasks.stages.evaluate import comparison, measures
from tasks.stages.evaluate.__main__ import contest
from tasks.stages.evaluate.comparison import compare, interval
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import Prediction, read
from tests.tasks.scored import classified

PARAMS, FORM = Evaluate(labels=["label"], bootstrap_resamples=100), format_of(["label"])
TABLE = measures.of(PARAMS, FORM, "labelled")
OF_CHANCES = {f"label_{name}" for name in ("log_loss", "brier", "ece", "auroc")}


def made(rows: int, skill: float, seed: int = 0) -> list[dict]:
    """A classifier's answers to `rows` of three classes: the more `skill`, the surer it is of the right one."""
    chance = np.random.default_rng(seed)
    scores = chance.normal(size=(rows, 3))
    scores[np.arange(rows), np.arange(rows) % 3] += skill
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return [{"id": f"r{i}", **classified("abc"[i % 3], dict(zip("abc", shares[i], strict=True)))} for i in range(rows)]


def scored(folder: Path, parent: list[dict], tuned: list[dict], **spec: str) -> tuple[dict, dict, dict]:
    """metrics.json, intervals.json and measures.json of such answers."""
    rows = [{"id": row["id"], "answer": row["answer"], "row": row["row"]} for row in tuned]
    write_jsonl(folder / "prepared/test.jsonl", rows)
    write_json(folder / "prepared/format.json", {"answer": ["label"], **spec})
    write_jsonl(folder / "parent/predictions.jsonl", parent)
    write_jsonl(folder / "tuned/predictions.jsonl", tuned)
    contest(PARAMS, folder / "prepared", {"parent": folder / "parent", "tuned": folder / "tuned"}, folder / "out")
    names = ("metrics", "intervals", "measures")
    return tuple(read_json(folder / f"out/{name}.json") for name in names)


def answers(rows: list[dict]) -> list[Prediction]:
    return read(rows, FORM, {"label": frozenset("abc")})


def test_log_loss_is_measured_in_place_of_perplexity(tmp_path: Path) -> None:
    metrics, intervals, facts = scored(tmp_path, made(60, 0), made(60, 2), example="labelled")
    assert (
        set(metrics["tuned"])
        == set(metrics["parent"])
        == {"valid", "label_accuracy", "label_macro_f1", "label_micro_f1", "label_mcc", *OF_CHANCES}
    )
    for who in ("parent", "tuned"):
        for name, (low, high) in intervals[who].items():
            assert low <= metrics[who][name] <= high, (who, name)
    for name, fact in facts["measures"].items():
        better = metrics["tuned"][name] > metrics["parent"][name]
        assert name in ("valid", "label_ece") or better is fact["higher_is_better"], name


def test_a_model_that_writes_its_labels_has_perplexity_and_no_probabilities(tmp_path: Path) -> None:
    metrics = scored(tmp_path, made(9, 0), made(9, 2), example="chat")[0]
    assert "perplexity" in metrics["tuned"] and not OF_CHANCES & metrics["tuned"].keys()
    assert measures.of(PARAMS, FORM).keys() - TABLE.keys() == {"perplexity"}


def test_a_parent_without_probabilities_is_measured_in_its_answers(tmp_path: Path) -> None:
    written = [{key: value for key, value in row.items() if key != "probabilities"} for row in made(60, 0)]
    metrics, intervals, facts = scored(tmp_path, written, made(60, 2), example="labelled")
    assert metrics["tuned"].keys() - metrics["parent"].keys() == OF_CHANCES == OF_CHANCES & facts["measures"].keys()
    assert intervals["tuned"].keys() - intervals["parent"].keys() == OF_CHANCES
    with pytest.raises(AnnealError, match=r"gate.compare_on is a measure of the probabilities of `label`, and not all"):
        TABLE["label_log_loss"].rows(answers(written))


def test_no_answers_write_what_is_no_number(tmp_path: Path) -> None:
    one_class = [{"id": f"r{i}", **classified("a", {"a": 1.0, "b": 0.0})} for i in range(5)]
    surely_wrong = [{"id": f"r{i}", **classified("a", {"a": 0.0, "b": 1.0})} for i in range(5)]
    written = json.dumps(scored(tmp_path, surely_wrong, one_class, example="labelled"))
    assert "NaN" not in written and "Infinity" not in written


def test_the_gate_compares_on_the_first_labels_accuracy_unless_there_is_none() -> None:
    assert measures.compared_on(PARAMS, "labelled") == "label_accuracy"
    assert measures.compared_on(Evaluate(), "labelled") in measures.of(Evaluate(), FORM, "labelled")
    assert measures.names(PARAMS, ["label"], example="labelled") == tuple(TABLE)


@pytest.mark.parametrize("name", sorted(TABLE.keys() - {"valid", "label_ece"}))
def test_the_better_model_is_shown_to_be_better_and_an_equal_one_is_not(name: str, monkeypatch) -> None:
    monkeypatch.setattr(comparison, "RESAMPLES", 199)
    measure = TABLE[name]
    better, worse = (measure.rows(answers(made(120, skill))) for skill in (3, 1))
    assert compare(measure, better, worse).p <= 0.01 and compare(measure, worse, better).p > 0.9
    assert compare(measure, better, better).p == 1 and compare(measure, better, better).difference == 0


def test_intervals_and_tests_of_two_thousand_rows_take_seconds(monkeypatch) -> None:
    resamples = 99
    monkeypatch.setattr(comparison, "RESAMPLES", resamples)
    first, second = (answers(made(2000, 2, seed)) for seed in (0, 1))
    for name, measure in TABLE.items():
        rows = measure.rows(first), measure.rows(second)
        began = time.process_time()
        interval(measure, rows[0], PARAMS)
        compare(measure, *rows)
        each = (time.process_time() - began) / (PARAMS.bootstrap_resamples + 2 * resamples)
        assert each * 2 * 9999 < 15, name
