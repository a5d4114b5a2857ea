"""Gathers the facts about a model from records, routing table, registry, harvested rows and the data on disk."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from tasks import paths
from tasks.dialogues.messages import Kind, kind_of
from tasks.files import read_json, sha256
from tasks.formats.answer import format_of
from tasks.params import Params
from tasks.retrain import chain, lineage, store
from tasks.retrain.facts import RetrainFacts
from tasks.retrain.invert import no_rows_of
from tasks.retrain.pause import is_paused
from tasks.retrain.thumbs import rated
from tasks.serve import routes
from tasks.stages.ingest import Ingest, source_files, version
from tasks.stages.prepare.rows import Templates


def gather(
    engine: Engine, params: Params, task: str, now: float, asked_by: str | None = None, running: bool = False
) -> RetrainFacts:
    """Return the facts about `task`, a row of models, at `now`."""
    dataset = params.main_dataset(task)
    ingest = params.datasets[dataset].ingest
    routed = routes.read().tasks.get(task, routes.Task())
    champion = champion_of(task, routed)
    past = store.past_retrainings(engine, task)
    facts = RetrainFacts(
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
        facts = replace(facts, alarm=alarm, figures=figures)
    row = params.datasets[dataset]
    why_useless = no_rows_of(row.prepare)
    useless = unharvested(engine, task, dataset) if why_useless else {}
    new = {} if why_useless else labelled(engine, task, dataset, row.templates)
    since = sum(at > past[0].started_at for at in new.values()) if past else len(new)
    unjudged = past and not past[0].is_judged
    return replace(
        _with_ratings(engine, params, facts),
        canary=routed.canary if "challenger" in routed.targets else "off",
        labelled=len(new),
        labelled_since=since,
        useless=len(useless),
        why_useless=why_useless if useless else "",
        data=data_version(ingest),
        data_known=past[0].data_known if unjudged else last_ingested(dataset),
        watched_since=store.watched_since(engine, task),
    )


def _with_ratings(engine: Engine, params: Params, facts: RetrainFacts) -> RetrainFacts:
    """Return `facts` with what people rated, if a model learns from that."""
    if not chain.learns_ratings(params, facts.task):
        return facts
    thumbs = [each.thumb for each in rated(engine, facts.task).values() if each.is_agreed]
    judged_at = next((each.started_at for each in facts.past if each.is_judged), 0.0)
    good, since = sum(each.thumb > 0 for each in thumbs), sum(each.at > judged_at for each in thumbs)
    return replace(facts, good=good, bad=len(thumbs) - good, rated_since=since, learns_ratings=True)


def labelled(engine: Engine, task: str, dataset: str, form: Templates) -> dict[str, float]:
    """Return, by request, the time of its newest correction, if no harvest has seen it and it may become a row."""
    if not format_of(form["answer"]).is_invertible:
        return {}
    return {
        request: correction.at
        for request, correction in unharvested(engine, task, dataset).items()
        if kind_of(correction.input, form, correction.path, correction.finish_reason) is Kind.TASK
    }


def unharvested(engine: Engine, task: str, dataset: str) -> dict[str, store.Correction]:
    """Return, by request, its newest correction, if no harvest has seen it."""
    done = lineage.harvested_requests(dataset)
    newest = store.newest_by_request(store.corrections(engine, task))
    return {request: correction for request, correction in newest.items() if request not in done}


def champion_of(task: str, routed: routes.Task) -> str | None:
    """Return the version that answers for `task`, or the registry's champion if nothing is routed."""
    if "champion" in routed.targets:
        return routed.targets["champion"].version
    from tasks.versions import registry

    return registry.read(task).aliases.get("champion")


def data_version(params: Ingest) -> str:
    """Return the version of the data as it is in the source now."""
    source = Path(params.source)
    return version([{"sha256": sha256(file)} for file in source_files(params, source)])


def last_ingested(dataset: str) -> str | None:
    """Return the version of the data that was ingested last; None if there is none."""
    manifest = paths.raw(dataset) / "manifest.json"
    return read_json(manifest)["sha256"] if manifest.exists() else None
