"""The weights that a version was trained on are found among those of all models that are released as its task."""

from pathlib import Path

import pytest

from tasks import paths
from tasks.files import write_json
from tasks.params import Params, task_of
from tasks.serve import state
from tasks.steps import trained_on
from tasks.versions.registry import Version
from tests.tasks.test_retest import released


def of_base(base: str) -> Version:
    return Version("mine", "4", "a" * 64, "run", {"base_sha256": base})


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A project whose model `preferred` is trained on `mine`, and this on the base `tiny`."""
    monkeypatch.chdir(tmp_path)
    for row, digest in (("tiny", "t"), ("mine", "m")):
        write_json(paths.weights(row) / "source.json", {"weights_sha256": digest * 64})
    write_json(state.base_folder("k" * 64) / "source.json", {"weights_sha256": "k" * 64})
    return released()


def test_versions_of_a_task_may_have_different_bases(params: Params) -> None:
    assert trained_on.weights(params, of_base("t" * 64)) == paths.weights("tiny")
    assert trained_on.weights(params, of_base("m" * 64)) == paths.weights("mine")  # of the model that is released as it
    assert trained_on.weights(params, of_base("k" * 64)) == state.base_folder("k" * 64)  # of an earlier training
    assert trained_on.weights(params, of_base("x" * 64)) == paths.weights("tiny")  # gone: deploy says so


def test_commands_take_the_name_of_either_row(params: Params) -> None:
    assert task_of(params, "preferred") == task_of(params, "mine") == "mine"
