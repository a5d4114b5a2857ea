"""The steps after the DAG: gate, register, deploy, release, report. Plain methods; flows/flow.py makes task runs
of them.
"""

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from flows import dag
from flows.inputs import commit, lasting
from flows.origin import cascade, origin
from tasks import answered, contestants, decisions, paths, promotion, registry, tracking, verdict_tags
from tasks.answer import format_of
from tasks.champion import judge
from tasks.decisions import Decision
from tasks.deploy import deploy, is_available, parity_file
from tasks.errors import AnnealError
from tasks.files import read_json, sha256, write_json
from tasks.gate import Check, Verdict
from tasks.paces import paces, teller
from tasks.params import Params
from tasks.promotion import Refused
from tasks.registry import Version
from tasks.regroup import regroup
from tasks.serve import probe, routes
from tasks.serve.reconcile import acts, gateway
from tasks.serve.reconcile.routing import route
from tasks.special import USUAL
from tasks.worth import worth


class Steps:
    """One run's steps on one model, and what it will say at its end. Each step returns True when it did something."""

    def __init__(self, params: Params, model: str) -> None:
        self.params, self.name = params, model
        self.model = params.models[model]
        self.weights = paths.weights(self.model.parent)
        self.adapter, self.reports = paths.adapter(model), paths.reports(model)
        self.evaluation = paths.evaluation(self.reports)
        self.done: list[dict] = []
        self.verdict = Verdict(False, (Check(False, "the run ended before the gate"),))
        self.version: Version | None = None
        self.held_back = False
        self.released: tuple[str, ...] = ()
        self.summary: dict | None = None

    def note(self, name: str, what: str, seconds: float) -> None:
        """Remember that `name` ran or was cached."""
        self.done.append({"name": name, "state": what, "seconds": round(seconds, 1)})

    def gate(self) -> bool:
        """Compare with parent and champion."""
        self.verdict = judge(self.name, self.model, self.weights, self.reports, self.adapter)
        return True

    def register(self) -> bool:
        """Make sure that the registry has this artifact, and what it came from."""
        known = registry.find(self.name, read_json(self.adapter / "artifact.json")["artifact_sha256"])
        tags = self.tags(known)
        if known is None or any(known.tags.get(key) != value for key, value in tags.items()):
            self.version = self._registered(tags, known)
        else:
            self.version = known
        self.held_back = self.verdict.passed and "rolled_back" in self.version.tags
        return known is None

    def tags(self, known: Version | None) -> dict[str, str]:
        """What the registry is to say of this artifact; `known` is the version that it has of it."""
        artifact = read_json(self.adapter / "artifact.json")
        return {
            "git_commit": commit(),
            "dvc_lock_sha256": dag.lock_hash(),
            "data_sha256": sha256(paths.prepared(self.model.dataset)),
            "params_sha256": sha256(Path("params.yaml")),
            "base_sha256": artifact["base_sha256"],
            "template_sha256": artifact["template_sha256"],
            **verdict_tags.of(self.verdict, known),
        }

    def _registered(self, tags: dict[str, str], known: Version | None) -> Version:
        """The version, made when it is not `known`: with its figures, and with what the monitor will compare the
        traffic with.
        """
        metrics = read_json(self.evaluation / "metrics.json")
        flat = {f"{who}_{name}": value for who in contestants.among(metrics) for name, value in metrics[who].items()}
        if known is not None:
            return promotion.register(self.name, self.adapter, self.evaluation, tags, flat)
        from tasks.monitor.reference import write_reference

        answers = contestants.folders(self.reports)[contestants.TUNED]
        with tempfile.TemporaryDirectory() as folder:
            measured, reference = Path(folder) / "evaluate", Path(folder) / "reference"
            shutil.copytree(self.evaluation, measured)
            shutil.copy(answers / answered.FILE, measured)
            write_reference(
                paths.prepared(self.model.dataset),
                answers,
                self.model.evaluate.labels,
                self.params.monitor.reference_rows,
                reference,
            )
            version = promotion.register(self.name, self.adapter, measured, tags, flat, reference)
        decisions.note(Decision(self.name, "gate", tags["gate"], self.verdict.reasons, {"version": version.version}))
        return version

    def deploy(self) -> bool:
        """Make the version available under its own name, unless it is."""
        if is_available(self.version, self.params.deploy, self.params.models):
            return False
        self._regroup()  # a canary compares versions that are served alike
        promotion.challenge(self.version)
        deploy(self.version, self.weights, self.params.deploy, self.params.servers, self.params.models)
        return True

    def release(self) -> bool:
        """Open a canary beside the champion, or promote at once where nothing can be compared."""
        outcome = acts.release(self.version, self.params.release, self._gateway())
        if isinstance(outcome, Refused):
            raise AnnealError(outcome.words)
        self.released += (outcome.words,) if outcome.words else ()
        route(self.params, self.name)
        return self._regroup() or outcome.changed

    def _regroup(self) -> bool:
        """Move champions whose form no longer suits who else is served; whether any has moved."""
        moves = regroup(self.params)
        self.released += tuple(move.words for move in moves)
        return any(move.done for move in moves)

    def _gateway(self) -> gateway.Presence | None:
        """Whether there is traffic, waited for where it decides something; before the lock, which nobody should hold
        for so long.
        """
        champion = registry.alias(self.name, "champion")
        if champion is None or champion.version == self.version.version or self.params.release.canary == "off":
            return None
        return gateway.await_presence(self.params.gateway)

    def report(self) -> bool:
        """Write reports/<model>/summary.json, and index.html when it would say something else."""
        from tasks.report.page import write_report

        kept, page = paths.summary(self.name), paths.page(self.name)
        old = read_json(kept) if kept.exists() and page.exists() else {}
        self.summary = self.facts()
        changed = lasting(old) != lasting(self.summary)
        if changed:
            form = format_of(read_json(self.adapter / "format.json")["answer"])
            write_report(self.summary, self.reports, form, page)
        write_json(kept, self.summary)
        return changed

    def facts(self) -> dict:
        """All that is said at the end, as one JSON object."""
        metrics = read_json(self.evaluation / "metrics.json")
        checks = [asdict(check) for check in self.verdict.checks]
        leads, folders = self.evaluation / "leads.json", contestants.folders(self.reports)
        seconds = paces({who: folders[who] for who in contestants.among(metrics)}, teller(self.params, self.name))
        return {
            "model": self.name,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit() or None,
            "origin": origin(self.params, self.name),
            "cascade": cascade(self.params, self.name, self.adapter),
            "stages": list(self.done),
            "evaluation": {
                **metrics,
                "intervals": read_json(self.evaluation / "intervals.json"),
                "measures": read_json(self.evaluation / "measures.json")["measures"],
                "seconds_per_answer": seconds,
            },
            "worth": self._worth(read_json(leads), seconds) if leads.exists() else None,
            "gate": {"passed": self.verdict.passed, "checks": checks, "held_back": self.held_back},
            "registry": {
                "name": self.name,
                "version": self.version.version,
                "aliases": [
                    which for which, number in registry.aliases(self.name).items() if number == self.version.version
                ],
            }
            if self.version
            else None,
            "is_on_trial": self._is_on_trial(),
            "release": list(self.released),
            "endpoint": endpoint(self.name, self.version.version if self.version else ""),
            "where": self.where(),
        }

    def _is_on_trial(self) -> bool:
        """Whether the canary of the version is open now."""
        version = self.version and registry.get(self.name, self.version.version)
        return version is not None and version.tags.get("canary") == "open"

    def _worth(self, leads: dict, seconds: dict[str, float]) -> dict | None:
        """Whether tuning was worth it, on this machine."""
        known = worth(leads, seconds, os.cpu_count() or 1)
        return asdict(known) if known else None

    def where(self) -> dict[str, str]:
        """Where a person looks next."""
        data, door = self.params.main_dataset(self.name), gateway.address(self.params.gateway)
        runs = gateway.look(self.params.gateway) is not None
        return {
            "report": str(paths.page(self.name)),
            "card": str(paths.card(self.name)),
            "Data Docs": ", ".join(f"{paths.reports(data)}/{suite}/index.html" for suite in ("raw", "prepared")),
            "what is trained on": str(self.reports / "train" / "xray.html"),
            **(
                {
                    "gateway": f"{door}/v1 and {door}/tasks/{self.name} (`make key NAME=…`)",
                    "dashboard": f"{door}/dashboard",
                }
                if runs
                else {}
            ),
            "MLflow": tracking.redacted(tracking.tracking_uri())
            + f" (`make up`: http://127.0.0.1:{self.params.servers.mlflow_port})",
            "Prefect": f"`make up`: http://127.0.0.1:{self.params.servers.prefect_port}",
        }


def endpoint(name: str, version: str) -> dict | None:
    """Where `version` of `name` answers (the champion, when that one does not), with a line to try it; None when
    none does.
    """
    targets = routes.read().tasks.get(name, routes.Task()).targets
    target = next((found for found in targets.values() if found.version == version), targets.get("champion"))
    if target is None:
        return None
    rows = contestants.folders(paths.reports(name))[contestants.TUNED] / answered.FILE
    with rows.open(encoding="utf-8") as file:
        example = json.loads(file.readline())
    route, asked = probe.question(USUAL, example)
    body = {"model": target.model, "temperature": 0, "max_tokens": 128, **asked}
    curl = probe.line_to_try(f"{target.url}/{route}", body, example)
    file = parity_file(target.artifact)
    parity = read_json(file) if file.exists() else None
    same = parity and {key: value for key, value in parity.items() if key != "unforced" and value is not None}
    return {"url": target.url, "model": target.model, "version": target.version, "curl": curl, "parity": same}
