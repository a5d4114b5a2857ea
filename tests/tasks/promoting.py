"""Champions for tests that are about something else."""

from tasks import promotion, registry
from tasks.promotion import Done, Outcome, Why
from tasks.registry import Version

WHY = Why("promote", ("a test wants it",))


def promote(version: Version) -> Outcome:
    """Make `version` the champion on the usual path, as a version that is verified and that the gate passed."""
    for name, value in (("gate", "passed"), ("parity", "1.0")):
        if name not in version.tags:
            registry.tag(version, **{name: value})
    outcome = promotion.promote(version.name, version.version, WHY)
    assert isinstance(outcome, Done), outcome
    return outcome
