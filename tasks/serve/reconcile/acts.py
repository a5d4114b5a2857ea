"""What changes who answers: opening and closing a canary, promotion, rollback. Each leaves its mark on the version, a decision and one line."""

import logging
import time
from typing import Any

from tasks import registry
from tasks.errors import AnnealError
from tasks.serve.canary import Verdict
from tasks.serve.params import Release
from tasks.serve.reconcile import records
from tasks.serve.reconcile.desired import Wanted
from tasks.serve.reconcile.step import locked

log = logging.getLogger("anneal.reconcile")
CLOSED = {"roll_back": "rolled_back", "call_off": "undecided", "promote": "promoted", "supersede": "superseded"}


def open_canary(version: registry.Version, release: Release) -> tuple[str, ...]:
    """Open a canary of `version`: from the next table on it gets its share of the traffic, or copies of it. The words that say so."""
    share = release.canary_share if release.canary == "share" else 0.0
    with locked():
        registry.challenge(version)
        registry.tag(version, rolled_back=None, canary_reasons=None, canary_mode=release.canary, canary_share=str(share), canary_since=f"{time.time():.3f}", canary="open")
    what = f"{share:.0%} of the traffic" if release.canary == "share" else "a copy of the traffic"
    said = (f"canary open: version {version.version} gets {what} until {release.canary_requests} answers; the reconciler promotes or rolls back",)
    records.note(version.name, "canary", "opened", said, {"version": version.version, "mode": release.canary, "share": share})
    return said


def close_canary(one: Wanted, verdict: Verdict, engine: Any) -> None:
    """Do what `verdict` says about the open canary of `one`. The registry first: a decision is written about what has happened."""
    word = CLOSED[verdict.what]
    with locked():
        version = registry.get(one.task, one.version)
        if version.tags.get("canary") != "open":
            return  # somebody else was quicker
        reasons = "; ".join(verdict.reasons)
        if verdict.what == "promote":
            registry.promote(version)
        # `canary` last: a process that dies before it leaves the canary open, and the next one finishes this.
        registry.tag(version, rolled_back="true" if verdict.what == "roll_back" else None, canary_reasons=reasons, canary=word)
    log.warning("%s: canary of version %s %s: %s", one.task, one.version, word, reasons)
    records.decide(engine, one.task, "canary", word, verdict.reasons, {"version": one.version, **verdict.facts})


def promote(task: str, who: str, force: bool = False) -> tuple[registry.Version, str]:
    """Make @challenger the champion: (version, words). AnnealError when there is none or it was never verified."""
    challenger = registry.alias(task, "challenger")
    if challenger is None:
        raise AnnealError(f"{task} has no @challenger to promote: `make pipeline MODEL={task}` makes one.")
    if challenger.tags.get("gate") != "passed" and not force:
        raise AnnealError(
            f"{task} version {challenger.version} was refused by the gate ({challenger.tags.get('gate_reasons', 'no reasons kept')}); "
            f"`make promote MODEL={task} FORCE=1` promotes it all the same."
        )
    if "parity" not in challenger.tags:
        raise AnnealError(f"{task} version {challenger.version} was never loaded and compared with transformers: `make promote MODEL={task}` does so first.")
    with locked():
        registry.promote(challenger)
    words = f"version {challenger.version} was promoted {who}"
    log.warning("%s: %s", task, words)
    return challenger, words


def roll_back(task: str, who: str) -> str:
    """Close an open canary, or else make @previous the champion again; the words that say which."""
    with locked():
        challenger = registry.alias(task, "challenger")
        if challenger is not None and challenger.tags.get("canary") == "open":
            words = f"the canary of version {challenger.version} was taken back {who}; the champion stays"
            registry.tag(challenger, rolled_back="true", canary_reasons=words, canary="rolled_back")
        else:
            champion, now = registry.alias(task, "champion"), registry.roll_back(task)
            words = f"version {champion.version if champion else '?'} was rolled back to version {now.version} {who}"
    log.warning("%s: %s", task, words)
    return words
