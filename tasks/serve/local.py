"""`make up`, `make down`, `make ui`: the local system, supervised."""

import sys
import time
from collections.abc import Callable

from tasks import params as settings
from tasks.errors import AnnealError
from tasks.serve import probe, routes, state, supervisor
from tasks.serve.loopback import client
from tasks.serve.reconcile import gateway
from tasks.stage import guarded

PROGRAMS = ("prefect", "mlflow", "gateway", "reconciler", "schedules")
SECONDS = 180  # until a server must answer; 2 cores that start everything at once are slow


def up() -> None:
    """Start all servers, and the model once something has been deployed; return when they answer."""
    params = settings.load()
    state.OLD.unlink(missing_ok=True)
    deployed = state.read_all()
    if not supervisor.is_up():  # one that was killed has left some that would hold the ports
        supervisor.end_left_behind()
    _refuse_taken_ports(params)
    supervisor.ensure(params.servers)
    for slot in deployed:
        supervisor.start(state.program(slot))
    for program in PROGRAMS:
        supervisor.start(program)
    door = gateway.address(params.gateway)
    addresses = {
        "prefect": f"http://127.0.0.1:{params.servers.prefect_port}/api/health",
        "mlflow": f"http://127.0.0.1:{params.servers.mlflow_port}/health",
        "gateway": f"{door}/health",
    }
    for program, address in addresses.items():
        _wait(program, lambda address=address: _answers(address), SECONDS)
    for program in ("reconciler", "schedules"):
        _wait(program, lambda program=program: supervisor.status(program) == "RUNNING", SECONDS)
    for slot, found in deployed.items():
        probe.wait_until_healthy(found.url, state.program(slot), params.deploy.startup_timeout)
    if deployed:
        _wait("gateway", lambda: _answers(f"{door}/ready"), 30)
    ui()


def down() -> None:
    """Stop what `make up` and `make pipeline` started in this checkout, and nothing else."""
    was_up = supervisor.is_up()
    supervisor.shut_down()
    print("stopped" if was_up else "nothing was running")


def ui() -> None:
    """Print each server with its state and address."""
    params = settings.load()
    door = gateway.address(params.gateway)
    served = {
        name: sorted({target.version for target in task.targets.values()}) for name, task in routes.read().tasks.items()
    }
    answers = (
        ", ".join(f"{name} (version {', '.join(versions)})" for name, versions in served.items())
        or "not ready yet: nothing is deployed (`make pipeline`)"
    )
    places = {
        "gateway": f"{door}/v1  answers for {answers}",
        "dashboard": f"{door}/dashboard",
        "prefect": f"http://127.0.0.1:{params.servers.prefect_port}",
        "mlflow": f"http://127.0.0.1:{params.servers.mlflow_port}",
        "reconciler": "follows the registry's aliases (.anneal/logs/reconciler.log)",
        "schedules": "monitor and retrain, in Prefect",
    }
    for slot, found in state.read_all().items():
        places[state.program(slot)] = f"{found.url}  {', '.join([*found.adapters, *found.merged])}"
    for program, place in places.items():
        print(f"{program:<10} {supervisor.status('gateway' if program == 'dashboard' else program).lower():<8} {place}")


def _refuse_taken_ports(params: settings.Params) -> None:
    ports = {
        "prefect": (params.servers.prefect_port, "servers.prefect_port"),
        "mlflow": (params.servers.mlflow_port, "servers.mlflow_port"),
        "gateway": (params.gateway.port, "gateway.port"),
        **{state.program(slot): (state.port(slot, params.deploy), "deploy.port") for slot in state.SLOTS},
    }
    for program, (port, setting) in ports.items():
        supervisor.refuse_taken_port(port, program, setting)


def _answers(address: str) -> bool:
    import httpx

    try:
        return client().get(address, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _wait(program: str, done: Callable[[], bool], seconds: float) -> None:
    """Return when `done`; AnnealError with the last words of `program` when it ends or the time is up."""
    started = shown = time.monotonic()
    while not done():
        now = time.monotonic()
        if supervisor.status(program) in ("FATAL", "EXITED") or now - started > seconds:
            raise AnnealError(
                f"{program} did not start ({supervisor.last_words(program)}); see .anneal/logs/{program}.log."
            )
        if now - shown > 15:
            shown = now
            print(f"{program} is starting: {now - started:.0f} s", flush=True)
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(guarded({"up": up, "down": down, "ui": ui}[sys.argv[1]]))
