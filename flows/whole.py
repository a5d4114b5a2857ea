"""A whole run of `make pipeline`: what can be refused is, then the flow run; and whether the next one will find nothing
to do.
"""

from flows import dag, flow, inputs, server, unchanged
from flows.inputs import Asked, lasting
from flows.steps import Steps
from tasks import registry, snapshot, tracking
from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.params import Params
from tasks.preflight import checks
from tasks.registry_reading import Unreadable
from tasks.serve import supervisor


def ready(model: str) -> Params:
    """What comes before any work: all that can be refused is, and what is left out in params.yaml is written there."""
    params = checks.ready(model, lambda line: print(line, flush=True))
    dag.check_lock()
    for name in checks.datasets_of(params, model):
        if params.datasets[name].snapshot:
            dag.keep(snapshot.place(name))
    tracking.check()
    supervisor.refuse_taken_port(params.deploy.port, "vllm-a", "deploy.port")
    return params


def run(params: Params, model: str) -> None:
    """The flow run of `model`, and what ends it on the screen; NotPromoted where the gate refuses."""
    unchanged.forget(model)
    if server.choose(params.servers) is None:
        print("no Prefect server is running (`make up` starts one); this run uses an ephemeral one", flush=True)
    steps = Steps(params, model)
    try:
        flow.run(steps)
    finally:
        _show(steps)
    _remember(steps)


def _show(steps: Steps) -> None:
    from flows.table import show

    show(steps.name, steps.done, steps.summary)


def _remember(steps: Steps) -> None:
    """Keep what a run reads, where one that began now would do nothing; else the next run looks for itself."""
    params, model = steps.params, steps.name
    if any(params.datasets[name].snapshot for name in checks.datasets_of(params, model)):
        return  # its source is asked by every run
    asked = Asked(model, tuple(params.models), params.gateway.host, params.gateway.port)
    remarks: list[str] = []
    try:
        before = inputs.read(asked)
        again = checks.ready(model, remarks.append)
        if inputs.read(asked) == before and again == params and _does_nothing(params, model):
            after = inputs.read(asked)
            if after == before:
                stages = tuple(entry["name"] for entry in steps.done)
                ports = params.deploy.port, params.servers.prefect_port
                unchanged.remember(unchanged.Remembered(asked, after, stages, tuple(remarks), *ports))
    except (AnnealError, Unreadable, OSError):
        return  # it is not known, so nothing is remembered


def _does_nothing(params: Params, model: str) -> bool:
    """Take all steps once more: whether none had anything to do, and the version of this run is the champion."""
    steps = Steps(params, model)
    steps.gate()
    if steps.register() or steps.version is None or not steps.verdict.passed or steps.held_back:
        return False
    if steps.deploy() or steps.release() or steps.moves:
        return False
    is_champion = registry.aliases(model).get("champion") == steps.version.version
    return is_champion and lasting(steps.facts()) == lasting(read_json(steps.reports / "summary.json"))
