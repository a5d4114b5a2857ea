"""`make up`, `make down`, `make ui`: the local system, supervised."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tasks import params as settings
from tasks import timings
from tasks.errors import AnnealError
from tasks.serve import ports, routes, state, supervisor, verify
from tasks.serve.loopback import client
from tasks.serve.reconcile import gateway
from tasks.stage import guarded

ANSWER = ("gateway", "reconciler")  # they and the models are started first: clients wait for them
SHOW = ("prefect", "mlflow")  # at a low priority (tasks/serve/launch.py), for people to look at
SECONDS = 180  # until a server must answer; 2 cores that start everything at once are slow
EVERY = 10.0  # seconds between lines about what is still awaited


@dataclass(frozen=True)
class Awaited:
    """A server that was started: its name for people, the supervisor's `program`, a check whether it answers, and how
    long that may take.
    """

    name: str
    program: str
    answers: Callable[[], bool]
    seconds: float = SECONDS


def up() -> None:
    """Start all servers, and the model once something has been deployed; return when they answer."""
    params = settings.load()
    state.OLD.unlink(missing_ok=True)
    deployed = state.read_all()
    if not supervisor.is_up():  # a killed one leaves servers that hold the ports
        supervisor.end_left_behind()
    _refuse_taken_ports(params)
    supervisor.ensure(params.servers)
    models = [state.program(slot) for slot in deployed]
    for program in (*models, *ANSWER, *SHOW):
        supervisor.start(program)
    await_all(_first(params, deployed))
    supervisor.start("schedules")  # after Prefect, whose client it is
    last = [Awaited("schedules", "schedules", lambda: supervisor.status("schedules") == "RUNNING")]
    url = gateway.address(params.gateway)
    ready = (
        [Awaited("the gateway with its models", "gateway", lambda: _answers(f"{url}/ready"), 30)] if deployed else []
    )
    await_all([*ready, *last])
    ui()


def _first(params: settings.Params, deployed: dict[str, state.State]) -> list[Awaited]:
    """The servers that are started first."""
    patience = max(SECONDS, params.deploy.startup_timeout)  # of those that start behind the models
    url, loopback = gateway.address(params.gateway), "http://127.0.0.1"
    return [
        Awaited("gateway", "gateway", lambda: _answers(f"{url}/health")),
        *(
            Awaited(
                f"{program} ({', '.join([*server.adapters, *server.merged])})",
                program,
                partial(verify.is_healthy, server.url),
                params.deploy.startup_timeout,
            )
            for program, server in ((state.program(slot), server) for slot, server in deployed.items())
        ),
        Awaited("reconciler", "reconciler", lambda: supervisor.status("reconciler") == "RUNNING"),
        Awaited(
            "prefect", "prefect", lambda: _answers(f"{loopback}:{params.servers.prefect_port}/api/health"), patience
        ),
        Awaited("mlflow", "mlflow", lambda: _answers(f"{loopback}:{params.servers.mlflow_port}/health"), patience),
    ]


def down() -> None:
    """Stop what `make up` and `make pipeline` started in this checkout, and nothing else."""
    was_up = supervisor.is_up()
    supervisor.shut_down()
    print("stopped" if was_up else "nothing was running")


def ui() -> None:
    """Print each server with its state and address."""
    params = settings.load()
    url = gateway.address(params.gateway)
    served = {
        name: sorted({target.version for target in task.targets.values()}) for name, task in routes.read().tasks.items()
    }
    answers = (
        ", ".join(f"{name} (version {', '.join(versions)})" for name, versions in served.items())
        or "not ready yet: nothing is deployed (`make pipeline`)"
    )
    addresses = {
        "gateway": f"{url}/v1  answers for {answers}",
        "dashboard": f"{url}/dashboard",
        "prefect": f"http://127.0.0.1:{params.servers.prefect_port}",
        "mlflow": f"http://127.0.0.1:{params.servers.mlflow_port}",
        "reconciler": "follows the registry's aliases (.anneal/logs/reconciler.log)",
        "schedules": "monitor and retrain, in Prefect",
    }
    for slot, server in state.read_all().items():
        addresses[state.program(slot)] = f"{server.url}  {', '.join([*server.adapters, *server.merged])}"
    for program, address in addresses.items():
        print(
            f"{program:<10} {supervisor.status('gateway' if program == 'dashboard' else program).lower():<8} {address}"
        )


def _refuse_taken_ports(params: settings.Params) -> None:
    settings_of = {
        "prefect": (params.servers.prefect_port, "servers.prefect_port"),
        "mlflow": (params.servers.mlflow_port, "servers.mlflow_port"),
        "gateway": (params.gateway.port, "gateway.port"),
        **{state.program(slot): (state.port(slot, params.deploy), "deploy.port") for slot in state.SLOTS},
    }
    for program, (port, setting) in settings_of.items():
        ports.refuse_taken_port(port, program, setting)


def _answers(address: str) -> bool:
    import httpx

    try:
        return bool(client().get(address, timeout=2).status_code == 200)
    except httpx.HTTPError:
        return False


def await_all(servers: Sequence[Awaited]) -> None:
    """Wait until all `servers` answer, printing when each does and how long the rest will take; AnnealError with the
    last words of one that ends or takes too long.
    """
    started = shown = time.monotonic()
    known, waiting = timings.read(), list(servers)
    while waiting:
        for server in tuple(waiting):
            taken = time.monotonic() - started
            if server.answers():
                waiting.remove(server)
                timings.keep(_key(server), taken)
                print(f"{server.name} answers after {timings.measured_duration(taken)}", flush=True)
            elif supervisor.status(server.program) in supervisor.ENDED or taken > server.seconds:
                raise AnnealError(
                    f"{server.name} did not start within {timings.measured_duration(taken)} "
                    f"({supervisor.last_words(server.program)}); see .anneal/logs/{server.program}.log."
                )
        if waiting and time.monotonic() - shown >= EVERY:
            shown = time.monotonic()
            print(_awaiting(waiting, known, shown - started), flush=True)
        time.sleep(0.3 if waiting else 0)


def _awaiting(waiting: Sequence[Awaited], known: dict[str, float], elapsed: float) -> str:
    """The servers still awaited, and for how long if each has been started here before."""
    names = ", ".join(server.name for server in waiting)
    left = [known[_key(server)] - elapsed for server in waiting if _key(server) in known]
    when = (
        f", about {timings.estimated_duration(max(left))} left" if len(left) == len(waiting) and max(left) > 0 else ""
    )
    return f"{timings.measured_duration(elapsed)}: still starting{when}: {names}"


def _key(server: Awaited) -> str:
    return f"up {server.program}"


if __name__ == "__main__":
    sys.exit(guarded({"up": up, "down": down, "ui": ui}[sys.argv[1]]))
