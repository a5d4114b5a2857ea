"""Promotion, rollback and challenge on a real store: what is refused, what FORCE does, and what a process that died
leaves to the next.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import TransientError
from tasks.records import database, decisions
from tasks.serve.canary import Assessment
from tasks.serve.reconcile import canaries
from tasks.versions import promotion, registry
from tasks.versions.promotion import Done, Reason, Refused
from tests.tasks import serving
from tests.tasks.promoting import finish, promote, under_lock, version_of
from tests.tasks.registry_double import Killed
from tests.tasks.serving import TASK, World

PORT = 19660
BY_HAND = Reason("promote", ("by hand",))


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
    return registry.read(TASK).aliases


def test_only_force_makes_a_refused_version_champion_and_the_decision_says_so(two: World) -> None:
    registry.tag(version_of("2"), gate="refused", gate_reasons="✗ worse than the champion")
    refusal = under_lock(promotion.promote_challenger, "by hand")
    assert (
        isinstance(refusal, Refused)
        and "was refused by the gate (✗ worse than the champion)" in refusal.words
        and "FORCE=1" in refusal.words
    )
    assert (
        under_lock(promotion.promote, "2", BY_HAND) == refusal
        and aliases() == {"champion": "1", "challenger": "2"}
        and rows() == []
    )
    assert under_lock(promotion.promote_challenger, "by hand", force=True) == Done(
        "2", "version 2 was promoted by hand"
    )
    assert rows() == [("promote", "promoted", {"version": "2", "before": "1", "forced": True})]


def test_force_is_not_recorded_where_it_was_not_needed(two: World) -> None:
    under_lock(promotion.promote_challenger, "by hand", force=True)
    assert rows() == [("promote", "promoted", {"version": "2", "before": "1", "forced": False})]


def test_a_promotion_and_a_rollback_are_told_and_are_no_warnings(two: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "anneal.reconcile")
    under_lock(promotion.promote_challenger, "by hand")
    under_lock(promotion.roll_back, "by hand")
    assert [(record.levelname, record.message) for record in caplog.records if record.name == "anneal.reconcile"] == [
        ("INFO", f"{TASK}: version 2 promoted: version 2 was promoted by hand"),
        ("INFO", f"{TASK}: version 2 was rolled back to version 1 by hand"),
    ]


@pytest.mark.parametrize("gate", ["refused", "", None])
def test_a_version_whose_gate_is_not_known_to_have_passed_gets_neither_canary_nor_champion(
    two: World, gate: str | None
) -> None:
    registry.tag(version_of("2"), gate=gate)
    assert isinstance(under_lock(promotion.promote, "2", BY_HAND), Refused)
    assert isinstance(under_lock(canaries.open_canary, "2", two.params.release), Refused)
    assert aliases() == {"champion": "1", "challenger": "2"}


def test_a_version_that_was_never_verified_is_refused_even_by_force(two: World) -> None:
    registry.tag(version_of("2"), parity=None)
    refusal = under_lock(promotion.promote_challenger, "by hand", force=True)
    assert isinstance(refusal, Refused) and "was never loaded and compared with transformers" in refusal.words


def test_a_canary_whose_version_the_gate_refuses_since_is_closed_and_the_champion_stays(two: World) -> None:
    under_lock(canaries.open_canary, "2", two.params.release)
    registry.tag(version_of("2"), gate="refused")
    under_lock(canaries.close_canary, "2", Assessment("promote", ("500 answers",), {}))
    assert aliases() == {"champion": "1", "challenger": "2"} and version_of("2").tags["canary"] == "undecided"
    assert rows()[-1][:2] == ("canary", "undecided")


@pytest.mark.parametrize("at", range(8))
def test_a_promotion_that_was_killed_anywhere_is_finished_by_the_next(
    two: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    from mlflow import MlflowClient

    registry.tag(version_of("2"), rolled_back="true", canary="open")
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
            under_lock(promotion.promote, "2", BY_HAND)
    assert aliases()["champion"] in ("1", "2") and (aliases()["champion"] == "1" or aliases()["previous"] == "1")
    assert under_lock(promotion.promote, "2", BY_HAND).version == "2"
    assert aliases() == {"champion": "2", "previous": "1"} and registry.read(TASK).tags == {}
    tags = version_of("2").tags
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

    promote(version_of("2"))
    two.version("three")
    with monkeypatch.context() as patch:
        patch.setattr(
            MlflowClient, "set_registered_model_alias", _killing(MlflowClient.set_registered_model_alias, [1])
        )
        with pytest.raises(Killed):
            under_lock(promotion.promote, "3", BY_HAND)
    assert aliases() == {"champion": "2", "previous": "2", "challenger": "3"}
    registry.tag(version_of("3"), gate="refused")
    finish()
    assert aliases() == {"champion": "2", "previous": "1", "challenger": "3"} and rows()[-1][:2] == (
        "promote",
        "refused",
    )


def test_records_that_are_away_hold_up_no_promotion_and_the_decision_is_owed(
    two: World, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(decisions, "write", _away)
        under_lock(promotion.promote, "2", BY_HAND)
        under_lock(promotion.roll_back, "by hand")
    assert (
        aliases() == {"champion": "1", "challenger": "2"}
        and "the decision is not in the records yet" in capsys.readouterr().out
    )
    owed = [json.loads(text)["decision"]["verdict"] for _, text in sorted(registry.read(TASK).tags.items())]
    assert owed == ["promoted", "rolled_back"] and rows() == []
    under_lock(promotion.challenge, "2")
    assert [row[:2] for row in rows()] == [("promote", "promoted"), ("rollback", "rolled_back")] and registry.read(
        TASK
    ).tags == {}


def _away(_: object) -> None:
    raise TransientError("the records do not answer.")


def test_a_rollback_that_was_killed_is_not_done_twice_by_the_command_that_is_given_again(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    under_lock(canaries.open_canary, "2", two.params.release)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_model_version_tag", _killing(MlflowClient.set_model_version_tag, [2]))
        with pytest.raises(Killed):
            under_lock(promotion.roll_back, "by hand")
    outcome = under_lock(promotion.roll_back, "by hand")
    assert (
        isinstance(outcome, Done)
        and "canary of version 2 was rolled back" in outcome.words
        and "had been interrupted" in outcome.words
    )
    assert aliases() == {"champion": "1", "challenger": "2"} and version_of("2").tags["canary"] == "rolled_back"
