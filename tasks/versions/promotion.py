"""The one path to an alias: registering, challenging, promoting and rolling back, each under the lock, which every
`now` stands for, and with a recorded decision.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.records import decisions
from tasks.records.decisions import Decision
from tasks.versions import alias_moves, registry, verdict_tags
from tasks.versions.alias_moves import Held, Move
from tasks.versions.registry import Model, Version

log = logging.getLogger("anneal.reconcile")


@dataclass(frozen=True)
class Done:
    """The request is fulfilled: by this call if `changed`, or already."""

    version: str
    words: str
    changed: bool = True


@dataclass(frozen=True)
class Refused:
    """Nothing was moved; `words` say reason."""

    words: str


Outcome = Done | Refused


@dataclass(frozen=True)
class Reason:
    """The reason of a promotion, for its decision."""

    kind: str  # promote, canary
    words: tuple[str, ...]
    facts: Mapping[str, object] = field(default_factory=dict)


def register(
    name: str,
    adapter: Path,
    evaluate: Path,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    reference: Path | None = None,
) -> Version:
    """The registry's version of the artifact in `adapter/` with `tags`, made when it is new; a second call gives the
    first one's.

    The newest version becomes @challenger unless it has an alias; one that the gate refused does not displace another
    whose canary is open.
    """
    number = registry.register(name, adapter, evaluate, metrics, reference)
    # A refusal comes before all other tags and a pass after them: a call that is interrupted leaves no version passed
    # that is not.
    ordered = sorted(tags.items(), key=lambda entry: (entry[0] == "gate") * (-1 if entry[1] == "refused" else 1))
    with alias_moves.held(name) as now:
        version = now.model.versions[number]
        registry.put_tags(now.client, version, {key: text for key, text in ordered if version.tags.get(key) != text})
        if number == next(iter(now.model.versions)) and number not in now.model.aliases.values():
            rival = now.model.at("challenger")
            if tags.get("gate") != "refused" or rival is None or not rival.canary:
                alias_moves.carry_out(now, Move(name, number, (("challenger", number),)))
        return replace(version, tags={**version.tags, **tags})


def challenge(now: Held, number: str) -> None:
    """Make version `number` the @challenger unless it is that or the champion already."""
    if number not in (now.model.aliases.get("champion"), now.model.aliases.get("challenger")):
        alias_moves.carry_out(now, Move(now.task, number, (("challenger", number),)))


def promote(now: Held, number: str, reason: Reason, force: bool = False) -> Outcome:
    """Make version `number` the champion and the old champion @previous; nothing changes when it is so already.

    Refused for a version that the gate has not passed against the champion of now (`force` does it all the same, and
    the decision says so), and for one that was never compared with transformers.
    """
    planned = plan(now.model, now.model.version(number), reason, force)
    if isinstance(planned, Refused):
        return planned
    if planned is None:
        return Done(number, f"version {number} is the champion", changed=bool(now.finished))
    alias_moves.carry_out(now, planned)
    words = "; ".join(reason.words)
    log.info("%s: version %s promoted: %s", now.task, number, words)
    return Done(number, words)


def plan(model: Model, version: Version, reason: Reason, force: bool = False) -> Move | Refused | None:
    """The move that makes `version` the champion, a refusal, or None if it is the champion already. Pure."""
    champion, number = model.aliases.get("champion"), version.version
    tags: dict[str, str | None] = {"rolled_back": None} if "rolled_back" in version.tags else {}
    tags |= {"canary": "promoted"} if version.tags.get("canary", "promoted") != "promoted" else {}
    challenges = model.aliases.get("challenger") == number
    if champion == number:
        left = (("challenger", None),) if challenges else ()
        return Move(model.name, number, left, tags, before=model.aliases) if left or tags else None
    objection = verdict_tags.objection(model, version)
    if objection is not None and not force:
        return Refused(f"{objection}; `make promote MODEL={model.name} FORCE=1` promotes it all the same.")
    if not version.is_verified:
        return Refused(
            f"{model.name} version {number} was never loaded and compared with transformers: `make promote "
            f"MODEL={model.name}` does so first."
        )
    if reason.kind == "canary":
        tags = {"canary_reasons": "; ".join(reason.words), **tags}
    first: tuple[tuple[str, str | None], ...] = (("previous", champion),) if champion else ()
    aliases = (*first, ("champion", number), *((("challenger", None),) if challenges else ()))
    facts = {"version": number, "before": champion, "forced": objection is not None, **reason.facts}
    decision = Decision(model.name, reason.kind, "promoted", reason.words, facts)
    return Move(model.name, number, aliases, tags, decision, model.aliases, gated=objection is None)


def promote_challenger(now: Held, by: str, force: bool = False, facts: Mapping[str, object] | None = None) -> Outcome:
    """Make @challenger the champion; `by` says at whose request. A `command` of `facts` is carried out once."""
    if done := outcome_of_command(now, facts):
        return done
    challenger = now.model.at("challenger")
    if challenger is None:
        for move in now.finished:
            if ("champion", move.version) in move.aliases:
                return Done(
                    move.version, f"the promotion of version {move.version}, which was interrupted, is finished"
                )
        return Refused(f"{now.task} has no @challenger to promote: `make pipeline MODEL={now.task}` makes one.")
    words = f"version {challenger.version} was promoted {by}"
    return promote(now, challenger.version, Reason("promote", (words,), facts or {}), force)


def roll_back(now: Held, by: str, facts: Mapping[str, object] | None = None) -> Outcome:
    """Close an open canary, or else make @previous the champion again and mark the version it replaces, so that
    no run promotes it by itself. A `command` of `facts` is carried out once.
    """
    if done := outcome_of_command(now, facts):
        return done
    for move in now.finished:
        if move.decision is not None and move.decision.kind == "rollback":
            return Done(move.version, f"{'; '.join(move.decision.reasons)} (it had been interrupted)")
    planned = plan_rollback(now.model, by, facts or {})
    if isinstance(planned, Refused):
        return planned
    alias_moves.carry_out(now, planned)
    words = "; ".join(planned.decision.reasons) if planned.decision else ""
    log.info("%s: %s", now.task, words)
    return Done(planned.version, words)


def plan_rollback(model: Model, by: str, facts: Mapping[str, object]) -> Move | Refused:
    """The move that takes back an open canary, or else the champion. Pure."""
    champion, previous, challenger = (
        model.aliases.get("champion"),
        model.aliases.get("previous"),
        model.at("challenger"),
    )
    if challenger is not None and challenger.canary:
        number = challenger.version
        words = f"the canary of version {number} was rolled back {by}; the champion stays"
        decision = Decision(model.name, "rollback", "rolled_back", (words,), {"version": number, **facts})
        tags = {"rolled_back": "true", "canary_reasons": words, "canary": "rolled_back"}
        return Move(model.name, number, (), tags, decision, model.aliases)
    if previous is None or previous == champion:
        return Refused(f"{model.name} has no @previous version to roll back to.")
    words = f"version {champion or '?'} was rolled back to version {previous} {by}"
    decision = Decision(model.name, "rollback", "rolled_back", (words,), {"version": champion, "to": previous, **facts})
    # @previous goes last: until the rollback is whole, the version to go back to has an alias.
    left = (("challenger", champion),) if champion else ()
    aliases = (("champion", previous), *left, ("previous", None))
    return Move(
        model.name, champion or previous, aliases, {"rolled_back": "true"} if champion else {}, decision, model.aliases
    )


def outcome_of_command(now: Held, facts: Mapping[str, object] | None) -> Done | None:
    """The outcome of the command that `facts` name, from the decision of its move, which may not be in the records yet;
    None if it has moved nothing.
    """
    number = (facts or {}).get("command")
    if not isinstance(number, int):
        return None
    owed = [alias_moves.decode(now.model.tags[key]).decision for key in alias_moves.unfinished(now.model)]
    of_command = [decision for decision in owed if decision is not None and decision.facts.get("command") == number]
    decision = of_command[0] if of_command else decisions.of_command(now.task, number)
    return None if decision is None else Done(str(decision.facts["version"]), "; ".join(decision.reasons), False)
