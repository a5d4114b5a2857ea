"""`make evaluate` on a small project: the row is brought up to date, everyone is heard, and nothing is made twice."""

from pathlib import Path

import pytest

from tasks.files import read_json
from tests.flows import project

pytestmark = pytest.mark.slow  # each test starts processes that train


def test_everyone_is_heard_once_and_the_table_is_shown_again(untouched: Path) -> None:
    project.change(untouched, models__things__evaluate__bootstrap_resamples=150)
    printed = project.run(untouched, "flows.evaluate", "things")
    assert "✓ evaluate@things" in printed and "package@things" not in printed  # no more than is compared
    compared = read_json(untouched / "reports/things/further/comparison.json")
    assert (
        f"things: {compared['sentence']}" in printed
        and "full comparison: reports/things/further/comparison.json" in printed
    )
    assert {"nearest", "retrieved", "probe", "parent", "few_shot", "commonest"} == set(
        compared["contests"][0]["others"]
    )
    for words in ("all labels", "the nearest neighbours' vote", "its parent with retrieved examples"):
        assert words in printed
    made = {file: file.stat().st_mtime_ns for file in (untouched / "reports/things").rglob("*")}
    again = project.run(untouched, "flows.evaluate", "things")
    assert again[again.index("\nthings: ") :] == printed[printed.index("\nthings: ") :]
    assert "answers" not in again[: again.index("\nthings: ")]
    assert {file: file.stat().st_mtime_ns for file in (untouched / "reports/things").rglob("*")} == made


def test_a_model_that_is_not_there_is_one_sentence(untouched: Path) -> None:
    printed = project.run(untouched, "flows.evaluate", "thing", status=2)
    assert "error: " in printed and "things" in printed and "Traceback" not in printed
