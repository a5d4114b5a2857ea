"""Answers that stand in a text, where they are measured, monitored and harvested; what a search for words finds; which
base learns to find them.
"""

import json
import random
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from tasks.comparison import prior
from tasks.errors import ParamsError
from tasks.files import read_jsonl, write_json, write_jsonl
from tasks.formats.answer import format_of
from tasks.formats.spans import Span, as_probabilities, span_of, to_json
from tasks.monitor import check_page, confidence, evidently_page
from tasks.monitor.check import check
from tasks.monitor.params import Monitor
from tasks.preflight import checks
from tasks.records import database
from tasks.retrain.harvest import harvest
from tasks.serve.routes import Target
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import read
from tasks.stages.prepare.shapes import spans
from tasks.steps.report.calibration import calibrations
from tasks.steps.report.samples import shown_answer
from tests.tasks.corrections import NOW, ask
from tests.tasks.monitored import ARTIFACT, HOUR, START, vectors, version
from tests.tasks.test_retrain_shapes import of_shape

CONTEXT = "Anna Lee was born in Bern. She left Bern in 1987, at 1.5 years. Was she happy there?"
FORM = format_of({"answer": ["answer", "start", "end"]})


def said(context: str, answer: str, others: tuple[str, ...] = ()) -> str:
    start = context.find(answer)
    return to_json(context, Span(start, start + len(answer)) if answer else None, others)


@pytest.mark.parametrize(
    ("answer", "right", "others", "f1", "match"),
    [
        ("Bern", "Bern", (), 1.0, 1.0),
        ("in Bern", "Bern", (), 2 / 3, 0.0),
        ("in Bern", "Bern", ("born in Bern", "in Bern."), 1.0, 1.0),
        ("born in", "Bern", ("born in Bern",), 0.8, 0.0),
        ("", "", (), 1.0, 1.0),
        ("", "Bern", (), 0.0, 0.0),
        ("Bern", "", (), 0.0, 0.0),
    ],
)
def test_the_best_of_several_right_answers_counts_as_in_squad(
    answer: str, right: str, others: tuple[str, ...], f1: float, match: float
) -> None:
    row = {"text": said(CONTEXT, answer), "answer": said(CONTEXT, right, others), "row": {}, "nll": 1, "tokens": 1}
    table = measures.of(Evaluate(), FORM, "spans")
    rows = measures.rows(table, read([row], FORM, {}))
    assert [float(rows[name][0]) for name in ("answer_token_f1", "answer_exact_match")] == pytest.approx([f1, match])


def test_the_report_shows_how_sure_answers_were_and_any_right_one_as_right() -> None:
    def row(answer: str, probability: float) -> dict:
        right = said(CONTEXT, "Bern", ("in Bern",))
        about = {"id": "1", "messages": [], "answer": right, "row": {}, "finished": True}
        return {**about, "text": said(CONTEXT, answer), "probabilities": as_probabilities(probability)}

    rows = [row("Bern", 0.9), row("in Bern", 0.7), row("Anna", 0.6), row("", 0.2)]
    assert [shown_answer(each, FORM, ()).right for each in rows] == [True, True, False, False]
    (plot,) = calibrations(rows, FORM, (), 0.95)
    assert plot.name == "answer" and plot.caption.startswith(
        "Of 4 rows 50.0 % are right, and their mean predicted probability"
    )
    assert "probability is 0.600" in plot.caption
    assert calibrations([{**rows[0], "probabilities": None}], FORM, (), 0.95) == []


def test_without_learning_the_sentence_with_the_most_words_of_the_question_is_the_answer() -> None:
    def answers(question: str, answered: float, context: str = CONTEXT) -> str:
        row = {"id": "1", "messages": [], "answer": "", "row": {"question": question, "context": context}}
        (prediction,) = prior.matching_sentences(answered, [row])
        span = span_of(prediction["text"])
        assert (prediction["nll"], prediction["tokens"], prediction["finished"]) == (0.0, 0, True)
        return context[slice(*span)] if span else ""

    assert answers("When has she left?", 0.7) == "She left Bern in 1987, at 1.5 years."
    assert answers("who?", 0.7) == "Anna Lee was born in Bern."  # the first, where none shares a word
    assert answers("When has she left?", 0.4) == ""
    assert answers("q", 1.0, "\u5979\u53bb\u4e86\u3002\u4ed6\u6765\u4e86\u3002") == "\u5979\u53bb\u4e86\u3002"


