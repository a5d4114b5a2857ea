"""A key that is unknown, missing or misspelt gives one line with the key that was probably meant."""

from typing import Annotated

import pytest
from pydantic import Field

from tasks.section import MOST_NAMES, Section, suggestion
from tests.tasks.sections import Inner, Lora, Outer, inner, said


def test_an_unknown_key_gets_the_one_that_was_probably_meant():
    assert inner(rte=1) == "params.yaml: models.m.train.rte is not a known key; did you mean `rate`?"


def test_an_unknown_key_like_no_other_gets_the_list():
    assert (
        inner(zzz=1)
        == "params.yaml: models.m.train.zzz is not a known key; there are: columns, commit, mode, modules, norm, on, "
        "rank, rate."
    )


def test_a_key_that_is_no_text_is_an_unknown_key():
    assert "models.m.train.1 is not a known key; there are: columns" in said(Inner, {1: 2}, "models.m.train")


def test_suggestions_come_from_the_section_that_the_key_is_in():
    assert (
        said(Outer, {"name": "n", "check": {"rnk": 1}})
        == "params.yaml: check.rnk is not a known key; did you mean `rank`?"
    )
    assert said(Outer, {"name": "n", "rows": {"inner": {"nam": 1}}}).startswith(
        "params.yaml: rows.inner.nam is not a known key; there are: columns"
    )


def test_suggestions_use_the_spelling_of_the_file():
    assert said(Outer, {"name": "n", "chck": {}}).endswith("did you mean `check`?")


def test_a_misspelt_required_key_is_named_rather_than_called_missing():
    assert said(Outer, {"nme": "n"}) == "params.yaml: nme is not a known key; did you mean `name`?"


def test_a_missing_key_is_named():
    assert said(Outer, {}) == "params.yaml: name is missing; add it."


def test_a_name_of_a_row_that_does_not_fit_is_named_with_the_rule_for_names():
    assert (
        said(Outer, {"name": "n", "rows": {"A B": {}}})
        == "params.yaml: rows.A B is 'A B'; it should match pattern '^[a-z]+$' (lower-case letters)."
    )


@pytest.mark.parametrize("row", [{}, {"r": "x"}, None])
def test_under_a_name_that_does_not_fit_nothing_else_is_said(row):
    class Named(Section):
        rows: dict[Annotated[str, Field(pattern="^[a-z]+$", description="lower-case letters")], Lora]

    assert (
        said(Named, {"rows": {"A B": row}})
        == "params.yaml: rows.A B is 'A B'; it should match pattern '^[a-z]+$' (lower-case letters)."
    )


def test_a_long_list_of_names_is_cut_short():
    names = [f"name{number}" for number in range(MOST_NAMES + 5)]
    assert suggestion("zzz", names).endswith(" and 5 more.")
    assert "more" not in suggestion("zzz", names[:MOST_NAMES])
