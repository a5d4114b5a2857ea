"""What costs less must be beaten: the gate refuses a model that is shown worse on any label, or not better over all."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.comparison.opponents import opponent
from tasks.comparison.worth import worth
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, write_json, write_jsonl
from tasks.formats.answer import format_of
from tasks.section import parse
from tasks.stages.evaluate.__main__ import evaluate
from tasks.stages.evaluate.measures.accuracy import accuracy
from tasks.stages.evaluate.measures.exact_match import exact_match
from tasks.stages.evaluate.measures.perplexity import perplexity
from tasks.stages.evaluate.paired import PairedRows
from tasks.stages.evaluate.predictions import read
from tasks.stages.predict.__main__ import predict
from tasks.stages.predict.params import Predict
from tasks.stages.probe import Probe
from tasks.stages.probe import probe as probe_stage
from tasks.steps.champion import gate_verdict
from tasks.steps.gate import Gate, GateCheck, Opponent, Rivals, gate
from tests import tiny
from tests.examples import examples
from tests.tasks.judged import MODEL, NAME

ROWS = 60
EXACT = exact_match("")


def label(name: str, tuned: int, theirs: int) -> PairedRows:
    """A label of which the first `tuned` and the last `theirs` of all rows are right."""
    place = np.arange(ROWS)
    rows = (place < tuned).astype(float), (place >= ROWS - theirs).astype(float)
    return PairedRows(name, accuracy(name), *rows)


def checks(*opponents: Opponent, alpha: float = 0.05) -> tuple[GateCheck, ...]:
    """What the gate looked at, of a model that is better than its parent and has no champion."""
    good, bad = np.ones(ROWS), np.zeros(ROWS)
    verdict = gate(Gate(alpha=alpha), {}, {"tuned": {}, "parent": {}}, Rivals(EXACT, good, bad, None, opponents))
    assert verdict.passed == all(check.held for check in verdict.checks)
    return verdict.checks


def probe(*compared: PairedRows) -> Opponent:
    return Opponent("the probe", compared)


def test_a_model_no_better_than_the_probe_is_refused_and_that_is_said_first():
    first, *others = checks(probe(label("category", 42, 40), label("intent", 30, 32)))
    assert str(first).startswith("✗ not shown better than the probe over all labels (category, intent): 0.600 against")
    assert (
        first.words.endswith("needs < 0.05), which gate.must_beat in params.yaml asks for")
        and "\n" not in first.words
        and all(check.held for check in others)
    )


def test_a_model_that_is_better_over_all_labels_and_worse_on_none_passes():
    over, each, *_ = checks(probe(label("category", 58, 30), label("intent", 50, 45)))
    assert over.held and over.words.startswith(
        "better than the probe over all labels (category, intent): 0.900 against"
    )
    assert each == GateCheck(True, "not shown worse than the probe on any of category, intent")


def test_a_model_that_is_better_over_all_and_worse_on_one_is_refused_by_the_name_of_that_one():
    over, worse, *_ = checks(probe(label("category", 60, 0), label("intent", 60, 10), label("priority", 20, 50)))
    assert over.held and not worse.held
    assert worse.words.startswith("worse than the probe on priority: 0.333 against 0.833 (McNemar p = ")


def test_each_opponent_is_looked_at_in_its_order_and_what_has_nothing_to_tell_comes_last():
    examples_of = Opponent("the parent with examples", (label("category", 60, 10),))
    silent = Opponent("the most common class", (), "no column of the answers holds labels", is_excused=True)
    words = [check.words for check in checks(silent, examples_of, probe(label("category", 60, 20)))]
    assert words[0].startswith("better than the parent with examples on category: 50 rows")
    assert words[1].startswith("better than the probe on category")
    assert words[-1] == "the most common class has nothing to predict: no column of the answers holds labels"


def test_what_cannot_be_compared_is_refused():
    held = [check.held for check in checks(Opponent("the probe", (), "it has not answered the held-out rows"))]
    assert held == [False, True, True]
    other = PairedRows("perplexity", perplexity(""), np.ones((ROWS, 2)), np.full((ROWS, 2), 2.0))
    assert checks(probe(other))[0] == GateCheck(
        False, "cannot be compared with the probe: perplexity is counted over other tokens"
    )


@examples(12)
@given(st.lists(st.tuples(st.integers(0, ROWS), st.integers(0, ROWS)), min_size=1, max_size=4))
def test_equal_models_and_those_that_only_lose_are_refused_whatever_the_labels(counts: list[tuple[int, int]]) -> None:
    lost = [label(f"l{i}", min(pair), max(pair)) for i, pair in enumerate(counts)]
    assert not all(check.held for check in checks(probe(*lost)))
    won = [label(f"l{i}", ROWS, 0) for i, _ in enumerate(counts)]
    assert all(check.held for check in checks(probe(*won)))


def test_what_must_be_beaten_is_a_contestant_and_may_be_nothing():
    with pytest.raises(ParamsError, match="models.m.gate.must_beat"):
        parse(Gate, {"must_beat": ["prober"]}, "models.m.gate")
    assert parse(Gate, {"must_beat": []}, "models.m.gate").must_beat == []


def answered(texts: list[str], **more: object) -> list[dict]:
    """Predictions of rows whose right answer is blue, with a reply."""
    right = json.dumps({"colour": "blue", "reply": "Yes."})
    row = {"messages": [], "answer": right, "row": {"colour": "blue", "reply": "Yes."}, "nll": 0.0, "tokens": 0}
    return [{"id": str(i), **row, "text": text, **more} for i, text in enumerate(texts)]


def of_files(reports: Path, tuned: list[dict], labels: list[str]) -> Opponent:
    form = format_of(["colour", "reply"])
    classes = {"colour": frozenset({"blue", "red"})}
    return opponent("probe", tuned, reports, labels, EXACT, lambda rows: read(rows, form, classes))


def test_answers_on_disk_are_compared_on_the_labels_that_both_tell(tmp_path: Path) -> None:
    blue, red = '{"colour": "blue"}', '{"colour": "red"}'
    tuned = answered([json.dumps({"colour": "blue", "reply": "No."})] * 3)
    assert of_files(tmp_path, tuned, ["colour"]).reason.startswith("it has not answered")
    write_jsonl(tmp_path / "probe/predictions.jsonl", answered([blue, red, red], told=["colour"]))
    found = of_files(tmp_path, tuned, ["colour", "reply"])
    assert [(pair.what, pair.tuned.tolist(), pair.theirs.tolist()) for pair in found.compared] == [
        ("colour", [1, 1, 1], [1, 0, 0])
    ]
    assert of_files(tmp_path, tuned, ["reply"]).is_excused and of_files(tmp_path, tuned, []).is_excused
    write_jsonl(tmp_path / "probe/predictions.jsonl", answered([blue, red], told=["colour"]))
    with pytest.raises(AnnealError, match="the probe's answers are for other rows"):
        of_files(tmp_path, tuned, ["colour"])
    write_jsonl(tmp_path / "probe/predictions.jsonl", [])
    write_json(tmp_path / "probe/timing.json", {"seconds_per_answer": 0.0, "reason": "no labels"})
    assert of_files(tmp_path, tuned, ["colour"]) == Opponent("the probe", (), "no labels", is_excused=True)


def test_answers_that_are_empty_without_a_reason_excuse_nobody(tmp_path: Path) -> None:
    tuned = answered([json.dumps({"colour": "blue", "reply": "No."})] * 3)
    write_jsonl(tmp_path / "probe/predictions.jsonl", [])
    for facts in (None, {"seconds_per_answer": 0.0}, {"reason": ""}):
        if facts is not None:
            write_json(tmp_path / "probe/timing.json", facts)
        silent = of_files(tmp_path, tuned, ["colour"])
        assert not silent.is_excused and "nothing says why" in silent.reason


def test_an_opponent_that_was_not_held_to_the_form_is_named_so(tmp_path: Path) -> None:
    tuned = answered([json.dumps({"colour": "blue", "reply": "No."})] * 3)
    write_jsonl(tmp_path / "probe/predictions.jsonl", tuned)
    write_json(tmp_path / "probe/timing.json", {"unstructured": "the engine is missing"})
    assert of_files(tmp_path, tuned, ["colour"]).words == "the probe, asked without structured outputs,"


@pytest.mark.slow
def test_a_model_that_learnt_next_to_nothing_is_refused_in_one_sentence(
    store: object, base: Path, prepared: Path, evaluated: Path, packaged: SimpleNamespace, tmp_path: Path
) -> None:
    """By the real stages: trained at a rate that teaches little, asked, measured, and judged beside the real probe."""
    made = tiny.train_in(tmp_path / "made", base, prepared, learning_rate=1.0e-6, num_train_epochs=1)
    reports = tmp_path / "reports"
    predict(Predict(**tiny.PREDICT), base, made.adapter, prepared, reports / "predict")
    probe_stage(Probe(), base, prepared, reports / "probe", reports / "commonest")
    shutil.copytree(evaluated / "baseline", reports / "baseline")
    evaluate(MODEL.evaluate, prepared, reports, reports / "evaluate")
    model = MODEL.model_copy(update={"gate": Gate(must_beat=["probe"])})
    verdict = gate_verdict(NAME, model, base, reports, packaged.adapter)
    assert not verdict.passed
    assert verdict.failures[0].startswith("not shown better than the probe o") and "\n" not in verdict.failures[0]
    assert any(words.startswith("worse than the probe on colour: 0.000 against") for words in verdict.failures)
    known = worth(read_json(reports / "evaluate/leads.json"), {}, 1)
    assert known["was"] is False and known["sentence"].startswith("Tuning was not worth it: ")