def answered(row: dict, dice: random.Random, sure: float) -> dict:
    context = row["text"]
    start = dice.randrange(len(context) - 3)
    return {
        "text": to_json(context, Span(start, start + 3)),
        "probabilities": as_probabilities(min(0.99, max(0.05, dice.gauss(sure, 0.05)))),
    }


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A version that was sure of its answers, nine in ten of which were right."""
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    target, dice = version(tmp_path / "kept"), random.Random(1)
    folder = Path(target.folder)
    tests = read_jsonl(folder / "reference/predictions.jsonl")
    for number, row in enumerate(tests):
        row |= answered(row["row"], dice, 0.9)
        row["answer"] = row["text"] if number % 10 else to_json("", None)
    write_jsonl(folder / "reference/predictions.jsonl", tests)
    write_json(folder / "reference/classes.json", {})
    answer = {"answer": ["answer", "start", "end"]}
    write_json(folder / "format.json", {"system": None, "user": "{{ text }}", "answer": answer, "example": "spans"})
    return target


def log(engine: Engine, target: Target, sure: float, hour: int) -> None:
    """Answers that are so sure, of which a quarter of those that people speak about are wrong."""
    dice, reference = random.Random(hour), Path(target.folder) / "reference"
    known = {row["id"]: row["input"] for row in read_jsonl(reference / "rows.jsonl")}
    asked = [known[row["id"]] for row in read_jsonl(reference / "predictions.jsonl")] * 5
    same = {"task": "sort", "version": "1", "artifact": ARTIFACT, "role": "champion", "status": 200, "valid": True}
    rows, corrected = [], []
    for i, given in enumerate(asked):
        said, at = answered(given, dice, sure), START + hour * HOUR + i
        about = {"id": f"{hour}-{i}", "at": at, "input": given}
        rows.append({**same, **about, "output": said["text"], "probabilities": said["probabilities"]})
        correction = FORM.read(said["text"]) if i % 4 else {"answer": "something else"}
        corrected.append({"at": at + 900, "request_id": about["id"], "correction": correction})
    with engine.begin() as connection:
        connection.execute(insert(database.requests), rows)
        connection.execute(insert(database.feedback), corrected[:40])


@pytest.mark.slow
def test_the_monitor_follows_how_sure_answers_are_and_how_often_people_correct_them(
    kept: Target, tmp_path: Path
) -> None:
    engine = database.connect(f"sqlite:///{tmp_path / 'records.db'}")
    places = (tmp_path / "home", tmp_path / "page")
    log(engine, kept, 0.9, 0)
    first = check(engine, "sort", kept, Monitor(), START + HOUR, vectors, *places)
    assert {"confidence in answer", "calibration of answer"} <= set(first.evidence)
    assert first.figures["answer_confidence"] == pytest.approx(0.9, abs=0.03)
    assert first.figures["exact_match"] == pytest.approx(0.75) and first.figures["answer_right_probability_n"] == 40
    assert first.figures["answer_overconfidence"] == pytest.approx(0.9 - 0.75, abs=0.05)
    log(engine, kept, 0.3, 1)
    later = check(engine, "sort", kept, Monitor(), START + 2 * HOUR, vectors, *places)
    assert later.alarm and any("confidence in answer" in reason for reason in later.reasons)


def test_a_probability_below_a_half_is_no_other_answers() -> None:
    sure = as_probabilities(0.3)
    assert confidence.top_probability(sure, "answer") == 0.3 and not confidence.is_top_right(
        sure, {"answer": "other"}, "answer"
    )
    assert confidence.is_top_right(sure, {"answer": "given"}, "answer")
    assert confidence.labels_of({}, [{"probabilities": sure}]) == ["answer"]
    assert confidence.labels_of({}, [{"probabilities": sure}, {}]) == []


def test_corrections_become_rows_where_their_place_is_known_and_questions_about_a_text_are_no_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"question": "When?", "context": CONTEXT, "answers": {"text": ["1987"], "answer_start": [44]}}
    write_jsonl(Path("data/seed/rows/first.jsonl"), [row])
    params, engine = of_shape("spans", {"json_columns": ["answers"]}, {}), database.connect()
    questions = ("Who?", "Where to?", "How old?", "Happy?", "From where?", "What else?", "Which town?", "Nobody?")
    corrections = (
        {"answer": "Anna Lee"}, {"answer": "Bern", "start": "36"}, {"answer": "1.5 years"}, {"answer": ""},
        {"answer": "Bern", "start": "21"}, {"answer": "Bern"}, {"answer": "Basel"}, {"answer": "Bern", "start": "7"},
    )  # fmt: skip
    for number, (question, correction) in enumerate(zip(questions, corrections, strict=True)):
        ask(engine, f"q{number}", {"question": question, "context": CONTEXT}, correction, key=f"k{number}")
    made = harvest(engine, params, "triage", NOW + 10)
    assert (made.taken, made.skipped, made.quarantined) == (5, 3, 0)
    assert "its answer occurs 2 times in its context, and no start says which one is meant" in made.why
    harvested = {row["id"]: row["answers"] for row in read_jsonl(Path(str(made.file)))}
    assert harvested["feedback-q1"] == {"text": ["Bern"], "answer_start": [36]}
    assert harvested["feedback-q3"] == {"text": [], "answer_start": []}
    section = params.datasets["tickets"].prepare
    for row in read_jsonl(Path(str(made.file))):
        cells = {**row, "answers": json.dumps(row["answers"])}
        assert spans.example(cells, section)["row"]["context"] == CONTEXT


def test_a_base_that_writes_does_not_learn_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (tmp_path / "base/config.json").write_text(json.dumps(config))
    answers = {"text": ["Anna"], "answer_start": [0]}
    row = {"question": "Who?", "context": "Anna left", "answers": answers}
    (tmp_path / "rows.jsonl").write_text((json.dumps(row) + "\n") * 12)
    (tmp_path / "params.yaml").write_text(
        f"bases:\n  small: {{folder: base, sha256: '{'0' * 64}', license: mit}}\n"
        "datasets:\n  mine: {ingest: {source: rows.jsonl}}\nmodels:\n  m: {parent: small, dataset: mine}\n"
    )
    with pytest.raises(ParamsError, match=r"objective\.kind is extract, and small writes .* or use a base that reads"):
        checks.check_file()
