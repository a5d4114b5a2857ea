"""Opens and closes canaries under the lock, which every `now` stands for; aliases are changed through
tasks/versions/promotion.py.
"""

import logging
import time

from tasks.records.decisions import Decision
from tasks.serve.canary import Assessment
from tasks.serve.params import Release
from tasks.serve.reconcile.gateway import Presence
from tasks.versions import alias_moves, promotion, verdict_tags
from tasks.versions.alias_moves import Held, Move
from tasks.versions.promotion import Done, Outcome, Reason, Refused
from tasks.versions.registry import Model

log = logging.getLogger("anneal.reconcile")
CLOSED = {"roll_back": "rolled_back", "call_off": "undecided", "promote": "promoted", "supersede": "superseded"}


def needs_traffic(model: Model, number: str, params: Release) -> bool:
    """True if version `number` is to be compared with another champion, on the traffic of a gateway."""
    return params.canary != "off" and model.aliases.get("champion") not in (None, number)


def release(now: Held, number: str, params: Release, gateway: Presence | None) -> Outcome:
    """Open a canary of version `number` beside the champion, or promote it at once where there is nothing to compare
    with or no traffic.

    `gateway` is None if it was not checked: then there may be traffic.
    """
    version = now.model.version(number)
    if now.model.aliases.get("champion") == number:
        return promotion.promote(now, number, Reason("promote", ()))
    if version.canary:
        return Done(number, "its canary is open; the reconciler promotes or rolls back", changed=False)
    reason = _reason_to_skip(now.model, params, gateway)
    if reason is None:
        return open_canary(now, number, params)
    return promotion.promote(now, number, Reason("promote", (f"promoted at once: {reason}",)))


def _reason_to_skip(model: Model, params: Release, gateway: Presence | None) -> str | None:
    """Why there is to be no canary, or None."""
    if "champion" not in model.aliases:
        return "there is no champion to compare with"
    if params.canary == "off":
        return "release.canary is off"
    if gateway is Presence.ABSENT:
        return "no gateway is running, so there is no traffic to compare on (`make up` starts one)"
    return None


def open_canary(now: Held, number: str, params: Release) -> Outcome:
    """Open a canary of version `number`: from the next table on it gets its share of the traffic, or copies of it."""
    version, share = now.model.version(number), params.canary_share if params.canary == "share" else 0.0
    if objection := verdict_tags.objection(now.model, version):
        return Refused(f"{objection}, so it gets no canary.")
    traffic = f"{share:.0%} of the traffic" if params.canary == "share" else "a copy of the traffic"
    words = (
        f"canary open: version {number} gets {traffic} until {params.canary_requests} answers; the reconciler "
        "promotes or rolls back"
    )
    tags: dict[str, str | None] = {
        **{name: None for name in ("rolled_back", "canary_reasons") if name in version.tags},
        "canary_mode": params.canary,
        "canary_share": str(share),
        "canary_since": f"{time.time():.3f}",
        "canary": "open",
    }
    challenges = now.model.aliases.get("challenger") == number
    aliases = () if challenges else (("challenger", number),)
    facts = {"version": number, "mode": params.canary, "share": share}
    decision = Decision(now.task, "canary", "opened", (words,), facts)
    alias_moves.carry_out(now, Move(now.task, number, aliases, tags, decision, now.model.aliases))
    return Done(number, words)


def close_canary(now: Held, number: str, assessment: Assessment) -> Outcome:
    """Do what `assessment` says about the open canary of version `number`; a promotion that is refused leaves the
    champion and closes it undecided.
    """
    if not now.model.version(number).canary:
        return Done(number, "its canary was closed by someone else", changed=False)
    word, reasons = CLOSED[assessment.action], tuple(assessment.reasons)
    facts = {"version": number, **assessment.facts}
    if assessment.action == "promote":
        outcome = promotion.promote(now, number, Reason("canary", reasons, facts))
        if isinstance(outcome, Done):
            return outcome
        word, reasons = "undecided", (outcome.words,)
    tags = {"rolled_back": "true"} if assessment.action == "roll_back" else {}
    # `canary` last: until then a reader still sees it open, and decides nothing else about it.
    tags |= {"canary_reasons": "; ".join(reasons), "canary": word}
    decision = Decision(now.task, "canary", word, reasons, facts)
    alias_moves.carry_out(now, Move(now.task, number, (), tags, decision, now.model.aliases))
    log.info("%s: canary of version %s %s: %s", now.task, number, word, "; ".join(reasons))
    return Done(number, "; ".join(reasons))
