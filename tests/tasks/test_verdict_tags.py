"""A verdict of the gate holds against the champion that it was given against, and no other; FORCE passes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import params as settings
from tasks.errors import AnnealError
from tasks.records import database
from tasks.serve import canary
from tasks.serve.reconcile import canaries
from tasks.steps import release
from tasks.steps.gate import GateCheck, GateVerdict
from tasks.versions import promotion, registry, verdict_tags
from tasks.versions.promotion import Done, Reason, Refused
from tasks.versions.registry import Model, Version
from tests.tasks import serving
from tests.tasks.promoting import promote, under_lock, version_of
from tests.tasks.serving import TASK, World

PORT = 19700
BY_HAND = Reason("promote", ("by hand",))
NEWER = (
    "things version 3 was compared by the gate with version 1, but the champion is version 2 now "
    "(`make pipeline MODEL=things` compares again)"
)


def version(**tags: str) -> Version:
    return Version(TASK, "3", "hash", "run", tags)


@pytest.mark.parametrize(
    ("champion", "tags", "words"),
    [
        (None, {"gate": "passed"}, None),
        (None, {"gate": "passed", "gate_champion": "1"}, None),
        ("3", {"gate": "passed", "gate_champion": "1"}, None),
        ("2", {"gate": "passed", "gate_champion": "2"}, None),
        ("2", {"gate": "passed", "gate_champion": "1"}, "with version 1, but the champion is version 2 now"),
        ("2", {"gate": "passed", "gate_champion": "none"}, "with no champion, but the champion is version 2 now"),
        ("2", {"gate": "passed"}, "with a champion that was not noted, but the champion is version 2 now"),
        ("2", {"gate": "refused", "gate_champion": "2", "gate_reasons": "worse"}, "was refused by the gate (worse)"),
        (None, {}, "was refused by the gate (no reasons kept)"),
    ],
)
def test_what_the_gate_has_against_a_version(champion: str | None, tags: dict[str, str], words: str | None) -> None:
    found = verdict_tags.objection(Model(TASK, {"champion": champion} if champion else {}, {}), version(**tags))
    assert (found is None) if words is None else (found is not None and words in found)


def test_a_champion_keeps_what_it_was_compared_with() -> None:
    verdict = GateVerdict(True, (GateCheck(True, "good"),), "3")
    assert verdict_tags.tags_of(verdict, version()) == {"gate": "passed", "gate_reasons": "✓ good"}
    assert verdict_tags.tags_of(verdict, None)["gate_champion"] == "3"
    assert verdict_tags.tags_of(GateVerdict(False, ()), version())["gate_champion"] == "none"


def _second_promoted(world: World) -> None:
    serving.champion_and_challenger(world)
    world.version("three")
    promote(version_of("2"))


@pytest.fixture
def three(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The gate compared versions 2 and 3 with version 1; then version 2 became the champion."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        serving.begin(made, _second_promoted)
        yield made


def test_a_champion_that_came_after_the_comparison_stops_every_way_but_force(three: World) -> None:
    before = registry.read(TASK).aliases
    off = three.params.release.model_copy(update={"canary": "off"})
    force = "; `make promote MODEL=things FORCE=1` promotes it all the same."
    assert under_lock(promotion.promote, "3", BY_HAND) == Refused(NEWER + force)
    assert under_lock(promotion.promote_challenger, "by hand") == Refused(NEWER + force)
    assert under_lock(canaries.release, "3", off, None) == Refused(NEWER + force)
    assert under_lock(canaries.open_canary, "3", three.params.release) == Refused(NEWER + ", so it gets no canary.")
    assert registry.read(TASK).aliases == before
    assert under_lock(promotion.promote_challenger, "by hand", force=True) == Done(
        "3", "version 3 was promoted by hand"
    )
    engine = database.connect()
    with engine.connect() as connection:
        facts = [row.facts for row in connection.execute(database.decisions.select())][-1]
    engine.dispose()
    assert facts == {"version": "3", "before": "2", "forced": True}


def test_a_comparison_with_the_champion_of_now_lets_it_through(three: World) -> None:
    registry.tag(version_of("3"), gate_champion="2")
    assert under_lock(promotion.promote, "3", BY_HAND) == Done("3", "by hand")


def test_a_canary_that_outlives_its_champion_is_closed_undecided(three: World) -> None:
    registry.tag(version_of("3"), canary="open")
    under_lock(canaries.close_canary, "3", canary.Assessment("promote", ("500 answers",), {}))
    assert registry.read(TASK).aliases["champion"] == "2" and version_of("3").tags["canary"] == "undecided"


def test_after_a_rollback_the_version_that_was_left_may_be_promoted_again_by_hand(three: World) -> None:
    under_lock(promotion.roll_back, "by hand")
    assert under_lock(promotion.promote, "2", BY_HAND) == Done("2", "by hand")


def test_make_promote_refuses_before_it_loads_anything(three: World, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.tag(version_of("3"), parity=None)
    loaded: list[object] = []
    monkeypatch.setattr(settings, "load", lambda: three.params)
    monkeypatch.setattr(release, "deploy", lambda *given: loaded.append(given))
    with pytest.raises(AnnealError, match="but the champion is version 2 now"):
        release.promote(TASK, force=False)
    assert loaded == []
