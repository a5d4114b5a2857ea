"""One step from the actual to the desired state: load, route, drain, unload, start, stop. Safe to run concurrently,
and after any crash.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tasks.errors import AnnealError
from tasks.params import Params
from tasks.serve import routes, slots, state
from tasks.serve.lock import locked
from tasks.serve.reconcile import gateway, starting
from tasks.serve.reconcile.table import Plan, idle_slots, plan, served, table_for, unreferenced
from tasks.versions import alias_moves, registry
from tasks.versions.registry import Model

# seconds after a new table in which requests that were routed by the old one may be on their way, where no gateway
# counts them
GRACE = 2.0
DRAIN = 4.0  # seconds that a command waits for what is left to unload


@dataclass(frozen=True)
class StepResult:
    """The table after a step, what the step did, and what is still to be done by later ones."""

    table: routes.Table
    did: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


def once(params: Params, read: Callable[[Sequence[str]], Mapping[str, Model]] = registry.read_all) -> StepResult:
    """Make the servers and the table agree with the registry as far as possible now. `read` reads models from the
    registry; it is called under the lock.
    """
    with locked():
        state.OLD.unlink(missing_ok=True)
        names = [*params.models]
        models, taken, old = read(names), slots.look(), routes.read()
        planned = plan(models, taken, old)
        did, pending = _load(planned)
        urls = {name: slot.url for name, slot in planned.hosts.items() if name not in pending}
        alive = {
            (target.model, target.url)
            for task in old.tasks.values()
            for target in task.targets.values()
            if _is_alive(target, taken)
        }
        table = table_for(old, models, names, urls, alive)
        if table != old:
            routes.write(table)
            did.append(f"table {table.revision}: {describe(table)}")
        _remember(table, models, planned, taken)
        started = starting.revive(taken) + [starting.start(version, params, taken) for version in planned.unplaced[:1]]
        did += [words for words in started if words]
        pending += [f"{version.served_name} waits for a server" for version in planned.unplaced]
        pending += [f"{version.served_name} is waiting for its server to answer" for _, version in planned.awaited]
        gone, draining = _retire(table, models, planned, taken, params)
        return StepResult(table, tuple(did + gone), tuple(pending + draining))


def route(params: Params, name: str) -> routes.Task:
    """As `await_champion`, for a caller that does not hold the lock."""
    with alias_moves.held(name, params.models) as now:
        model, outcome = now.model, once(params, lambda names: now.models)
    return await_champion(params, model, outcome)


def await_champion(params: Params, model: Model, outcome: StepResult) -> routes.Task:
    """The routes of `model` once its champion answers, after the step with the result `outcome` and as many more as it
    takes; AnnealError if it does not in time. Then waits a little for what is left to unload.
    """
    champion, end = model.aliases.get("champion"), time.monotonic() + params.deploy.startup_timeout
    while not _is_routed(outcome.table, model.name, champion):
        if time.monotonic() > end:
            words = "; ".join([*outcome.did, *outcome.pending]) or "no running server can serve it"
            raise AnnealError(
                f"{model.name} version {champion or '?'} is the champion but is not routed to ({words}): see "
                f".anneal/logs/, then run `make pipeline MODEL={model.name}`."
            )
        time.sleep(0.2)
        outcome = once(params)
    end = time.monotonic() + DRAIN
    while outcome.pending and time.monotonic() < end:
        time.sleep(0.2)
        outcome = once(params)
    return outcome.table.tasks[model.name]


def _is_routed(table: routes.Table, name: str, champion: str | None) -> bool:
    target = table.tasks.get(name, routes.Task()).targets.get("champion")
    return target is not None and target.version == champion


def describe(table: routes.Table) -> str:
    """The table in one line for a log."""
    parts = []
    for name, task in table.tasks.items():
        versions = ", ".join(f"{alias} {target.version}" for alias, target in task.targets.items())
        canary = f" (canary: {task.canary} {task.share:.0%})" if task.canary != "off" else ""
        parts.append(f"{name}: {versions}{canary}")
    return "; ".join(parts) or "nothing is routed"


def _is_alive(target: routes.Target, taken: Sequence[slots.Slot]) -> bool:
    return any(slot.url == target.url and (not slot.healthy or target.model in slot.names) for slot in taken)


def _load(planned: Plan) -> tuple[list[str], list[str]]:
    """(what was loaded, names that could not be): one adapter that does not load keeps no other away."""
    did, failed = [], []
    for slot, version in planned.loads:
        try:
            slots.load(slot.url, version.served_name, str(starting.ensure_adapter(version)))
            did.append(f"loaded {version.served_name} at {slot.url}")
        except AnnealError as error:
            did.append(str(error))
            failed.append(version.served_name)
    return did, failed


def _remember(table: routes.Table, models: Mapping[str, Model], planned: Plan, taken: Sequence[slots.Slot]) -> None:
    known, targets = served(models), [target for task in table.tasks.values() for target in task.targets.values()]
    for slot in taken:
        if slot.state.verified:
            routed = {target.model for target in targets if target.url == slot.url}
            hosted = {name for name, host in planned.hosts.items() if host.name == slot.name}
            slots.remember(slot, routed | hosted, {**slot.state.adapters, **known})


def _retire(
    table: routes.Table, models: Mapping[str, Model], planned: Plan, taken: Sequence[slots.Slot], params: Params
) -> tuple[list[str], list[str]]:
    """(what was unloaded or stopped, what is still draining)."""
    to_unload, to_stop = unreferenced(table, models, taken), idle_slots(table, planned, taken)
    if not to_unload and not to_stop:
        return [], []
    followed = gateway.followed(params.gateway)
    age = time.time() - (routes.TABLE.stat().st_mtime if routes.TABLE.exists() else 0.0)
    gone, draining = [], []
    for slot, name in to_unload:
        if slot in to_stop:
            continue
        # The gateway counts a request for its model from the moment it is routed: once it follows this table, none can
        # be on its way uncounted.
        if (
            age > GRACE
            if followed is None
            else followed.revision >= table.revision and not followed.in_flight.get(name)
        ):
            slots.unload(slot.url, name)
            gone.append(f"unloaded {name} at {slot.url}")
        else:
            draining.append(f"{name} drains")
    for slot in to_stop:
        # a server that has just been verified is about to be routed to
        settled = time.time() - state.path(slot.name).stat().st_mtime > GRACE
        if settled and age > GRACE and _is_left(slot, table, followed, age, params):
            slots.stop(slot.name)
            gone.append(f"stopped the server of slot {slot.name}")
        else:
            draining.append(f"slot {slot.name} drains")
    return gone, draining


def _is_left(
    slot: slots.Slot, table: routes.Table, followed: routes.Followed | None, age: float, params: Params
) -> bool:
    """True when no request runs at `slot` and none is on its way. Its versions may run elsewhere by now, so the
    gateway's counts by model do not tell.
    """
    if followed is not None and followed.revision < table.revision:
        return False
    # those that were routed here and still wait have been refused by then
    nobody_waits = followed is None or not followed.waiting or age > 2 * params.gateway.timeout
    return not slot.healthy or (nobody_waits and slots.is_idle(slot.url))
