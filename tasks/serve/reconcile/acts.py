"""Opens and closes canaries; aliases are changed through tasks/promotion.py."""

import logging
import time

from tasks import moves, promotion, registry, verdict_tags
from tasks.decisions import Decision
from tasks.moves import Held, Move
from tasks.promotion import Done, Outcome, Refused, Why
from tasks.serve.canary import Verdict
from tasks.serve.params import Release
from tasks.serve.reconcile.desired import Wanted
from tasks.serve.reconcile.gateway import Presence

log = logging.getLogger("anneal.reconcile")
CLOSED = {"roll_back": "rolled_back", "call_off": "undecided", "promote": "promoted", "supersede": "superseded"}


def release(version: registry.Version, params: Release, gateway: Presence | None) -> Outcome:
    """Open a canary of `version` beside the champion, or promote it at once where there is nothing to compare with or
    no traffic.

    `gateway` is None where nobody has asked after it: then there is traffic, for all that we know.
    """
    with moves.held(version.name) as now:
        version = registry.get(version.name, version.version, now.client)
        if now.model.aliases.get("champion") == version.version:
            return promotion.promote_held(now, version, Why("promote", ()))
        if version.tags.get("canary") == "open":
            return Done(version.version, "its canary is open; the reconciler promotes or rolls back", changed=False)
        why = _at_once(now, params, gateway)
        if why is None:
            return _open(now, version, params)
        return promotion.promote_held(now, version, Why("promote", (f"promoted at once: {why}",)))


def _at_once(now: Held, params: Release, gateway: Presence | None) -> str | None:
    """Why there is to be no canary, or None."""
    if "champion" not in now.model.aliases:
        return "there is no champion to compare with"
    if params.canary == "off":
        return "release.canary is off"
    if gateway is Presence.ABSENT:
        return "no gateway is running, so there is no traffic to compare on (`make up` starts one)"
    return None


def open_canary(version: registry.Version, params: Release) -> Outcome:
    """Open a canary of `version`: from the next table on it gets its share of the traffic, or copies of it."""
    with moves.held(version.name) as now:
        return _open(now, registry.get(version.name, version.version, now.client), params)


def _open(now: Held, version: registry.Version, params: Release) -> Outcome:
    number, share = version.version, params.canary_share if params.canary == "share" else 0.0
    if objection := verdict_tags.objection(now.model, version):
        return Refused(f"{objection}, so it gets no canary.")
    what = f"{share:.0%} of the traffic" if params.canary == "share" else "a copy of the traffic"
    words = (
        f"canary open: version {number} gets {what} until {params.canary_requests} answers; the reconciler "
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
    decision = Decision(version.name, "canary", "opened", (words,), facts)
    moves.carry_out(now, Move(version.name, number, aliases, tags, decision, now.model.aliases))
    return Done(number, words)


def close_canary(one: Wanted, verdict: Verdict) -> Outcome:
    """Do what `verdict` says about the open canary of `one`; a promotion that is refused leaves the champion and
    closes it undecided.
    """
    with moves.held(one.task) as now:
        version = registry.get(one.task, one.version, now.client)
        if version.tags.get("canary") != "open":
            return Done(one.version, "its canary was closed by someone else", changed=False)
        word, reasons = CLOSED[verdict.what], tuple(verdict.reasons)
        facts = {"version": one.version, **verdict.facts}
        if verdict.what == "promote":
            outcome = promotion.promote_held(now, version, Why("canary", reasons, facts))
            if isinstance(outcome, Done):
                return outcome
            word, reasons = "undecided", (outcome.words,)
        tags = {"rolled_back": "true"} if verdict.what == "roll_back" else {}
        # `canary` last: a reader in between still sees it open, and nothing else is decided of it.
        tags |= {"canary_reasons": "; ".join(reasons), "canary": word}
        decision = Decision(one.task, "canary", word, reasons, facts)
        moves.carry_out(now, Move(one.task, one.version, (), tags, decision, now.model.aliases))
    log.info("%s: canary of version %s %s: %s", one.task, one.version, word, "; ".join(reasons))
    return Done(one.version, "; ".join(reasons))
