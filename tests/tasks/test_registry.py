"""The registry has one version a distinct artifact, and its aliases move as promised."""

import pytest

from tasks import registry, tracking
from tasks.errors import AnnealError
from tasks.files import sha256, write_json, write_jsonl

NAME = "things"


@pytest.fixture
def made(store, tmp_path):
    """A function that registers the artifact named `what`, made on its first call."""

    def make(what: str, tags: dict[str, str] | None = None, metrics: dict[str, float] | None = None) -> registry.Version:
        adapter, evaluate = tmp_path / what / "adapter", tmp_path / what / "evaluate"
        write_jsonl(adapter / "adapter_model.safetensors", [{"weights": what}])
        write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": what}])
        trained = sha256(adapter / "adapter_model.safetensors")
        write_json(adapter / "artifact.json", {"artifact_sha256": f"hash-of-{what}", "parts": {"adapter_model.safetensors": trained}})
        return registry.register(NAME, adapter, evaluate, tags or {}, metrics or {})

    return make


def test_the_same_artifact_is_one_version_and_another_a_second(made, store):
    first, again, second = made("one"), made("one"), made("two")
    assert (first.version, again.version, second.version) == ("1", "1", "2")
    assert [version.artifact for version in registry.versions(NAME)] == ["hash-of-two", "hash-of-one"]
    assert registry.find(NAME, "hash-of-one") == first and registry.find(NAME, "hash-of-three") is None
    assert registry.aliases(NAME) == {"challenger": "2"}
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
    adapter = sha256(registry.folder(registry.get(NAME, "1"), "adapter") / "adapter_model.safetensors")
    experiment = tracking.experiment_id(store)
    trained = store.create_run(experiment, tags={"adapter_sha256": sha256_of("two")}).info.run_id
    assert made("two").run_id == trained and store.get_run(trained).info.status == "FINISHED"
    assert store.get_run(registry.get(NAME, "1").run_id).data.tags["adapter_sha256"] == adapter


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
    assert registry.versions(NAME) == [] and registry.aliases(NAME) == {}
    assert made("one").version == "2" and [version.version for version in registry.versions(NAME)] == ["2"]


def test_a_model_that_was_never_registered_has_no_versions(store):
    assert registry.versions("nobody") == [] and registry.aliases("nobody") == {}


def test_promoting_moves_champion_and_previous_and_twice_changes_nothing(made):
    one, two = made("one"), made("two")
    registry.promote(one)
    assert registry.aliases(NAME) == {"champion": "1", "challenger": "2"}
    registry.promote(two)
    assert registry.aliases(NAME) == {"champion": "2", "previous": "1"}
    registry.promote(two)
    assert registry.aliases(NAME) == {"champion": "2", "previous": "1"}


def test_rolling_back_restores_the_previous_and_marks_what_is_left(made):
    one, two = made("one"), made("two")
    registry.promote(one)
    registry.promote(two)
    assert registry.roll_back(NAME).version == one.version
    assert registry.aliases(NAME) == {"champion": "1", "challenger": "2"}
    assert registry.get(NAME, "2").tags["rolled_back"] == "true" and "rolled_back" not in registry.get(NAME, "1").tags
    with pytest.raises(AnnealError, match="no @previous version to roll back to"):
        registry.roll_back(NAME)
    registry.promote(registry.get(NAME, "2"))  # by hand: from here on it is as good as any
    assert "rolled_back" not in registry.get(NAME, "2").tags and registry.aliases(NAME) == {"champion": "2", "previous": "1"}


def test_registering_a_known_artifact_again_keeps_the_mark_of_a_roll_back(made):
    for what in ("one", "two"):
        registry.promote(made(what))
    registry.roll_back(NAME)
    assert made("two", {"gate": "passed"}).tags["rolled_back"] == "true"


def test_a_version_that_was_known_before_can_challenge_again_and_a_champion_cannot(made):
    for what in ("one", "two"):
        registry.promote(made(what))
    registry.challenge(registry.get(NAME, "2"))
    assert registry.aliases(NAME) == {"champion": "2", "previous": "1"}
    registry.challenge(registry.get(NAME, "1"))
    assert registry.aliases(NAME) == {"champion": "2", "challenger": "1", "previous": "1"}


def test_a_promotion_that_was_cut_short_is_finished_by_the_next(made, store):
    registry.promote(made("one"))
    two = made("two", {"canary": "open"})
    store.set_registered_model_alias(NAME, "previous", "1")
    store.set_registered_model_alias(NAME, "champion", "2")  # and then it was killed
    registry.promote(two)
    assert registry.aliases(NAME) == {"champion": "2", "previous": "1"} and registry.get(NAME, "2").tags["canary"] == "promoted"


def test_a_look_is_all_aliases_and_versions_and_of_an_unknown_model_nothing(made):
    registry.promote(made("one"))
    made("two")
    aliases, versions = registry.look(NAME)
    assert aliases == {"champion": "1", "challenger": "2"} and [version.version for version in versions] == ["2", "1"]
    assert registry.look("nobody") is None


def test_files_in_a_store_on_this_machine_are_used_where_they_lie(made):
    place = registry.folder(made("one"), "adapter")
    assert tracking.ARTIFACTS in place.parents and place == registry.folder(registry.get(NAME, "1"), "adapter")
