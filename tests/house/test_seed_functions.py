"""The functions that ship pass their own tests, which a function that does nothing fails, and none is like another."""

import json
from pathlib import Path

import pytest

from tasks.files import read_json, write_json, write_jsonl
from tasks.sandbox.run import Limits, Program, run_all
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.prepare.shapes.table import Params
from tests.house.project import ROOT

ROWS = [
    json.loads(line) for line in (ROOT / "data/seed/functions/functions.jsonl").read_text(encoding="utf-8").splitlines()
]
LIMITS = Limits(seconds=5, memory=512)


def outcomes(rows: list[dict[str, str]]) -> dict[str, str]:
    programs = [Program(row["solution"], row["tests"], row["entry_point"]) for row in rows]
    return {row["id"]: result.outcome for row, result in zip(rows, run_all(programs, LIMITS), strict=True)}


def test_there_are_enough_and_each_is_named_once() -> None:
    assert len(ROWS) >= 40
    for column in ("id", "entry_point", "ask"):
        assert len({row[column] for row in ROWS}) == len(ROWS)
    assert all(f"`{row['entry_point']}" in row["ask"] for row in ROWS), "a question does not name its function"


@pytest.mark.slow
def test_every_solution_passes_its_tests() -> None:
    assert {name: outcome for name, outcome in outcomes(ROWS).items() if outcome != "passed"} == {}


@pytest.mark.slow
def test_tests_tell_a_solution_from_none() -> None:
    """Whatever is given back: nothing, the first argument, or a number."""
    for answer in ("None", "given[0]", "0"):
        idle = [{**row, "solution": f"def {row['entry_point']}(*given, **named): return {answer}"} for row in ROWS[::5]]
        assert "passed" not in outcomes(idle).values(), answer


@pytest.mark.slow  # jinja, great_expectations
def test_none_is_dropped_and_half_is_held_out(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    write_json(tmp_path / "limits.json", {"rows": len(ROWS), "quarantined": 0, "max_quarantined_share": 0})
    write_json(tmp_path / "suite.json", {"expectations": []})
    params = Params(user="{{ ask }}", answer="{{ solution }}", test_share=0.5)
    out, report = tmp_path / "out", tmp_path / "report.json"
    prepare(params, tmp_path, tmp_path / "suite.json", out, tmp_path / "docs", report)
    assert (out / "dropped.jsonl").read_text() == ""
    assert len((out / "test.jsonl").read_text().splitlines()) >= 25
    assert read_json(report)
