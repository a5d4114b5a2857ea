"""Champions for tests that are about something else, and what is done under the registry's lock."""

from collections.abc import Callable
from typing import TypeVar

from tasks.versions import alias_moves, promotion, registry
from tasks.versions.promotion import Done, Outcome, Reason
from tasks.versions.registry import Version
from tasks.versions.verdict_tags import COMPARED, NOTHING

NAME = "things"  # the model of nearly all tests
T = TypeVar("T")
WHY = Reason("promote", ("a test wants it",))


def under_lock(act: Callable[..., T], *given: object, **more: object) -> T:
    """What `act` comes to on what the registry holds of the tests' model."""
    with alias_moves.held(NAME) as now:
        return act(now, *given, **more)


def version_of(number: str) -> Version:
    """Version `number` of the tests' model, as the registry has it now."""
    return registry.read(NAME).version(number)


def finish() -> None:
    """Finish what others were cut short in, as whoever takes the lock does."""
    with alias_moves.held(NAME):
        pass


def promote(version: Version) -> Outcome:
    """Make `version` the champion on the usual path, as one that is verified and that the gate has just passed."""
    for name, value in (("gate", "passed"), ("parity", "1.0")):
        if name not in version.tags:
            registry.tag(version, **{name: value})
    registry.tag(version, **{COMPARED: registry.read(version.name).aliases.get("champion", NOTHING)})
    with alias_moves.held(version.name) as now:
        outcome = promotion.promote(now, version.version, WHY)
    assert isinstance(outcome, Done), outcome
    return outcome
