"""The pure part of reconciling: which server hosts which version, and the resulting routing table."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.serve import state
from tasks.serve.reconcile.desired import Desired, Wanted
from tasks.serve.routes import Table, Target, Task
from tasks.serve.slots import Slot


@dataclass(frozen=True)
class Plan:
    """What to do before the table can be made: adapters to load, and versions that no server can serve as yet."""

    homes: dict[str, Slot]  # model: the slot that serves it, or will once its adapter is loaded
    loads: tuple[tuple[Slot, Wanted], ...]
    homeless: tuple[Wanted, ...]
    awaited: tuple[tuple[Slot, Wanted], ...]  # servers that are starting, and for whom


def plan(desired: dict[str, Desired], slots: Iterable[Slot], old: Table) -> Plan:
    """A home for each verified version. The newest verified server that can serve it is it; one that is down keeps
    what was routed to it.
    """
    trusted = [slot for slot in slots if slot.state.verified]
    on_trial = [slot for slot in slots if not slot.state.verified]
    routed = {(target.model, target.url) for task in old.tasks.values() for target in task.targets.values()}
    homes: dict[str, Slot] = {}
    loads, homeless, awaited = [], [], []
    for task in desired.values():
        for alias, one in task.aliases.items():
            if not one.verified or one.model in homes:
                continue
            able = [slot for slot in trusted if slot.can_serve(one.model, one.artifact, one.base, one.form)]
            up = [slot for slot in able if slot.healthy]
            down = [slot for slot in able if not slot.healthy and (one.model, slot.url) in routed]
            if up:
                homes[one.model] = up[0]
                if one.model not in up[0].names:
                    loads.append((up[0], one))
            elif down:
                homes[one.model] = down[0]
            elif able and needs_server(alias, one):
                awaited.append((able[0], one))
            elif (
                not able
                and needs_server(alias, one)
                and not any(slot.can_serve(one.model, one.artifact, one.base, one.form) for slot in on_trial)
            ):
                homeless.append(one)
    return Plan(homes, tuple(loads), tuple(homeless), tuple(awaited))


def needs_server(alias: str, one: Wanted) -> bool:
    """True for the champion and for a challenger whose fate is open; @previous and a challenger that was taken back
    use servers that run anyway.
    """
    return alias == "champion" or (alias == "challenger" and not one.refused)


def wanted_table(
    old: Table, desired: dict[str, Desired], tasks: Iterable[str], homes: dict[str, str], alive: set[tuple[str, str]]
) -> Table:
    """The routing table, with the old revision when nothing has changed and the next one otherwise.

    `homes`: model → url of what is loaded. `alive`: (model, url) of the old table that can still be asked. A champion
    that is not loaded yet leaves the traffic with the old one; a task about which the registry says nothing keeps what
    it had.
    """
    made = {}
    for name in tasks:
        was = old.tasks.get(name, Task())
        kept = {alias: target for alias, target in was.targets.items() if (target.model, target.url) in alive}
        if name not in desired:
            if kept:
                made[name] = Task(kept, was.canary, was.share, was.since) if kept == was.targets else Task(kept)
            continue
        aliases = desired[name].aliases
        targets = {alias: _target(one, homes[one.model]) for alias, one in aliases.items() if one.model in homes}
        if "champion" in aliases and "champion" not in targets and "champion" in kept:
            targets["champion"] = kept["champion"]
        if targets:
            made[name] = _with_canary(targets, aliases)
    made = _on_needed_servers(made, desired)
    return old if made == old.tasks else Table(old.revision + 1, made)


def _target(one: Wanted, url: str) -> Target:
    return Target(one.version, one.artifact, one.model, url, one.folder)


def _with_canary(targets: dict[str, Target], aliases: dict[str, Wanted]) -> Task:
    """The task with its challenger's canary, when both sides of it can be asked."""
    challenger = aliases.get("challenger")
    both = {"champion", "challenger"} <= targets.keys() and targets["champion"].version == aliases[
        "champion"
    ].version != targets["challenger"].version
    if challenger is None or not challenger.canary or not both:
        return Task(targets)
    return Task(targets, challenger.canary, challenger.share if challenger.canary == "share" else 0.0, challenger.since)


def _on_needed_servers(tasks: dict[str, Task], desired: dict[str, Desired]) -> dict[str, Task]:
    """Without the targets on servers that would run for @previous or a refused challenger alone: those servers are
    to be stopped.
    """

    def is_needed(name: str, alias: str) -> bool:
        one = desired[name].aliases.get(alias) if name in desired else None
        return one is None or needs_server(alias, one)

    urls = {
        target.url for name, task in tasks.items() for alias, target in task.targets.items() if is_needed(name, alias)
    }
    return {
        name: Task(
            {alias: target for alias, target in task.targets.items() if target.url in urls},
            task.canary,
            task.share,
            task.since,
        )
        for name, task in tasks.items()
    }


def idle_slots(table: Table, planned: Plan, slots: Iterable[Slot]) -> list[Slot]:
    """Verified servers to which the table routes nothing, and whom no version waits for."""
    urls = {target.url for task in table.tasks.values() for target in task.targets.values()} | {
        slot.url for slot, _ in planned.awaited
    }
    return [slot for slot in slots if slot.state.verified and slot.url not in urls]


def leftovers(table: Table, desired: dict[str, Desired], slots: Iterable[Slot]) -> list[tuple[Slot, str]]:
    """Adapters on servers that are used which no alias and no route names any more."""
    named = {one.model for task in desired.values() for one in task.aliases.values()} | {
        target.model for task in table.tasks.values() for target in task.targets.values()
    }
    mine = tuple(f"{name}@" for name in desired)
    used = [slot for slot in slots if slot.state.verified and slot.healthy and not slot.state.merged]
    return [
        (slot, model) for slot in used for model in sorted(slot.names) if model.startswith(mine) and model not in named
    ]


def served(desired: dict[str, Desired]) -> dict[str, state.Served]:
    """Every aliased version as a slot remembers it."""
    return {
        one.model: state.Served(one.version, one.artifact, one.folder)
        for task in desired.values()
        for one in task.aliases.values()
    }
