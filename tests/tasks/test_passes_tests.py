"""Answers that are Python are measured by running them; rows whose own answers fail are refused before any work."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, write_json, write_jsonl
from tasks.formats.answer import format_of
from tasks.preflight import code_tests
from tasks.stages.evaluate import code, measures
from tasks.stages.evaluate.__main__ import contest
from tasks.stages.evaluate.params import CodeTests, Evaluate
from tasks.stages.evaluate.predictions import read
from tasks.steps.report.code import sentences
from tests.tasks import own_params
from tests.tasks.scored import scores, text_row

TESTS = "assert double(2) == 4\nassert double('a') == 'aa'"
RIGHT = "def double(x):\n    return x * 2"
PARAMS = Evaluate(bootstrap_resamples=100, tests={"seconds": 2})
HOW = CodeTests(seconds=2)
ANSWER = "{{ solution }}"


def row(text: str, number: int = 0, **changes: str) -> dict:
    columns = {"id": f"c{number}", "solution": RIGHT, "tests": TESTS, "entry_point": "double", **changes}
    return text_row(text, columns["solution"], **columns)


def test_code_that_has_tests_is_judged_by_them_unless_told_otherwise():
    assert measures.compared_on(Evaluate(tests=HOW)) == "passes_tests"
    assert measures.compared_on(Evaluate(tests=HOW, labels=["kind"])) == "kind_accuracy"


@pytest.mark.slow
def test_the_share_of_answers_that_pass() -> None:
    rows = [row(RIGHT), row("def double(x):\n    return x + x\n"), row("def double(x):\n    return 4"), row("double")]
    assert scores(rows, PARAMS, ANSWER, {})["passes_tests"] == [1, 1, 0, 0]
    table = measures.of(PARAMS, format_of(ANSWER))
    assert table["passes_tests"].kind == "share" and table["passes_tests"].higher_is_better
    assert "passes_tests" not in measures.of(Evaluate(), format_of(ANSWER))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n```python\n{RIGHT}\n```\nIt doubles.",
        f"```\nprint('an example')\n```\n\n```py\n{RIGHT}\n```",
        f"```python\n{RIGHT}",
        f"```python\n{RIGHT}\nprint(double(3))\n```",
    ],
)
def test_the_code_of_an_answer_is_what_is_fenced(text: str) -> None:
    assert scores([row(text)], PARAMS, ANSWER, {})["passes_tests"] == [1]


@pytest.mark.slow
def test_an_answer_may_go_on_from_what_the_row_begins() -> None:
    how = {"tests": {"program": "{{ start }}\n{{ answer }}", "seconds": 2}}
    rows = [row(text, start='def double(x):\n    """Twice."""') for text in ("    return x * 2", RIGHT, "return x * 2")]
    assert scores(rows, Evaluate(bootstrap_resamples=100, **how), ANSWER, {})["passes_tests"] == [1, 1, 0]


def test_a_row_without_tests_is_named() -> None:
    with pytest.raises(AnnealError, match="row c7: `tests`, which evaluate.tests in params.yaml names, is empty"):
        scores([row(RIGHT, 7, tests=" ")], PARAMS, ANSWER, {})


@pytest.mark.slow
def test_a_right_answer_that_fails_its_tests_is_named() -> None:
    rows = read([row(RIGHT), row(RIGHT, 1, tests="assert double(2) == 5")], format_of(ANSWER), {})
    with pytest.raises(AnnealError, match=r"row c1: its own right answer failed a test \(line 1 of <tests>"):
        code.check(rows, HOW)


@pytest.mark.slow
def test_evaluate_says_how_answers_ended_and_the_report_in_words(tmp_path: Path) -> None:
    prepared, folders = tmp_path / "prepared", {}
    for name in ("train", "validation", "test"):
        write_jsonl(prepared / f"{name}.jsonl", [row("", n) | {"id": f"c{n}", "messages": []} for n in range(3)])
    write_json(prepared / "format.json", {"system": None, "user": "", "answer": ANSWER})
    wrote = {"tuned": [RIGHT, RIGHT, "def double(x): return 4"], "parent": ["I can't", RIGHT, "while True: pass"]}
    for who, texts in wrote.items():
        folders[who] = tmp_path / who
        lines = [row(text, n) | {"id": f"c{n}", "messages": []} for n, text in enumerate(texts)]
        write_jsonl(folders[who] / "predictions.jsonl", lines)
        write_json(folders[who] / "timing.json", {"seconds_per_answer": 1.0})
    contest(Evaluate(bootstrap_resamples=100, tests={"seconds": 1}), prepared, folders, tmp_path / "out")
    metrics, told = (read_json(tmp_path / "out" / f"{name}.json") for name in ("metrics", "measures"))
    assert metrics["tuned"]["passes_tests"] == pytest.approx(2 / 3)
    assert told["code"]["outcomes"]["tuned"] == {"passed": 2, "wrong": 1}
    assert told["code"]["outcomes"]["parent"] == {"no_code": 1, "passed": 1, "timed_out": 1}
    weak: Any = {"code": {**told["code"], "unprotected": ["files of this account"]}}
    first, _, last = sentences(weak)
    assert first == "Of the 3 answers of the tuned model, 2 passed all tests, 1 failed a test."
    assert "did not keep generated code from files of this account;" in last
    nothing: Any = {}
    assert sentences(nothing) == []


@pytest.fixture
def _rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = [{**row("", n)["row"], "ask": f"Write double, version {n}."} for n in range(4)]
    columns[2] |= {"tests": "assert double(2) == 5"}
    own_params.write_rows(columns)


def words(tests: dict[str, object]) -> list[str]:
    prepare = {"shape": "table", "user": "{{ ask }}", "answer": ANSWER}
    source = own_params.VALUE["datasets"]["tickets"]["ingest"]["source"]
    params = own_params.changed(
        datasets__tickets={"ingest": {"source": source}, "validate": {}, "prepare": prepare},
        models__mine__evaluate={"tests": tests},
    )
    return list(code_tests.problems(params, "mine"))


@pytest.mark.slow
@pytest.mark.usefixtures("_rows")
def test_what_does_not_fit_is_refused_before_any_work() -> None:
    (failing,) = words({"seconds": 2})
    assert failing.startswith("models.mine.evaluate.tests: row c2: its own right answer failed a test")
    (missing,) = words({"column": "test"})
    assert missing.startswith("models.mine.evaluate.tests.column names `test`, which is not a column")
    (program,) = words({"program": "{{ begin }}{{ answer }}"})
    assert "tests.program names `begin`" in program
    (broken,) = words({"program": "{{ answer"})
    assert broken.startswith("models.mine.evaluate.tests.program")


@pytest.mark.usefixtures("_rows")
def test_a_model_without_tests_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_tests, "run_all", None)
    assert list(code_tests.problems(own_params.changed(), "mine")) == []
    assert json.loads(json.dumps(Evaluate().model_dump()))["tests"] is None
