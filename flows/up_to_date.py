"""Whether there is nothing to do: all inputs are as they were when a run had found nothing left to do.

A run ends by trying all its steps again. If that changes nothing, digests of what they read are kept; the same content
leads to the same result. If anything differs or cannot be read, a whole run is needed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows import dag, fingerprint
from flows.fingerprint import RunScope
from tasks import paths
from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.serve import ports
from tasks.steps.report import summary
from tasks.steps.report.summary import StageRun, Summary
from tasks.versions.registry_reading import Unreadable

FOLDER = Path(".anneal/unchanged")
FORM = 1  # of the file; other forms are not read


@dataclass(frozen=True)
class LastRun:
    """What a run read when it had nothing left to do, its stages and steps, and its remarks on params.yaml."""

    asked: RunScope
    read: Mapping[str, str]
    stages: tuple[str, ...]
    remarks: tuple[str, ...]
    deploy_port: int
    prefect_port: int


@dataclass(frozen=True)
class UpToDate:
    """Nothing needs to be done; what to show instead."""

    summary: Summary
    last_run: LastRun


def check(model: str) -> UpToDate | str:
    """Return `UpToDate` if nothing needs to be done for `model`; otherwise the first change, in a clause."""
    try:
        before = _last_run(model)
        if isinstance(before, str):
            return before
        if change := difference(before.read, fingerprint.read(before.asked)) or dag.first_change(f"package@{model}"):
            return change
        ports.refuse_taken_port(before.deploy_port, "vllm-a", "deploy.port")
        return UpToDate(_summary(model, before), before)
    except (AnnealError, Unreadable, OSError, ValueError) as error:
        return f"it cannot be told at once whether there is something to do ({error})"


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return the first difference between `before` and `now`, in a clause; None if they are equal. Pure."""
    for name in sorted({*before, *now}):
        if name not in now:
            return f"{name} is gone"
        if before.get(name) != now[name]:
            return f"{name} {'has changed' if name in before else 'is new'}"
    return None


def remember(run: LastRun) -> None:
    """Keep what was read, for the next run."""
    write_json(_path(run.asked.model), {"form": FORM, **asdict(run)})


def forget(model: str) -> None:
    """Forget the last run of `model`, so that the next one checks everything."""
    _path(model).unlink(missing_ok=True)


def _path(model: str) -> Path:
    return FOLDER / f"{model}.json"


def _last_run(model: str) -> LastRun | str:
    """Return what the last run of `model` kept, or why there is nothing."""
    if not _path(model).exists():
        return "it is the first run that comes to its end"
    value = read_json(_path(model))
    try:
        if value.pop("form") != FORM:
            return "the last run was of another version of Anneal"
        asked = RunScope(**{**value["asked"], "models": tuple(value["asked"]["models"])})
        return LastRun(
            **{**value, "asked": asked, "stages": tuple(value["stages"]), "remarks": tuple(value["remarks"])}
        )
    except (TypeError, KeyError, AttributeError):
        return f"{_path(model)} is damaged"


def _summary(model: str, before: LastRun) -> Summary:
    """Write and return the summary of a run that found everything done."""
    cached = [StageRun(name=name, state="cached", seconds=0.0) for name in before.stages]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    written: Summary = {**summary.read(model), "finished": now, "stages": cached, "release": []}
    write_json(paths.summary(model), written)
    return written
