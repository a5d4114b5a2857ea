"""The monitor of a version that tells numbers: which it tells, and how far from what people correct them to."""

import json
import random
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from tasks.files import read_jsonl, write_json, write_jsonl
from tasks.formats.number_answer import NumberAnswer
from tasks.monitor import check_page, evidently_page, residuals
from tasks.monitor.check import check
from tasks.monitor.checks_table import MonitorCheck
from tasks.monitor.params import Monitor
from tasks.records import database
from tasks.records.database import feedback, requests
from tasks.serve.routes import Target
from tests.tasks.monitored import ARTIFACT, HOUR, KINDS, START, ticket, vectors, version

STARS = {kind: 1.0 + 2 * place for place, kind in enumerate(sorted(KINDS))}


def told(kind: str, dice: random.Random, shift: float = 0.0) -> str:
    """An answer that is off by half a star."""
    return json.dumps({"stars": round(STARS[kind] + dice.gauss(shift, 0.5), 3)})


@pytest.fixture
def target(tmp_path: Path) -> Target:
    made, dice = version(tmp_path / "kept"), random.Random(3)
    folder = Path(made.folder)
    for name in ("rows", "predictions"):
        rows = read_jsonl(folder / f"reference/{name}.jsonl")
        for row in rows:
            kind = row["row"]["kind"] if "row" in row else row["answer"]["kind"]
            right = json.dumps({"stars": STARS[kind]})
            row |= {"text": told(kind, dice), "answer": right} if "row" in row else {"answer": json.loads(right)}
        write_jsonl(folder / f"reference/{name}.jsonl", rows)
    write_json(folder / "reference/classes.json", {})
    form = {"system": None, "user": "{{ text }}", "answer": {"stars": "number"}, "example": "scored"}
    write_json(folder / "format.json", form)
    return made


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An empty database; Evidently and the plot, which take most of the time, stay out."""
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    return database.connect(f"sqlite:///{tmp_path / 'records.db'}")


def asked(engine: Engine, target: Target, tmp_path: Path, shift: float = 0.0, off: float = 0.0) -> MonitorCheck:
    """A check after 400 answers that are `shift` too great; 80 are corrected to what is `off` the right number."""
    dice = random.Random(7)
    rows = [ticket(dice) for _ in range(400)]
    same = {"task": "sort", "version": "1", "artifact": ARTIFACT, "role": "champion", "status": 200, "valid": True}
    logged = [
        {
            **same,
            "id": f"q{i}",
            "at": START + i,
            "input": {"text": row["text"]},
            "output": told(row["kind"], dice, shift),
        }
        for i, row in enumerate(rows)
    ]
    with engine.begin() as connection:
        connection.execute(insert(requests), logged)
    said = [
        {"at": START + 500 + i, "request_id": f"q{i}", "correction": {"stars": str(STARS[row["kind"]] + off)}}
        for i, row in enumerate(rows[:80])
    ]
    with engine.begin() as connection:
        connection.execute(insert(feedback), said)
    return check(engine, "sort", target, Monitor(), START + HOUR, vectors, tmp_path / "home", tmp_path / "reports")


@pytest.mark.slow
def test_numbers_as_in_the_evaluation_are_no_drift(engine: Engine, target: Target, tmp_path: Path) -> None:
    found = asked(engine, target, tmp_path)
    assert not found.alarm and {"numbers of stars", "error of stars"} <= set(found.evidence)
    assert found.figures["stars_rmse"] == pytest.approx(0.5, abs=0.1) and found.figures["stars_rmse_n"] == 80
    assert abs(found.figures["stars_bias"]) < 0.2 and found.figures["stars_mean"] == pytest.approx(3, abs=0.4)
    assert not [name for name in found.figures if name.startswith("exact_match")]


@pytest.mark.slow
def test_other_numbers_raise_the_alarm(engine: Engine, target: Target, tmp_path: Path) -> None:
    found = asked(engine, target, tmp_path, shift=2.5, off=2.5)
    assert found.alarm and found.evidence["numbers of stars"] > 3 > found.evidence["error of stars"]
    words = next(reason for reason in found.reasons if "numbers of stars" in reason)
    assert "stars is 5." in words and "in the evaluation" in words
    assert "stars mean" in Path(str(found.report)).read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_people_correct_tells_of_the_error(engine: Engine, target: Target, tmp_path: Path) -> None:
    found = asked(engine, target, tmp_path, off=3.0)
    assert found.alarm and found.evidence["error of stars"] > 3 and found.figures["stars_bias"] < -2
    assert any("stars has an RMSE of 3." in reason for reason in found.reasons)


def test_what_is_not_known_is_no_score() -> None:
    form = NumberAnswer(("stars",))
    assert residuals.values(form, ['{"stars": 4}', "?"]) == {"stars value": [4.0, None]}
    pairs = [('{"stars": 4}', {"stars": "4.5"}), ("?", {"stars": "1"}), ('{"stars": 4}', {})]
    assert residuals.errors(form, pairs) == {"stars error": [0.5, None, None]}
    assert residuals.figures_of_labels(form, pairs[1:]) == residuals.figures_of_answers(form, []) == {}
