"""Champions for tests that are about something else."""

from tasks import promotion, registry
from tasks.promotion import Done, Outcome, Why
from tasks.registry import Version
from tasks.verdict_tags import COMPARED, NOTHING

WHY = Why("promote", ("a test wants it",))


def promote(version: Version) -> Outcome:
    """Make `version` the champion on the usual path, as one that is verified and that the gate has just passed."""
    for name, value in (("gate", "passed"), ("parity", "1.0")):
        if name not in version.tags:
            registry.tag(version, **{name: value})
    registry.tag(version, **{COMPARED: registry.aliases(version.name).get("champion", NOTHING)})
    outcome = promotion.promote(version.name, version.version, WHY)
    assert isinstance(outcome, Done), outcome
    return outcome
