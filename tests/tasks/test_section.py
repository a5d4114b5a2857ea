"""A value that does not fit gives one line: the key, what was found, and the whole of what is allowed."""

from typing import Annotated, Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from tasks.errors import ParamsError
from tasks.section import Section, parse
from tests.examples import examples
from tests.tasks.sections import Inner, Lora, Outer, inner, said


class Pair(Section):
    low: float = 0
    high: float = 1

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high; swap them")
        return self


class Full(Section):
    method: Literal["full"]
    lr: float = 1.0


class Either(Section):
    train: Annotated[Lora | Full, Field(discriminator="method")]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            2.0,
            "params.yaml: models.m.train.rate is 2.0; it should be greater than 0 and less than 1 (peak rate, after "
            "warm-up)"
            ".",
        ),
        (
            0,
            "params.yaml: models.m.train.rate is 0; it should be greater than 0 and less than 1 (peak rate, after "
            "warm-up).",
        ),
        (
            float("inf"),
            "params.yaml: models.m.train.rate is inf; it should be a finite number, greater than 0 and less than 1 "
            "(peak rate, after warm-up).",
        ),
        (
            float("nan"),
            "params.yaml: models.m.train.rate is nan; it should be a finite number, greater than 0 and less than 1 "
            "(peak rate, after warm-up).",
        ),
        (
            "abc",
            "params.yaml: models.m.train.rate is 'abc'; it should be a valid number, greater than 0 and less than 1 "
            "(peak rate, after warm-up).",
        ),
        (
            None,
            "params.yaml: models.m.train.rate is empty; it should be a valid number, greater than 0 and less than 1 "
            "(peak rate, after warm-up).",
        ),
        (
            {"a": 1},
            "params.yaml: models.m.train.rate is a table of keys; it should be a valid number, greater than 0 and "
            "less than 1 (peak rate, after warm-up).",
        ),
    ],
)
def test_a_number_that_does_not_fit_is_told_the_whole_allowed_range_and_its_unit(found, sentence):
    assert inner(rate=found) == sentence


@pytest.mark.parametrize(
    ("key", "found", "sentence"),
    [
        (
            "rank",
            0,
            "params.yaml: models.m.train.rank is 0; it should be at least 1 and at most 512 (rank of the adapter).",
        ),
        (
            "rank",
            4096,
            "params.yaml: models.m.train.rank is 4096; it should be at least 1 and at most 512 (rank of the adapter).",
        ),
        ("norm", -1.0, "params.yaml: models.m.train.norm is -1.0; it should be greater than 0."),
        ("mode", "cosin", "params.yaml: models.m.train.mode is 'cosin'; it should be 'cosine' or 'linear'."),
        (
            "commit",
            "main",
            "params.yaml: models.m.train.commit is 'main'; it should match pattern '^[0-9a-f]{4}$' (commit on the "
            "hub).",
        ),
        ("columns", [], "params.yaml: models.m.train.columns is []; it should have at least 1 item (text columns)."),
        ("on", "yes", "params.yaml: models.m.train.on is 'yes'; it should be true or false."),
    ],
)
def test_what_is_allowed_is_said_without_a_word_of_pydantic(key, found, sentence):
    assert inner(**{key: found}) == sentence


@pytest.mark.parametrize(
    ("key", "found"), [("rank", True), ("rank", "16"), ("rank", 16.5), ("rate", True), ("rate", "0.5"), ("on", 1)]
)
def test_a_value_of_another_type_is_refused_and_not_turned_into_one_that_fits(key, found):
    assert (
        f"models.m.train.{key} is {str(found).lower() if isinstance(found, bool) else repr(found)}; it should be "
        in inner(**{key: found})
    )


def test_a_whole_number_is_a_number():
    assert parse(Inner, {"norm": 2}, "").norm == 2.0


def test_the_branches_of_a_choice_are_all_named_and_the_key_is_the_users_own():
    assert (
        inner(modules="foo") == "params.yaml: models.m.train.modules is 'foo'; it should be 'all' or be a valid list."
    )


def test_inside_a_choice_the_deepest_place_is_named():
    assert inner(modules=["q", 2]) == "params.yaml: models.m.train.modules.1 is 2; it should be a valid string."


def test_of_several_wrong_values_the_first_is_named():
    assert "models.m.train.rank is 0;" in inner(norm=-1.0, rank=0)


def test_a_section_that_is_empty_or_a_list_should_be_a_table():
    assert said(Outer, {"name": "n", "inner": None}) == "params.yaml: inner is empty; it should be a table of keys."
    assert said(Outer, {"name": "n", "rows": [1]}) == "params.yaml: rows is [1]; it should be a table of keys."


def test_a_rule_over_several_keys_speaks_for_itself_and_does_not_print_the_section():
    assert said(Pair, {"low": 3.0}, "models.m") == "params.yaml: models.m: low is above high; swap them."


def test_rows_of_several_kinds_are_told_apart_by_one_key():
    assert (
        said(Either, {"train": {"method": "lra"}})
        == "params.yaml: train.method is 'lra'; it should be one of 'lora', 'full'."
    )
    assert said(Either, {"train": {}}) == "params.yaml: train.method is missing; add it."
    assert (
        said(Either, {"train": {"method": "lora", "r": "x"}})
        == "params.yaml: train.r is 'x'; it should be a valid integer."
    )


def test_a_long_value_is_cut_short():
    assert len(inner(rate="x" * 10_000)) < 250


def test_a_section_is_frozen():
    with pytest.raises(ValidationError):
        Inner().rate = 0.1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inside, max_size=3)
    ),
    max_leaves=6,
)


@examples(80)
@given(
    st.dictionaries(
        st.sampled_from(["name", "inner", "check", "rows", "nme"]),
        values | st.dictionaries(st.sampled_from([*Inner.model_fields, "rte"]), values, max_size=3),
        max_size=4,
    )
)
def test_any_value_at_all_is_a_section_or_one_sentence_about_a_place_in_it(value):
    try:
        found = parse(Outer, value, "")
    except ParamsError as error:
        assert str(error).startswith("params.yaml: ")
        assert len(str(error).splitlines()) == 1
    else:
        assert isinstance(found, Outer)
