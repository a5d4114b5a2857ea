"""Starts a server for a version that no running one can serve: a rollback across a change of base or of merged
weights.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tasks.errors import AnnealError
from tasks.params import Params
from tasks.serve import slots, state, supervisor
from tasks.serve.params import Deploy
from tasks.versions import registry
from tasks.versions.registry import Version


def start(version: Version, params: Params, taken: Sequence[slots.Slot]) -> str | None:
    """Start a server for `version` on a slot that is not `taken`; returns a line about it, or None if no slot is free
    or its files are gone.
    """
    slot = next((name for name in state.SLOTS if name not in {slot.name for slot in taken}), None)
    desired = None if slot is None else _server(version, params.deploy, slot)
    if slot is None or desired is None:
        return None
    supervisor.ensure(params.servers)
    slots.start(slot, desired)
    return f"started slot {slot} for {version.served_name}"


def revive(taken: Sequence[slots.Slot]) -> list[str]:
    """Start verified servers that the supervisor does not run (it was restarted); returns a line about each."""
    asleep = [slot.name for slot in taken if slot.state.verified and not slot.healthy]
    if not asleep or not supervisor.is_up():
        return []
    stopped = [slot for slot in asleep if supervisor.status(state.program(slot)) in ("STOPPED", "EXITED")]
    for slot in stopped:
        supervisor.start(state.program(slot))
    return [f"restarted slot {slot}" for slot in stopped]


def _server(version: Version, params: Deploy, slot: str) -> state.State | None:
    """The server with which `version`, verified before on the same weights, is served again."""
    base, folder = state.base_folder(version.base), state.adapter_folder(version.name, version.artifact)
    form = version.form or params.serve
    whole = state.pooled_folder(folder) if version.form == "pooling" else state.merged_folder(folder)
    if form in ("merged", "pooling") and whole.exists():
        desired = state.server(form if version.form else "merged", version, whole, base, params, slot)
    elif not base.exists() or version.form in ("merged", "pooling"):
        return None
    else:
        desired = state.server(version.form or "adapter", version, ensure_adapter(version), base, params, slot)
    return replace(desired, verified=True, since=state.now())


def ensure_adapter(version: Version) -> Path:
    """The folder with the adapter of `version`, copied from the registry again when it is gone."""
    folder = state.adapter_folder(version.name, version.artifact)
    return folder if (folder / "artifact.json").exists() else fetch_adapter(version)


def fetch_adapter(version: Version) -> Path:
    """A kept copy of the adapter of `version`, with the reference data that it was registered with."""
    folder = state.adapter_folder(version.name, version.artifact)
    state.keep(registry.folder(version, "adapter"), folder)
    if not (folder / "reference").exists() and registry.has_files(version, "reference"):
        state.keep(registry.folder(version, "reference"), folder / "reference")
    if not (folder / "artifact.json").exists():
        raise AnnealError(
            f"{version.name} version {version.version} has no artifact.json in the registry: it was not made by `make "
            "pipeline`; register it again."
        )
    return folder
