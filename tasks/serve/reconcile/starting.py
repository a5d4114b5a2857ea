"""Starts a server for a version that no running one can serve: a rollback across a change of base or of merged
weights.
"""

from pathlib import Path

from tasks import registry
from tasks.errors import AnnealError
from tasks.params import Params
from tasks.serve import slots, state
from tasks.serve.params import Deploy
from tasks.serve.reconcile.desired import Wanted


def start(one: Wanted, params: Params, found: list[slots.Slot]) -> str | None:
    """Start the free slot with what `one` needs, and say so; None when no slot is free or its files are no longer
    kept.
    """
    slot = next((name for name in state.SLOTS if name not in {taken.name for taken in found}), None)
    wanted = None if slot is None else _wanted(one, params.deploy, slot)
    if wanted is None:
        return None
    from tasks.serve import supervisor

    supervisor.ensure(params.servers)
    slots.start(slot, wanted)
    return f"started slot {slot} for {one.model}"


def revive(found: list[slots.Slot]) -> list[str]:
    """Start verified servers that the supervisor does not run (it was itself stopped and started), and say so."""
    from tasks.serve import supervisor

    asleep = [slot.name for slot in found if slot.state.verified and not slot.healthy]
    if not asleep or not supervisor.is_up():
        return []
    stopped = [slot for slot in asleep if supervisor.status(state.program(slot)) in ("STOPPED", "EXITED")]
    for slot in stopped:
        supervisor.start(state.program(slot))
    return [f"restarted slot {slot}" for slot in stopped]


def _wanted(one: Wanted, params: Deploy, slot: str) -> state.State | None:
    """The state with which `one`, verified before on the same weights, is served again."""
    base, kept_in = state.FOLDER / state.base_folder(one.base), Path(one.folder)
    form, is_pooled = one.form or params.serve, one.form == "pooling"
    whole = state.pooled_folder(kept_in) if is_pooled else state.merged_folder(kept_in)
    where = {
        "host": params.host,
        "port": state.port(slot, params),
        "options": state.options(params),
        "verified": True,
        "since": state.now(),
    }
    if form in ("merged", "pooling") and whole.exists():
        return state.State(
            weights=str(whole),
            merged={one.model: state.Served(one.version, one.artifact, str(whole))},
            engine="pooling" if is_pooled else "vllm",
            **where,
        )
    if not base.exists() or one.form in ("merged", "pooling"):
        return None
    return state.State(
        weights=str(base),
        adapters={one.model: state.Served(one.version, one.artifact, kept(one))},
        engine="transformers" if one.form == "transformers" else "vllm",
        **where,
    )


def kept(one: Wanted) -> str:
    """The folder with the adapter of `one`, copied from the registry again when it is gone."""
    if not (Path(one.folder) / "artifact.json").exists():
        version = registry.get(one.task, one.version)
        keep(version)
    return one.folder


def keep(version: registry.Version) -> Path:
    """A kept copy of the adapter of `version`, with the reference data that it was registered with."""
    name = state.adapter_folder(version.name, version.artifact)
    folder = state.keep(registry.folder(version, "adapter"), name)
    if not (folder / "reference").exists() and registry.has(version, "reference"):
        state.keep(registry.folder(version, "reference"), f"{name}/reference")
    if not (folder / "artifact.json").exists():
        raise AnnealError(
            f"{version.name} version {version.version} has no artifact.json in the registry: it was not made by `make "
            "pipeline`; register it again."
        )
    return folder
