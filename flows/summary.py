"""Makes the summary of a run, which the terminal and the page show, from the outputs of its stages and steps."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from flows import fingerprint
from tasks import paths
from tasks.comparison import contestants
from tasks.comparison.paces import cascade_reports, paces
from tasks.comparison.worth import Worth, worth
from tasks.dataset import answered
from tasks.dialogues.special import USUAL
from tasks.files import read_json
from tasks.models import labeller
from tasks.params import Params
from tasks.serve import routes, verify
from tasks.serve.reconcile import gateway
from tasks.stages.evaluate.paired import Leads
from tasks.steps.deploy import parity_file
from tasks.steps.gate import GateVerdict
from tasks.steps.report.summary import (
    CascadeFacts,
    CheckFacts,
    Endpoint,
    Evaluation,
    GateFacts,
    Origin,
    ParityFacts,
    Registered,
    StageRun,
    Summary,
)
from tasks.versions import registry, tracking
from tasks.versions.registry import Model, Version


@dataclass(frozen=True)
class Progress:
    """The progress of a run: its stages, the gate's verdict, the version and its release."""

    stages: Sequence[StageRun]
    verdict: GateVerdict
    version: Version | None
    held_back: bool
    released: Sequence[str]


def summarise(params: Params, name: str, progress: Progress) -> Summary:
    """Return the summary of a run on the model `name`."""
    reports, task = paths.reports(name), params.task(name)
    model = registry.read(task) if progress.version else Model(task)
    version = model.version(progress.version.version) if progress.version else None
    evaluation = _evaluation(params, name, reports)
    checks = [CheckFacts(held=check.held, words=check.words) for check in progress.verdict.checks]
    return Summary(
        model=name,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=fingerprint.commit() or None,
        origin=_origin(params, name),
        cascade=_cascade(params, name),
        stages=list(progress.stages),
        evaluation=evaluation,
        worth=_worth(paths.evaluation(reports) / "leads.json", evaluation),
        gate=GateFacts(passed=progress.verdict.passed, checks=checks, held_back=progress.held_back),
        registry=_registered(model, version) if version else None,
        is_on_trial=version is not None and bool(version.canary),
        release=list(progress.released),
        endpoint=_endpoint(name, task, version.version if version else ""),
        where=_where(params, name),
    )


def _evaluation(params: Params, name: str, reports: Path) -> Evaluation:
    evaluate, folders = paths.evaluation(reports), contestants.folders(reports)
    metrics = read_json(evaluate / "metrics.json")
    asked = {who: folders[who] for who in contestants.with_figures(metrics)}
    told = read_json(evaluate / "measures.json")
    more = {
        "intervals": read_json(evaluate / "intervals.json"),
        "measures": told["measures"],
        "seconds_per_answer": paces(asked, cascade_reports(params, name)),
    }
    return cast(Evaluation, {**metrics, **more, **({"code": told["code"]} if "code" in told else {})})


def _worth(leads: Path, evaluation: Evaluation) -> Worth | None:
    """Return whether tuning was worth it, on this machine."""
    if not leads.exists():
        return None
    return worth(cast(Leads, read_json(leads)), evaluation["seconds_per_answer"], os.cpu_count() or 1)


def _registered(model: Model, version: Version) -> Registered:
    aliases = [alias for alias, aliased in model.aliased.items() if aliased == version]
    return Registered(name=version.name, version=version.version, aliases=aliases)


def _origin(params: Params, name: str) -> Origin:
    model = params.models[name]
    objective, tuner = model.train.objective.kind, model.train.tuner.kind
    return Origin(parent=model.parent, dataset=model.dataset, objective=objective, tuner=tuner)


def _cascade(params: Params, name: str) -> CascadeFacts | None:
    """Return the model that predicts the first columns of the answers of `name`; None if one model makes all
    columns.
    """
    classifier, folder = params.labeller(name), paths.adapter(name) / labeller.FOLDER
    if classifier is None or not folder.exists():
        return None
    return CascadeFacts(model=classifier, columns=labeller.columns(folder))


def _where(params: Params, name: str) -> dict[str, str]:
    """Return the places where a person looks next."""
    dataset, address = params.main_dataset(name), gateway.address(params.gateway)
    served = {
        "gateway": f"{address}/v1 and {address}/tasks/{params.task(name)} (`make key NAME=…`)",
        "dashboard": f"{address}/dashboard",
    }
    mlflow = tracking.redacted(tracking.tracking_uri())
    return {
        "report": str(paths.page(name)),
        "card": str(paths.card(name)),
        "Data Docs": ", ".join(f"{paths.reports(dataset)}/{suite}/index.html" for suite in ("raw", "prepared")),
        "what is trained on": str(paths.reports(name) / "train" / "xray.html"),
        **(served if gateway.presence(params.gateway) is gateway.Presence.ANSWERS else {}),
        "MLflow": f"{mlflow} (`make up`: http://127.0.0.1:{params.servers.mlflow_port})",
        "Prefect": f"`make up`: http://127.0.0.1:{params.servers.prefect_port}",
    }


def _endpoint(name: str, task: str, version: str) -> Endpoint | None:
    """Return where `version` of `task` (or else the champion) answers, with a command to try it on a row that the
    model `name` was evaluated on; None if neither does.
    """
    targets = routes.read().tasks.get(task, routes.Task()).targets
    target = next((target for target in targets.values() if target.version == version), targets.get("champion"))
    if target is None:
        return None
    answers = contestants.folders(paths.reports(name))[contestants.TUNED]
    with (answers / answered.FILE).open(encoding="utf-8") as rows:
        example = json.loads(rows.readline())
    route, question = verify.question(USUAL, example)
    body = {"model": target.model, "temperature": 0, "max_tokens": 128, **question}
    curl = verify.line_to_try(f"{target.url}/{route}", body, example)
    parity = _parity(parity_file(target.artifact))
    return Endpoint(url=target.url, model=target.model, version=target.version, curl=curl, parity=parity)


def _parity(kept: Path) -> ParityFacts | None:
    if not kept.exists():
        return None
    parity = {key: value for key, value in read_json(kept).items() if key != "unforced" and value is not None}
    return cast(ParityFacts, parity) or None
