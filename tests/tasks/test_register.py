"""The registry has one version a distinct artifact, and its aliases move as promised."""

import pytest

from tasks import register, tracking
from tasks.errors import AnnealError
from tasks.files import sha256, write_json, write_jsonl

NAME = "things"


@pytest.fixture
def made(store, tmp_path):
    """A function that registers the artifact named `what`, made on its first call."""

    def make(what: str, tags: dict[str, str] | None = None, metrics: dict[str, float] | None = None) -> register.Version:
        adapter, evaluate = tmp_path / what / "adapter", tmp_path / what / "evaluate"
        write_jsonl(adapter / "adapter_model.safetensors", [{"weights": what}])
        write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": what}])
        trained = sha256(adapter / "adapter_model.safetensors")
        write_json(adapter / "artifact.json", {"artifact_sha256": f"hash-of-{what}", "parts": {"adapter_model.safetensors": trained}})
        return register.register(NAME, adapter, evaluate, tags or {}, metrics or {})

    return make


def test_the_same_artifact_is_one_version_and_another_a_second(made, store):
    first, again, second = made("one"), made("one"), made("two")
    assert (first.version, again.version, second.version) == ("1", "1", "2")
    assert [version.artifact for version in register.versions(NAME)] == ["hash-of-two", "hash-of-one"]
    assert register.find(NAME, "hash-of-one") == first and register.find(NAME, "hash-of-three") is None
    assert register.aliases(NAME) == {"challenger": "2"}
    assert len(store.search_runs([tracking.experiment_id(store)])) == 2


def test_a_version_carries_the_newest_tags_the_metrics_and_the_files(made, store, tmp_path):
    made("one", {"gate": "refused"}, {"tuned_exact": 0.5})
    version = made("one", {"gate": "passed"})
    assert version.tags["gate"] == "passed"
    assert store.get_run(version.run_id).data.metrics == {"tuned_exact": 0.5}
    for part in ("adapter", "evaluate"):
        assert sha256(register.folder(version, part)) == sha256(tmp_path / "one" / part)


def test_a_version_belongs_to_the_run_that_trained_it(made, store):
    made("one")
    adapter = sha256(register.folder(register.get(NAME, "1"), "adapter") / "adapter_model.safetensors")
    experiment = tracking.experiment_id(store)
    trained = store.create_run(experiment, tags={"adapter_sha256": sha256_of("two")}).info.run_id
    assert made("two").run_id == trained and store.get_run(trained).info.status == "FINISHED"
    assert store.get_run(register.get(NAME, "1").run_id).data.tags["adapter_sha256"] == adapter


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
    assert register.versions(NAME) == [] and register.aliases(NAME) == {}
    assert made("one").version == "2" and [version.version for version in register.versions(NAME)] == ["2"]


def test_a_model_that_was_never_registered_has_no_versions(store):
    assert register.versions("nobody") == [] and register.aliases("nobody") == {}


def test_promoting_moves_champion_and_previous_and_twice_changes_nothing(made):
    one, two = made("one"), made("two")
    register.promote(one)
    assert register.aliases(NAME) == {"champion": "1", "challenger": "2"}
    register.promote(two)
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"}
    register.promote(two)
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"}


def test_rolling_back_restores_the_previous_and_marks_what_is_left(made):
    one, two = made("one"), made("two")
    register.promote(one)
    register.promote(two)
    assert register.roll_back(NAME).version == one.version
    assert register.aliases(NAME) == {"champion": "1", "challenger": "2"}
    assert register.get(NAME, "2").tags["rolled_back"] == "true" and "rolled_back" not in register.get(NAME, "1").tags
    with pytest.raises(AnnealError, match="no @previous version to roll back to"):
        register.roll_back(NAME)
    register.promote(register.get(NAME, "2"))  # by hand: from here on it is as good as any
    assert "rolled_back" not in register.get(NAME, "2").tags and register.aliases(NAME) == {"champion": "2", "previous": "1"}


def test_registering_a_known_artifact_again_keeps_the_mark_of_a_roll_back(made):
    for what in ("one", "two"):
        register.promote(made(what))
    register.roll_back(NAME)
    assert made("two", {"gate": "passed"}).tags["rolled_back"] == "true"


def test_a_version_that_was_known_before_can_challenge_again_and_a_champion_cannot(made):
    for what in ("one", "two"):
        register.promote(made(what))
    register.challenge(register.get(NAME, "2"))
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"}
    register.challenge(register.get(NAME, "1"))
    assert register.aliases(NAME) == {"champion": "2", "challenger": "1", "previous": "1"}


def test_a_promotion_that_was_cut_short_is_finished_by_the_next(made, store):
    register.promote(made("one"))
    two = made("two", {"canary": "open"})
    store.set_registered_model_alias(NAME, "previous", "1")
    store.set_registered_model_alias(NAME, "champion", "2")  # and then it was killed
    register.promote(two)
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"} and register.get(NAME, "2").tags["canary"] == "promoted"


def test_a_look_is_all_aliases_and_versions_and_of_an_unknown_model_nothing(made):
    register.promote(made("one"))
    made("two")
    aliases, versions = register.look(NAME)
    assert aliases == {"champion": "1", "challenger": "2"} and [version.version for version in versions] == ["2", "1"]
    assert register.look("nobody") is None


def test_files_in_a_store_on_this_machine_are_used_where_they_lie(made):
    place = register.folder(made("one"), "adapter")
    assert tracking.ARTIFACTS in place.parents and place == register.folder(register.get(NAME, "1"), "adapter")
