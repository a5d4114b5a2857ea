"""The steps after the DAG: gate, register, deploy, promote, report. Plain methods; flows/pipeline.py makes task runs of them."""

import json
import shlex
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from flows import dvc
from tasks import register, tracking
from tasks.champion import judge
from tasks.deploy import deploy, is_served
from tasks.files import read_json, sha256, write_json
from tasks.gate import Verdict
from tasks.params import Params
from tasks.serve import state

PARITY = Path(".anneal/serving/parity.json")


class Steps:
    """One run's steps on one model, and what it will say at its end. Each step returns True when it did something."""

    def __init__(self, params: Params, model: str) -> None:
        self.params, self.name = params, model
        self.model = params.models[model]
        self.weights = Path(f"models/{self.model.parent}/weights")
        self.adapter, self.reports = Path(f"models/{model}/adapter"), Path(f"reports/{model}")
        self.done: list[dict] = []
        self.verdict = Verdict(False, ("✗ the run ended before the gate",))
        self.version: register.Version | None = None
        self.held_back = False
        self.summary: dict | None = None

    def note(self, name: str, what: str, seconds: float) -> None:
        """Remember that `name` ran or was cached."""
        self.done.append({"name": name, "state": what, "seconds": round(seconds, 1)})

    def gate(self) -> bool:
        """Compare with parent and champion."""
        self.verdict = judge(self.name, self.model.gate, self.model.evaluate, self.weights, self.reports, self.adapter)
        return True

    def register(self) -> bool:
        """Make sure that the registry has this artifact, and what it came from."""
        artifact = read_json(self.adapter / "artifact.json")
        known = register.find(self.name, artifact["artifact_sha256"])
        tags = {
            "git_commit": commit(),
            "dvc_lock_sha256": dvc.lock_hash(),
            "data_sha256": sha256(Path(f"data/prepared/{self.model.dataset}")),
            "params_sha256": sha256(Path("params.yaml")),
            "base_sha256": artifact["base_sha256"],
            "template_sha256": artifact["template_sha256"],
            "gate": "passed" if self.verdict.passed else "refused",
            "gate_reasons": "; ".join(self.verdict.reasons),
        }
        if known is None or any(known.tags.get(key) != value for key, value in tags.items()):
            metrics = read_json(self.reports / "evaluate" / "metrics.json")
            flat = {f"{who}_{name}": value for who in ("parent", "tuned") for name, value in metrics[who].items()}
            self.version = register.register(self.name, self.adapter, self.reports / "evaluate", tags, flat)
        else:
            self.version = known
        self.held_back = self.verdict.passed and "rolled_back" in self.version.tags
        return known is None

    def deploy(self) -> bool:
        """Serve the version, unless it is served."""
        if is_served(self.version, self.params.deploy):
            return False
        _, parity = deploy(self.version, self.weights, self.params.deploy, self.params.servers)
        write_json(PARITY, {"artifact": self.version.artifact, **asdict(parity)})
        tracking.client().set_model_version_tag(self.name, self.version.version, "parity", f"{parity.share:.4f}")
        return True

    def promote(self) -> bool:
        """Make the served version the champion."""
        champion = register.alias(self.name, "champion")
        register.promote(self.version)
        return champion is None or champion.version != self.version.version

    def report(self) -> bool:
        """Write reports/<model>/summary.json, and index.html when it would say something else."""
        from tasks.report.page import write_report

        kept, page = self.reports / "summary.json", self.reports / "index.html"
        old = read_json(kept) if kept.exists() and page.exists() else {}
        self.summary = self.facts()
        changed = lasting(old) != lasting(self.summary)
        if changed:
            write_report(self.summary, self.reports / "evaluate", self.reports / "baseline", self.reports / "train", page)
        write_json(kept, self.summary)
        return changed

    def facts(self) -> dict:
        """All that is said at the end, as one JSON object."""
        evaluate = self.reports / "evaluate"
        metrics = read_json(evaluate / "metrics.json")
        paces = {who: read_json(place / "timing.json")["seconds_per_answer"] for who, place in (("parent", self.reports / "baseline"), ("tuned", evaluate))}
        return {
            "model": self.name,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit() or None,
            "stages": list(self.done),
            "evaluation": {**metrics, "intervals": read_json(evaluate / "intervals.json"), "seconds_per_answer": paces},
            "gate": {"passed": self.verdict.passed, "reasons": list(self.verdict.reasons), "held_back": self.held_back},
            "registry": {
                "name": self.name,
                "version": self.version.version,
                "aliases": [which for which, number in register.aliases(self.name).items() if number == self.version.version],
            }
            if self.version
            else None,
            "endpoint": endpoint(self.name),
            "where": self.where(),
        }

    def where(self) -> dict[str, str]:
        """Where a person looks next."""
        data = self.model.dataset
        return {
            "report": str(self.reports / "index.html"),
            "card": f"model_cards/{self.name}.md",
            "Data Docs": f"reports/{data}/raw/index.html, reports/{data}/prepared/index.html",
            "what is trained on": str(self.reports / "train" / "xray.html"),
            "MLflow": tracking.redacted(tracking.tracking_uri()) + f" (`make up`: http://127.0.0.1:{self.params.servers.mlflow_port})",
            "Prefect": f"`make up`: http://127.0.0.1:{self.params.servers.prefect_port}",
        }

    def show(self) -> None:
        """Print the table that ends a run."""
        from flows.table import show

        show(self)


def lasting(summary: dict) -> dict:
    """What of a summary is the same in a run that found everything cached."""
    return {key: value for key, value in summary.items() if key not in ("finished", "stages")}


def endpoint(name: str) -> dict | None:
    """The endpoint that serves `name`, with a line to try it, or None."""
    now = state.read()
    served = now.served(name) if now else None
    if served is None:
        return None
    parity = read_json(PARITY) if PARITY.exists() else {}
    rows = Path(f"reports/{name}/evaluate/predictions.jsonl")
    with rows.open(encoding="utf-8") as file:
        example = json.loads(file.readline())
    body = {"model": name, "temperature": 0, "max_tokens": 128, "messages": example["messages"]}
    curl = f"curl -s {now.url}/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    same = {key: parity[key] for key in ("share", "prompts", "identical")} if parity.get("artifact") == served.artifact else None
    return {"url": now.url, "model": name, "version": served.version, "curl": curl, "parity": same}


def commit() -> str:
    """The commit that is checked out, with `+` when tracked files differ from it; empty outside a repository."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return ""
    dirty = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True).stdout.strip()
    return head.stdout.strip() + ("+" if dirty else "")
