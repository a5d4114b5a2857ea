"""Promotion, rollback and challenge on a real store: what is refused, what FORCE does, and what a process that died
leaves to the next.
"""

import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tasks import database, decisions, promotion, registry
from tasks.errors import TransientError
from tasks.promotion import Done, Refused, Why
from tasks.serve.canary import Verdict
from tasks.serve.reconcile import acts
from tasks.serve.reconcile.desired import wanted
from tests.tasks import serving
from tests.tasks.promoting import promote
from tests.tasks.registry_double import Killed
from tests.tasks.serving import TASK, World

PORT = 19660
BY_HAND = Why("promote", ("by hand",))


@pytest.fixture
def two(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version 1 is the champion, version 2 verified and passed."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        serving.begin(made, serving.champion_and_challenger)
        yield made


def rows(*kinds: str) -> list[tuple[str, str, dict]]:
    engine = database.connect()
    with engine.connect() as connection:
        told = [(row.kind, row.verdict, row.facts) for row in connection.execute(database.decisions.select())][
            1:
        ]  # after that of version 1
    engine.dispose()
    return told


def aliases() -> dict[str, str]:
    return registry.aliases(TASK)


def test_only_force_makes_a_refused_version_champion_and_the_decision_says_so(two: World) -> None:
    registry.tag(registry.get(TASK, "2"), gate="refused", gate_reasons="✗ worse than the champion")
    refusal = promotion.promote_challenger(TASK, "by hand")
    assert (
        isinstance(refusal, Refused)
        and "was refused by the gate (✗ worse than the champion)" in refusal.words
        and "FORCE=1" in refusal.words
    )
    assert (
        promotion.promote(TASK, "2", BY_HAND) == refusal
        and aliases() == {"champion": "1", "challenger": "2"}
        and rows() == []
    )
    assert promotion.promote_challenger(TASK, "by hand", force=True) == Done("2", "version 2 was promoted by hand")
    assert rows() == [("promote", "promoted", {"version": "2", "before": "1", "forced": True})]


def test_force_is_not_recorded_where_it_was_not_needed(two: World) -> None:
    promotion.promote_challenger(TASK, "by hand", force=True)
    assert rows() == [("promote", "promoted", {"version": "2", "before": "1", "forced": False})]


def test_a_promotion_and_a_rollback_are_told_and_are_no_warnings(two: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "anneal.reconcile")
    promotion.promote_challenger(TASK, "by hand")
    promotion.roll_back(TASK, "by hand")
    assert [(record.levelname, record.message) for record in caplog.records if record.name == "anneal.reconcile"] == [
        ("INFO", f"{TASK}: version 2 promoted: version 2 was promoted by hand"),
        ("INFO", f"{TASK}: version 2 was rolled back to version 1 by hand"),
    ]


@pytest.mark.parametrize("gate", ["refused", "", None])
def test_a_version_whose_gate_is_not_known_to_have_passed_gets_neither_canary_nor_champion(
    two: World, gate: str | None
) -> None:
    registry.tag(registry.get(TASK, "2"), gate=gate)
    assert isinstance(promotion.promote(TASK, "2", BY_HAND), Refused)
    assert isinstance(acts.open_canary(registry.get(TASK, "2"), two.params.release), Refused)
    assert aliases() == {"champion": "1", "challenger": "2"}


def test_a_version_that_was_never_verified_is_refused_even_by_force(two: World) -> None:
    registry.tag(registry.get(TASK, "2"), parity=None)
    refusal = promotion.promote_challenger(TASK, "by hand", force=True)
    assert isinstance(refusal, Refused) and "was never loaded and compared with transformers" in refusal.words


def test_a_canary_whose_version_the_gate_refuses_since_is_closed_and_the_champion_stays(two: World) -> None:
    acts.open_canary(registry.get(TASK, "2"), two.params.release)
    registry.tag(registry.get(TASK, "2"), gate="refused")
    acts.close_canary(wanted(registry.get(TASK, "2")), Verdict("promote", ("500 answers",), {}))
    assert aliases() == {"champion": "1", "challenger": "2"} and registry.get(TASK, "2").tags["canary"] == "undecided"
    assert rows()[-1][:2] == ("canary", "undecided")


def calls_of_a_promotion(two: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the registry's calls that a promotion makes, in their order."""
    from mlflow import MlflowClient

    called: list[str] = []
    with monkeypatch.context() as patch:
        for name in [
            name for name in dir(MlflowClient) if not name.startswith("_") and callable(getattr(MlflowClient, name))
        ]:
            real = getattr(MlflowClient, name)
            patch.setattr(
                MlflowClient,
                name,
                lambda *given, _real=real, _name=name, **more: (called.append(_name), _real(*given, **more))[1],
            )
        promotion.promote(TASK, "2", BY_HAND)
    return called


def test_a_promotion_asks_three_questions(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    called = calls_of_a_promotion(two, monkeypatch)
    writes = ("set_", "delete_")
    # After each write MLflow's client asks itself what kind of model that was; those are not ours to save.
    asked = [
        name
        for before, name in pairwise(["", *called])
        if not name.startswith(writes) and not before.startswith(writes)
    ]
    assert asked == ["get_experiment_by_name", "get_registered_model", "get_model_version"]


@pytest.mark.parametrize("at", range(8))
def test_a_promotion_that_was_killed_anywhere_is_finished_by_the_next(
    two: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    from mlflow import MlflowClient

    registry.tag(registry.get(TASK, "2"), rolled_back="true", canary="open")
    left = [at]
    with monkeypatch.context() as patch:
        for name in (
            "set_registered_model_tag",
            "set_registered_model_alias",
            "delete_registered_model_alias",
            "set_model_version_tag",
            "delete_model_version_tag",
        ):
            patch.setattr(MlflowClient, name, _killing(getattr(MlflowClient, name), left))
        patch.setattr(decisions, "write", _killing(decisions.write, left))
        patch.setattr(
            MlflowClient, "delete_registered_model_tag", _killing(MlflowClient.delete_registered_model_tag, left)
        )
        with pytest.raises(Killed):
            promotion.promote(TASK, "2", BY_HAND)
    assert aliases()["champion"] in ("1", "2") and (aliases()["champion"] == "1" or aliases()["previous"] == "1")
    assert promotion.promote(TASK, "2", BY_HAND).version == "2"
    assert aliases() == {"champion": "2", "previous": "1"} and registry.model(TASK).tags == {}
    tags = registry.get(TASK, "2").tags
    assert tags["canary"] == "promoted" and "rolled_back" not in tags
    assert [row[:2] for row in rows()] == [("promote", "promoted")]


def _killing(real, left: list[int]):
    """`real`, but the process dies instead of the call at which `left` has come to 0."""

    def call(*given: object, **more: object) -> object:
        left[0] -= 1
        if left[0] == -1:
            raise Killed
        return real(*given, **more)

    return call


def test_a_killed_promotion_of_a_version_that_the_gate_refuses_since_is_taken_back(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    promote(registry.get(TASK, "2"))
    two.version("three")
    with monkeypatch.context() as patch:
        patch.setattr(
            MlflowClient, "set_registered_model_alias", _killing(MlflowClient.set_registered_model_alias, [1])
        )
        with pytest.raises(Killed):
            promotion.promote(TASK, "3", BY_HAND)
    assert aliases() == {"champion": "2", "previous": "2", "challenger": "3"}
    registry.tag(registry.get(TASK, "3"), gate="refused")
    promotion.finish(TASK)
    assert aliases() == {"champion": "2", "previous": "1", "challenger": "3"} and rows()[-1][:2] == (
        "promote",
        "refused",
    )


def test_records_that_are_away_hold_up_no_promotion_and_the_decision_is_owed(
    two: World, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(decisions, "write", _away)
        promotion.promote(TASK, "2", BY_HAND)
        promotion.roll_back(TASK, "by hand")
    assert (
        aliases() == {"champion": "1", "challenger": "2"}
        and "the decision is not in the records yet" in capsys.readouterr().out
    )
    owed = [json.loads(text)["decision"]["verdict"] for _, text in sorted(registry.model(TASK).tags.items())]
    assert owed == ["promoted", "rolled_back"] and rows() == []
    promotion.challenge(registry.get(TASK, "2"))
    assert [row[:2] for row in rows()] == [("promote", "promoted"), ("rollback", "rolled_back")] and registry.model(
        TASK
    ).tags == {}


def _away(_: object) -> None:
    raise TransientError("the records do not answer.")


def test_a_rollback_that_was_killed_is_not_done_twice_by_the_command_that_is_given_again(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    acts.open_canary(registry.get(TASK, "2"), two.params.release)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_model_version_tag", _killing(MlflowClient.set_model_version_tag, [2]))
        with pytest.raises(Killed):
            promotion.roll_back(TASK, "by hand")
    outcome = promotion.roll_back(TASK, "by hand")
    assert (
        isinstance(outcome, Done)
        and "canary of version 2 was rolled back" in outcome.words
        and "had been interrupted" in outcome.words
    )
    assert aliases() == {"champion": "1", "challenger": "2"} and registry.get(TASK, "2").tags["canary"] == "rolled_back"
