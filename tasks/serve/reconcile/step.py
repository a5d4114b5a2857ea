"""One step from the actual to the desired state: load, route, drain, unload, start, stop. Safe to run concurrently,
and after any crash.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tasks.errors import AnnealError
from tasks.params import Params
from tasks.serve import routes, slots, state
from tasks.serve.lock import locked
from tasks.serve.reconcile import desired, gateway, starting
from tasks.serve.reconcile.table import Plan, idle_slots, leftovers, plan, served, wanted_table

# seconds after a new table in which requests that were routed by the old one may be on their way, where no gateway
# counts them
GRACE = 2.0


@dataclass(frozen=True)
class Outcome:
    """The table after a step, what the step did, and what is still to be done by later ones."""

    table: routes.Table
    did: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


def once(params: Params, read: Callable[[list[str]], dict[str, desired.Desired]] = desired.read) -> Outcome:
    """Make the servers and the table agree with the registry as far as that goes now. `read` gives what is desired."""
    with locked():
        state.OLD.unlink(missing_ok=True)
        names = [*params.models]
        wanted, found, old = read(names), slots.look(), routes.read()
        planned = plan(wanted, found, old)
        did, pending = _load(planned)
        homes = {model: slot.url for model, slot in planned.homes.items() if model not in pending}
        alive = {
            (target.model, target.url)
            for task in old.tasks.values()
            for target in task.targets.values()
            if _is_alive(target, found)
        }
        table = wanted_table(old, wanted, names, homes, alive)
        if table != old:
            routes.write(table)
            did.append(f"table {table.revision}: {describe(table)}")
        _remember(table, wanted, planned, found)
        started = starting.revive(found) + [starting.start(one, params, found) for one in planned.homeless[:1]]
        did += [words for words in started if words]
        pending += [f"{one.model} waits for a server" for one in planned.homeless]
        pending += [f"{one.model} is waiting for its server to answer" for _, one in planned.awaited]
        gone, draining = _retire(table, wanted, planned, found, params)
        return Outcome(table, tuple(did + gone), tuple(pending + draining))


def settle(params: Params, done: Callable[[routes.Table], bool], seconds: float, drain: float = 4.0) -> Outcome:
    """Take steps until `done` says so of the table, at most for `seconds`; then for `drain` seconds more while
    something is left to unload.
    """
    end = time.monotonic() + seconds
    while not done((outcome := once(params)).table):
        if time.monotonic() > end:
            return outcome
        time.sleep(0.2)
    end = time.monotonic() + drain
    while outcome.pending and time.monotonic() < end:
        time.sleep(0.2)
        outcome = once(params)
    return outcome


def describe(table: routes.Table) -> str:
    """The table in one line for a log."""
    parts = []
    for name, task in table.tasks.items():
        at = ", ".join(f"{alias} {target.version}" for alias, target in task.targets.items())
        parts.append(f"{name}: {at}" + (f" (canary: {task.canary} {task.share:.0%})" if task.canary != "off" else ""))
    return "; ".join(parts) or "nothing is routed"


def _is_alive(target: routes.Target, found: list[slots.Slot]) -> bool:
    return any(slot.url == target.url and (not slot.healthy or target.model in slot.names) for slot in found)


def _load(planned: Plan) -> tuple[list[str], list[str]]:
    """(what was loaded, models that could not be): one adapter that does not load keeps no other away."""
    did, failed = [], []
    for slot, one in planned.loads:
        try:
            slots.load(slot.url, one.model, starting.kept(one))
            did.append(f"loaded {one.model} at {slot.url}")
        except AnnealError as error:
            did.append(str(error))
            failed.append(one.model)
    return did, failed


def _remember(table: routes.Table, wanted: dict[str, desired.Desired], planned: Plan, found: list[slots.Slot]) -> None:
    known = served(wanted)
    for slot in found:
        if slot.state.verified:
            at = {
                target.model
                for task in table.tasks.values()
                for target in task.targets.values()
                if target.url == slot.url
            }
            slots.remember(
                slot,
                at | {model for model, home in planned.homes.items() if home.name == slot.name},
                {**slot.state.adapters, **known},
            )


def _retire(
    table: routes.Table, wanted: dict[str, desired.Desired], planned: Plan, found: list[slots.Slot], params: Params
) -> tuple[list[str], list[str]]:
    """(what was unloaded or stopped, what is still draining)."""
    to_unload, to_stop = leftovers(table, wanted, found), idle_slots(table, planned, found)
    if not to_unload and not to_stop:
        return [], []
    seen, age = (
        gateway.look(params.gateway),
        time.time() - (routes.TABLE.stat().st_mtime if routes.TABLE.exists() else 0.0),
    )
    gone, draining = [], []
    for slot, model in to_unload:
        if slot in to_stop:
            continue
        # The gateway counts a request for its model from the moment it is routed: once it follows this table, none can
        # be on its way uncounted.
        if age > GRACE if seen is None else seen.revision >= table.revision and not seen.in_flight.get(model, 0):
            slots.unload(slot.url, model)
            gone.append(f"unloaded {model} at {slot.url}")
        else:
            draining.append(f"{model} drains")
    for slot in to_stop:
        settled = (
            time.time() - state.path(slot.name).stat().st_mtime > GRACE
        )  # a server that has just been verified is about to be routed to
        if settled and age > GRACE and _is_left(slot, table, seen, age, params):
            slots.stop(slot.name)
            gone.append(f"stopped the server of slot {slot.name}")
        else:
            draining.append(f"slot {slot.name} drains")
    return gone, draining


def _is_left(slot: slots.Slot, table: routes.Table, seen: routes.Followed | None, age: float, params: Params) -> bool:
    """True when no request runs at `slot` and none is on its way. Its versions may run elsewhere by now, so the
    gateway's counts by model do not tell.
    """
    if seen is not None and seen.revision < table.revision:
        return False
    nobody_waits = (
        seen is None or not seen.waiting or age > 2 * params.gateway.timeout
    )  # those that were routed here and still wait have been refused by then
    return not slot.healthy or (nobody_waits and slots.is_idle(slot.url))
