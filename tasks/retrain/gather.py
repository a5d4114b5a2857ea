"""Gathers the facts about a model: records, routing table, registry, harvested rows, the data on disk."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from tasks import paths
from tasks.dialogues.messages import Kind, kind_of
from tasks.files import read_json, sha256
from tasks.formats.answer import format_of
from tasks.params import Params
from tasks.retrain import lineage, store
from tasks.retrain.facts import RetrainFacts
from tasks.retrain.invert import no_rows_of
from tasks.retrain.pause import is_paused
from tasks.serve import routes
from tasks.stages.ingest import Ingest, sources, version
from tasks.stages.prepare.rows import Templates


def gather(
    engine: Engine, params: Params, task: str, now: float, asked_by: str | None = None, running: bool = False
) -> RetrainFacts:
    """Return the facts about `task`, a row of models, at `now`."""
    dataset = params.main_dataset(task)
    ingest = params.datasets[dataset].ingest
    routed = routes.read().tasks.get(task, routes.Task())
    champion = champion_of(task, routed)
    past = store.past(engine, task)
    known = RetrainFacts(
        task,
        champion,
        asked_by,
        is_paused(engine, task),
        running,
        past=past,
        hours_elsewhere=store.hours_elsewhere(engine, task, now),
    )
    if champion is not None:
        alarm, figures = store.newest_alarm(engine, task, champion), store.newest_figures(engine, task, champion)
        known = replace(known, alarm=alarm, figures=figures)
    row = params.datasets[dataset]
    why_useless = no_rows_of(row.prepare)
    useless = unseen(engine, task, dataset) if why_useless else {}
    new = {} if why_useless else labelled(engine, task, dataset, row.templates)
    since = sum(at > past[0].started_at for at in new.values()) if past else len(new)
    unjudged = past and not past[0].is_judged
    return replace(
        known,
        canary=routed.canary if "challenger" in routed.targets else "off",
        labelled=len(new),
        labelled_since=since,
        useless=len(useless),
        why_useless=why_useless if useless else "",
        data=data_version(ingest),
        data_known=past[0].data_known if unjudged else last_ingested(dataset),
        watched_since=store.watched_since(engine, task),
    )


def labelled(engine: Engine, task: str, dataset: str, form: Templates) -> dict[str, float]:
    """Request: time of its newest correction, of those that no harvest has seen and that a row might be made of."""
    if not format_of(form["answer"]).is_invertible:
        return {}
    return {
        request: correction.at
        for request, correction in unseen(engine, task, dataset).items()
        if kind_of(correction.input, form, correction.path, correction.finish_reason) is Kind.TASK
    }


def unseen(engine: Engine, task: str, dataset: str) -> dict[str, store.Correction]:
    """Request: its newest correction, of those that no harvest has seen."""
    done = lineage.consumed(dataset)
    counted = store.counted(store.corrections(engine, task))
    return {request: correction for request, correction in counted.items() if request not in done}


def champion_of(task: str, routed: routes.Task) -> str | None:
    """The version that answers for `task`, or, where nothing is routed, the registry's champion."""
    if "champion" in routed.targets:
        return routed.targets["champion"].version
    from tasks.versions import registry

    return registry.read(task).aliases.get("champion")


def data_version(params: Ingest) -> str:
    """The version of the data as it lies in the source."""
    source = Path(params.source)
    return version([{"sha256": sha256(file)} for file in sources(params, source)])


def last_ingested(dataset: str) -> str | None:
    """The version of the data that was ingested last, or None before that."""
    manifest = paths.raw(dataset) / "manifest.json"
    return read_json(manifest)["sha256"] if manifest.exists() else None
