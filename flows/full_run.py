"""A whole run of `make pipeline`: the checks before any work, the flow run, and whether the next run will find nothing
to do.
"""

from collections.abc import Callable, Mapping

from flows import dag, dag_lock, fingerprint, pipeline_flow, prefect_server, up_to_date
from flows.fingerprint import RunScope
from flows.screen import Screen
from flows.steps import Steps
from tasks.errors import AnnealError, NotPromoted
from tasks.files import read_json
from tasks.params import Params
from tasks.preflight import checks
from tasks.serve import ports, routes, slots
from tasks.serve.reconcile import gateway
from tasks.serve.reconcile.gateway import Presence
from tasks.steps import snapshot
from tasks.steps.change_form import due
from tasks.steps.deploy import is_available
from tasks.steps.report import summary
from tasks.versions import alias_moves, promotion, registry, tracking
from tasks.versions.promotion import Reason
from tasks.versions.registry import Model, Version
from tasks.versions.registry_reading import Unreadable


def checked(model: str, say: Callable[[str], None]) -> Params:
    """Do all checks before any stage, and write what params.yaml leaves out; return the params."""
    params = checks.ready(model, say)
    dag_lock.check()
    for name in checks.datasets_of(params, model):
        if params.datasets[name].snapshot:
            dag.keep(snapshot.place(name))
    tracking.check()
    return params


def ready(model: str, say: Callable[[str], None]) -> Steps:
    """Do all checks before a whole run, also that the server's port is free; return its steps."""
    params = checked(model, say)
    ports.refuse_taken_port(params.deploy.port, "vllm-a", "deploy.port")
    return Steps(params, model)


def run(steps: Steps, screen: Screen) -> None:
    """Run the flow of a model, and keep what the next run compares with; NotPromoted if the gate refuses."""
    model = steps.name
    up_to_date.forget(model)
    every, pending = dag.stages(f"package@{model}"), dag.pending(f"package@{model}")
    screen.expect(pending, [f"{step}@{model}" for step in pipeline_flow.STEPS], len(every) - len(pending))
    if prefect_server.choose(steps.params.servers) is None:
        screen.note("no Prefect server is running (`make up` starts one); this run uses an ephemeral one")
    screen.begin("starting Prefect")
    try:
        pipeline_flow.run(steps, screen)
    except NotPromoted:
        _remember(steps, screen)
        raise
    _remember(steps, screen)


def _remember(steps: Steps, screen: Screen) -> None:
    """Keep what a run reads, if one that began now would do nothing; else the next run checks everything."""
    params, model = steps.params, steps.name
    screen.begin("looking whether anything is left to do")
    if any(params.datasets[name].snapshot for name in checks.datasets_of(params, model)):
        return  # every run fetches its source
    scope = RunScope(model, tuple(params.models), params.gateway.host, params.gateway.port)
    remarks: list[str] = []
    try:
        before = fingerprint.read(scope)
        if checks.ready(model, remarks.append) != params or not is_done(Steps(params, model)):
            return
        if fingerprint.read(scope) == before:
            stages = tuple(entry["name"] for entry in steps.done)
            listening = params.deploy.port, params.servers.prefect_port
            up_to_date.remember(up_to_date.LastRun(scope, before, stages, tuple(remarks), *listening))
    except (AnnealError, Unreadable, OSError) as error:
        print(f"the next run looks for itself whether there is something to do ({error})", flush=True)


def is_done(steps: Steps) -> bool:
    """True if no step has anything to do: the registry has the artifact with its verdict, and if it may be served, it
    is the champion or has an open canary, and is served as params.yaml says. Changes nothing.

    A champion is not compared with itself: the registry and the page keep the reasons of its promotion.
    """
    steps.gate()
    artifact = read_json(steps.adapter / "artifact.json")["artifact_sha256"]
    models = registry.read_all(steps.params.models)
    model = models.get(steps.task, Model(steps.task))
    version = model.of_artifact(artifact)
    if version is None or alias_moves.unfinished(model):
        return False
    is_champion = model.aliases.get("champion") == version.version
    steps.version, steps.held_back = version, steps.verdict.passed and "rolled_back" in version.tags
    ignored = {"gate_reasons"} if is_champion else set()
    if any(version.tags.get(name) != value for name, value in steps.tags(version).items() if name not in ignored):
        return False
    current, kept = summary.lasting(steps.summarise()), summary.lasting(summary.read(steps.name))
    if {**current, "gate": kept["gate"]} != kept or (not is_champion and current != kept):
        return False
    if not steps.verdict.passed or steps.held_back:
        return True
    return (_is_served if is_champion else _is_on_trial)(steps, models, version)


def _is_served(steps: Steps, models: Mapping[str, Model], champion: Version) -> bool:
    """True if deploy and release have nothing to do for the champion."""
    target = routes.read().tasks.get(steps.task, routes.Task()).targets.get("champion")
    return (
        promotion.plan(models[steps.task], champion, Reason("promote", ())) is None
        and is_available(champion, steps.params.deploy, models)
        and not due(steps.params, models)
        and target is not None
        and target.version == champion.version
    )


def _is_on_trial(steps: Steps, models: Mapping[str, Model], version: Version) -> bool:
    """True if deploy and release have nothing to do for a version with an open canary: it and the champion answer, and
    share the traffic as the registry says. The reconciler decides the rest.
    """
    model, task = models[steps.task], routes.read().tasks.get(steps.task, routes.Task())
    routed, aliases = {alias: target.version for alias, target in task.targets.items()}, model.aliases
    return (
        [other.version for other in model.versions.values() if other.canary] == [version.version]
        and aliases.get("challenger") == version.version
        and "champion" in aliases
        and all(routed.get(alias) == aliases[alias] for alias in ("champion", "challenger"))
        and (task.canary, task.share, task.since) == (version.canary, version.canary_share, version.canary_since)
        and all(_answers(task.targets[alias]) for alias in ("champion", "challenger"))
        and is_available(version, steps.params.deploy, models)
        and not due(steps.params, models)
        and gateway.presence(steps.params.gateway) in (Presence.ANSWERS, Presence.ELSEWHERE)
    )


def _answers(target: routes.Target) -> bool:
    """True if the server that the table names for a version is up and has it."""
    return any(slot.url == target.url and slot.healthy and target.model in slot.names for slot in slots.look())
