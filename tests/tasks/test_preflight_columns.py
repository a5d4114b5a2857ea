"""Rows that are not of the shape that params.yaml names are refused, with what to write if that is known."""

from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.preflight import checks
from tests.tasks.test_preflight_shapes import TURNS, project


def test_rows_of_another_shape_than_is_named_are_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, [{"id": "r1", "messages": TURNS[:1]}], more=", prepare: {shape: chat}")
    with pytest.raises(ParamsError) as refused:
        checks.check_file()
    assert str(refused.value) == (
        "params.yaml: datasets.mine.prepare: none of the first 1 rows is of the shape chat (row r1: the last turn of "
        "`messages` is not of the assistant)."
    )


def test_rows_of_the_named_shape_under_other_names_are_refused_with_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked, better, worse = (
        {"from": who, "value": text} for who, text in (("human", "Is it?"), ("gpt", "Yes."), ("gpt", "No."))
    )
    pair = {"conversations": [asked], "chosen": better, "rejected": worse}
    project(tmp_path, [{"id": "r1", **pair}], more=", prepare: {shape: preference}")
    with pytest.raises(ParamsError) as refused:
        checks.check_file()
    assert str(refused.value).endswith("; by their names, the columns are `prompt: conversations`: write that there.")
