"""The steps after the DAG: gate, register, deploy, release, report. Plain methods; flows/pipeline_flow.py makes
task runs of them.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flows import dag_lock, fingerprint
from flows.summary import Progress, summarise
from tasks import paths
from tasks.comparison import contestants
from tasks.dataset import answered
from tasks.errors import AnnealError
from tasks.files import read_json, sha256, write_json
from tasks.formats.answer import format_in
from tasks.params import Params, lineage
from tasks.records import decisions
from tasks.records.decisions import Decision
from tasks.serve.reconcile import canaries, gateway, step
from tasks.serve.reconcile.gateway import Presence
from tasks.steps.champion import gate_verdict
from tasks.steps.change_form import regroup
from tasks.steps.deploy import deploy, is_available
from tasks.steps.gate import GateCheck, GateVerdict
from tasks.steps.report import summary
from tasks.steps.report.summary import StageRun, Summary
from tasks.versions import alias_moves, promotion, registry, verdict_tags
from tasks.versions.promotion import Refused
from tasks.versions.registry import Version


class Steps:
    """One run's steps on one model, and its results. Each step returns True if it did something."""

    def __init__(self, params: Params, model: str) -> None:
        self.params, self.name, self.task = params, model, params.task(model)
        self.model = params.models[model]
        self.weights = paths.weights(self.model.parent)
        self.adapter, self.reports = paths.adapter(model), paths.reports(model)
        self.evaluation = paths.evaluation(self.reports)
        self.done: list[StageRun] = []
        self.verdict = GateVerdict(False, (GateCheck(False, "the run ended before the gate"),))
        self.version: Version | None = None
        self.held_back = False
        self.released: tuple[str, ...] = ()
        self.summary: Summary | None = None

    @property
    def registered(self) -> Version:
        """The version that `register` has found or made."""
        assert self.version is not None
        return self.version

    def note(self, name: str, ran: bool, seconds: float) -> None:
        """Remember that `name` ran or was cached."""
        self.done.append({"name": name, "state": "ran" if ran else "cached", "seconds": round(seconds, 1)})

    def gate(self) -> bool:
        """Compare the model with its parent and the champion."""
        older = [paths.weights(row) for row in lineage(self.params, self.name)[2:]]
        self.verdict = gate_verdict(self.task, self.model, self.weights, self.reports, self.adapter, older)
        return True

    def register(self) -> bool:
        """Register this artifact with its origin, unless the registry has it."""
        known = registry.read(self.task).of_artifact(read_json(self.adapter / "artifact.json")["artifact_sha256"])
        tags = self.tags(known)
        if known is None or any(known.tags.get(key) != value for key, value in tags.items()):
            self.version = self._registered(tags, known)
        else:
            self.version = known
        self.held_back = self.verdict.passed and "rolled_back" in self.version.tags
        return known is None

    def tags(self, known: Version | None) -> dict[str, str]:
        """Return the registry's tags for this artifact; `known` is its registered version."""
        artifact = read_json(self.adapter / "artifact.json")
        return {
            "git_commit": fingerprint.commit(),
            "dvc_lock_sha256": dag_lock.digest(),
            "data_sha256": sha256(paths.prepared(self.model.dataset)),
            "params_sha256": sha256(Path("params.yaml")),
            "base_sha256": artifact["base_sha256"],
            "template_sha256": artifact["template_sha256"],
            **verdict_tags.tags_of(self.verdict, known),
        }

    def _registered(self, tags: dict[str, str], known: Version | None) -> Version:
        """Return the version, registered if it is not `known`, with its metrics and the reference for the monitor."""
        metrics = read_json(self.evaluation / "metrics.json")
        flat = {
            f"{who}_{name}": value for who in contestants.with_figures(metrics) for name, value in metrics[who].items()
        }
        if known is not None:
            return promotion.register(self.task, self.adapter, self.evaluation, tags, flat)
        from tasks.monitor.reference import write_reference

        answers = contestants.folders(self.reports)[contestants.TUNED]
        with tempfile.TemporaryDirectory() as folder:
            measured, reference = Path(folder) / "evaluate", Path(folder) / "reference"
            shutil.copytree(self.evaluation, measured)
            shutil.copy(answers / answered.FILE, measured)
            write_reference(
                paths.prepared(self.params.models[self.task].dataset),  # all that the chain of models has read
                answers,
                self.model.evaluate.labels,
                self.params.monitor.reference_rows,
                reference,
            )
            version = promotion.register(self.task, self.adapter, measured, tags, flat, reference)
        facts = {"version": version.version, "model": self.name}
        decisions.note(Decision(self.task, "gate", tags["gate"], self.verdict.reasons, facts))
        return version

    def deploy(self) -> bool:
        """Make the version available under its own name, unless it is."""
        version, params = self.registered, self.params
        models = registry.read_all(params.models)
        if is_available(version, params.deploy, models):
            return False
        self._regroup(models)  # a canary compares versions that are served alike
        with alias_moves.held(self.task, params.models) as now:
            promotion.challenge(now, version.version)
        deploy(version, self.weights, params, now.models)
        return True

    def release(self) -> bool:
        """Open a canary beside the champion, or promote at once if there is nothing to compare."""
        changed = self._released()
        while changed is None:  # without the lock, which must not be held that long
            gateway.await_presence(self.params.gateway)
            changed = self._released()
        return changed

    def _released(self) -> bool | None:
        """Return whether anything was done; None if it depends on a gateway that is starting or failed to start."""
        version, release, presence = self.registered, self.params.release, None
        with alias_moves.held(self.task, self.params.models) as now:
            if canaries.needs_traffic(now.model, version.version, release):
                presence = gateway.presence(self.params.gateway)
                if presence in (Presence.STARTING, Presence.FAILED):
                    return None
            released = canaries.release(now, version.version, release, presence)
            if isinstance(released, Refused):
                raise AnnealError(released.words)
            routed = step.once(self.params, lambda names: now.models)
        self.released += (released.words,) if released.words else ()
        step.await_champion(self.params, now.model, routed)
        return self._regroup(now.models) or released.changed

    def _regroup(self, models: Mapping[str, registry.Model]) -> bool:
        """Move champions whose form no longer suits who else is served; whether any has moved."""
        moved = regroup(self.params, models)
        self.released += tuple(move.words for move in moved)
        return any(move.done for move in moved)

    def report(self) -> bool:
        """Write reports/<model>/summary.json, and index.html if its content would change."""
        from tasks.steps.report.page import write_report

        kept, page = paths.summary(self.name), paths.page(self.name)
        self.summary = self.summarise()
        last = summary.lasting(summary.read(self.name)) if kept.exists() and page.exists() else None
        changed = last != summary.lasting(self.summary)
        if changed:
            form = format_in(read_json(self.adapter / "format.json"))
            write_report(self.summary, self.reports, form, page)
        write_json(kept, self.summary)
        return changed

    def summarise(self) -> Summary:
        """Return the summary of the run."""
        progress = Progress(self.done, self.verdict, self.version, self.held_back, self.released)
        return summarise(self.params, self.name, progress)
