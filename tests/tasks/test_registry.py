"""The registry has one version a distinct artifact, and its aliases move as promised."""

from functools import partial

import pytest

from tasks.files import sha256
from tasks.versions import promotion, registry, tracking
from tests.tasks.artifacts import NAME, register
from tests.tasks.promoting import promote, under_lock, version_of

pytestmark = pytest.mark.slow  # each test trains, or loads a model


@pytest.fixture
def made(store, tmp_path):
    """A function that registers the artifact named `what`, made on its first call."""
    return partial(register, tmp_path)


def test_the_same_artifact_is_one_version_and_another_a_second(made, store):
    first, again, second = made("one"), made("one"), made("two")
    assert (first.version, again.version, second.version) == ("1", "1", "2")
    assert [version.artifact for version in registry.read(NAME).versions.values()] == ["hash-of-two", "hash-of-one"]
    assert (
        registry.read(NAME).of_artifact("hash-of-one") == first
        and registry.read(NAME).of_artifact("hash-of-three") is None
    )
    assert registry.read(NAME).aliases == {"challenger": "2"}
    assert len(store.search_runs([tracking.experiment_id(store)])) == 2


def test_a_version_carries_the_newest_tags_the_metrics_and_the_files(made, store, tmp_path):
    made("one", {"gate": "refused"}, {"tuned_exact": 0.5})
    version = made("one", {"gate": "passed"})
    assert version.tags["gate"] == "passed"
    assert store.get_run(version.run_id).data.metrics == {"tuned_exact": 0.5}
    for part in ("adapter", "evaluate"):
        assert sha256(registry.folder(version, part)) == sha256(tmp_path / "one" / part)


def test_a_version_belongs_to_the_run_that_trained_it(made, store):
    made("one")
    adapter = sha256(registry.folder(version_of("1"), "adapter") / "adapter_model.safetensors")
    experiment = tracking.experiment_id(store)
    trained = store.create_run(experiment, tags={"adapter_sha256": sha256_of("two")}).info.run_id
    assert made("two").run_id == trained and store.get_run(trained).info.status == "FINISHED"
    assert store.get_run(version_of("1").run_id).data.tags["adapter_sha256"] == adapter


def sha256_of(what: str) -> str:
    import hashlib

    return hashlib.sha256(f'{{"weights": "{what}"}}\n'.encode()).hexdigest()


def test_an_upload_cut_short_does_not_count_and_is_made_good(made, store, monkeypatch):
    from mlflow import MlflowClient

    class Cut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(MlflowClient, "set_model_version_tag", cut)
        made("one")
    assert len(store.search_model_versions(f"name = '{NAME}'")) == 1
    assert registry.read(NAME).versions == {} and registry.read(NAME).aliases == {}
    assert made("one").version == "2" and [*registry.read(NAME).versions] == ["2"]


def test_a_model_that_was_never_registered_has_no_versions(store):
    assert registry.read("nobody").versions == {} and registry.read("nobody").aliases == {}


def test_registering_a_known_artifact_again_keeps_the_mark_of_a_roll_back(made):
    for what in ("one", "two"):
        promote(made(what))
    under_lock(promotion.roll_back, "by hand")
    assert made("two", {"gate": "passed"}).tags["rolled_back"] == "true"


def test_a_version_that_was_known_before_can_challenge_again_and_a_champion_cannot(made):
    for what in ("one", "two"):
        promote(made(what))
    under_lock(promotion.challenge, "2")
    assert registry.read(NAME).aliases == {"champion": "2", "previous": "1"}
    under_lock(promotion.challenge, "1")
    assert registry.read(NAME).aliases == {"champion": "2", "challenger": "1", "previous": "1"}


def test_a_look_is_all_aliases_and_versions_and_of_an_unknown_model_nothing(made):
    promote(made("one"))
    made("two")
    model = registry.read(NAME)
    assert model.aliases == {"champion": "1", "challenger": "2"} and [*model.versions] == ["2", "1"]
    assert model.at("champion") == model.versions["1"] and model.at("previous") is None
    assert not registry.read("nobody").is_registered and [*registry.read_all(["nobody", NAME])] == [NAME]


def test_files_in_a_store_on_this_machine_are_used_where_they_lie(made):
    place = registry.folder(made("one"), "adapter")
    assert tracking.ARTIFACTS in place.parents and place == registry.folder(version_of("1"), "adapter")
