"""The registry's double does what the real store does, call by call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.examples import examples
from tests.tasks.registry_double import NAME, Double

pytestmark = pytest.mark.slow  # each test trains, or loads a model

which = st.sampled_from(["champion", "challenger", "previous"])
number = st.sampled_from(["1", "2", "3"])  # version 3 does not exist
key = st.sampled_from(["gate", "canary"])
call = st.one_of(
    st.tuples(st.just("set_registered_model_alias"), which, number),
    st.tuples(st.just("delete_registered_model_alias"), which),
    st.tuples(st.just("set_model_version_tag"), number, key, st.sampled_from(["a", "b"])),
    st.tuples(st.just("delete_model_version_tag"), st.sampled_from(["1", "2"]), key),
    st.tuples(st.just("set_registered_model_tag"), key, st.sampled_from(["a", "b"])),
    st.tuples(st.just("delete_registered_model_tag"), key),
)


def plain(value: object) -> object:
    """What an answer says, or the code of its refusal."""
    if value is None:
        return None
    return {name: str(at) for name, at in value.aliases.items()}, dict(value.tags)


def answer(client: object, name: str, values: tuple) -> object:
    try:
        return plain(getattr(client, name)(NAME, *values))
    except MlflowException as error:
        return error.error_code


def test_it_answers_as_the_real_store_does(store: MlflowClient) -> None:
    @examples(25)
    @given(st.lists(call, max_size=12))
    def compare(calls: list[tuple]) -> None:
        if store.search_registered_models(f"name = '{NAME}'"):
            store.delete_registered_model(NAME)
        store.create_registered_model(NAME)
        for _ in range(2):
            store.create_model_version(NAME, "file:///nowhere", None)
        double = Double(versions={"1": {}, "2": {}})
        for name, *values in [*calls, ("get_registered_model",)]:
            assert answer(double, name, tuple(values)) == answer(store, name, tuple(values)), (name, values)
        real = sorted(
            (str(entry.version), dict(entry.tags)) for entry in store.search_model_versions(f"name = '{NAME}'")
        )
        assert sorted((entry.version, entry.tags) for entry in double.search_model_versions("")) == real

    compare()
