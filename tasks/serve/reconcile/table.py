"""The pure part of reconciling: which server hosts which version, and the resulting routing table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tasks.serve import state
from tasks.serve.routes import Table, Target, Task, served_name
from tasks.serve.slots import Slot
from tasks.versions.registry import Model, Version

Models = Mapping[str, Model]  # what should be served: the registered models by name


@dataclass(frozen=True)
class Plan:
    """What to do before the table can be made: adapters to load, and versions that no server can serve yet."""

    hosts: dict[str, Slot]  # the name of a version: the slot that serves it, or will once its adapter is loaded
    loads: tuple[tuple[Slot, Version], ...]
    unplaced: tuple[Version, ...]
    awaited: tuple[tuple[Slot, Version], ...]  # servers that are starting, and the version each is for


def plan(models: Models, slots: Iterable[Slot], old: Table) -> Plan:
    """A server for each verified version: the newest verified one that can serve it; one that is down keeps what was
    routed to it.
    """
    slots = list(slots)
    trusted = [slot for slot in slots if slot.state.verified]
    on_trial = [slot for slot in slots if not slot.state.verified]
    routed = {(target.model, target.url) for task in old.tasks.values() for target in task.targets.values()}
    hosts: dict[str, Slot] = {}
    loads: list[tuple[Slot, Version]] = []
    unplaced: list[Version] = []
    awaited: list[tuple[Slot, Version]] = []
    for alias, version in ((alias, version) for model in models.values() for alias, version in model.aliased.items()):
        name = version.served_name
        if not version.is_verified or name in hosts:
            continue
        able = [slot for slot in trusted if slot.can_serve(version)]
        up = [slot for slot in able if slot.healthy]
        down = [slot for slot in able if not slot.healthy and (name, slot.url) in routed]
        if up:
            hosts[name] = up[0]
            if name not in up[0].names:
                loads.append((up[0], version))
        elif down:
            hosts[name] = down[0]
        elif able and needs_server(alias, version):
            awaited.append((able[0], version))
        elif not able and needs_server(alias, version) and not any(slot.can_serve(version) for slot in on_trial):
            unplaced.append(version)
    return Plan(hosts, tuple(loads), tuple(unplaced), tuple(awaited))


def needs_server(alias: str, version: Version) -> bool:
    """True for the champion and for a challenger whose fate is open; @previous and a challenger that was taken back
    use servers that run anyway.
    """
    return alias == "champion" or (alias == "challenger" and not version.is_taken_back)


def table_for(
    old: Table, models: Models, tasks: Iterable[str], urls: Mapping[str, str], alive: set[tuple[str, str]]
) -> Table:
    """The routing table, with the old revision when nothing has changed and the next one otherwise.

    `urls`: of what is loaded, by its name. `alive`: (name, url) of the old table that can still be asked. A champion
    that is not loaded yet leaves the traffic with the old one; a task about which the registry says nothing keeps what
    it had.
    """
    routed = {}
    for name in tasks:
        before = old.tasks.get(name, Task())
        kept = {alias: target for alias, target in before.targets.items() if (target.model, target.url) in alive}
        if name not in models:
            if kept:
                routed[name] = before if kept == before.targets else Task(kept)
            continue
        aliased = models[name].aliased
        targets = {
            alias: _target(version, urls[version.served_name])
            for alias, version in aliased.items()
            if version.served_name in urls
        }
        if "champion" in aliased and "champion" not in targets and "champion" in kept:
            targets["champion"] = kept["champion"]
        if targets:
            routed[name] = _with_canary(targets, aliased)
    routed = _on_needed_servers(routed, models)
    return old if routed == old.tasks else Table(old.revision + 1, routed)


def _target(version: Version, url: str) -> Target:
    folder = state.adapter_folder(version.name, version.artifact)
    return Target(version.version, version.artifact, version.served_name, url, str(folder))


def _with_canary(targets: dict[str, Target], aliased: Mapping[str, Version]) -> Task:
    """The task with its challenger's canary, when both sides of it can be asked."""
    challenger = aliased.get("challenger")
    both = {"champion", "challenger"} <= targets.keys() and targets["champion"].version == aliased[
        "champion"
    ].version != targets["challenger"].version
    if challenger is None or not challenger.canary or not both:
        return Task(targets)
    return Task(targets, challenger.canary, challenger.canary_share, challenger.canary_since)


def _on_needed_servers(tasks: Mapping[str, Task], models: Models) -> dict[str, Task]:
    """Without the targets on servers that would run for @previous or a refused challenger alone: those servers are
    to be stopped.
    """

    def is_needed(name: str, alias: str) -> bool:
        version = models[name].aliased.get(alias) if name in models else None
        return version is None or needs_server(alias, version)

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
    """Verified servers that the table routes nothing to and no version waits for."""
    urls = {target.url for task in table.tasks.values() for target in task.targets.values()} | {
        slot.url for slot, _ in planned.awaited
    }
    return [slot for slot in slots if slot.state.verified and slot.url not in urls]


def unreferenced(table: Table, models: Models, slots: Iterable[Slot]) -> list[tuple[Slot, str]]:
    """Adapters on running servers that no alias and no route names any more."""
    named = {version.served_name for model in models.values() for version in model.aliased.values()} | {
        target.model for task in table.tasks.values() for target in task.targets.values()
    }
    ours = tuple(served_name(name, "") for name in models)
    used = [slot for slot in slots if slot.state.verified and slot.healthy and not slot.state.merged]
    return [(slot, name) for slot in used for name in sorted(slot.names) if name.startswith(ours) and name not in named]


def served(models: Models) -> dict[str, state.Served]:
    """Every aliased version by its served name, as slot states keep it."""
    versions = [version for model in models.values() for version in model.aliased.values()]
    return {version.served_name: state.served(version) for version in versions}
