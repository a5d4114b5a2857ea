"""`make up`, `make down`, `make ui`: the local servers, supervised."""

import sys
import time

from tasks import params as settings
from tasks.errors import AnnealError
from tasks.serve import probe, state, supervisor
from tasks.stage import guarded

PROGRAMS = {"prefect": "servers.prefect_port", "mlflow": "servers.mlflow_port"}


def up() -> None:
    """Start Prefect, MLflow and, once something has been deployed, the model; return when they answer."""
    params = settings.load()
    ports = {"prefect": params.servers.prefect_port, "mlflow": params.servers.mlflow_port}
    for program, setting in PROGRAMS.items():
        supervisor.refuse_taken_port(ports[program], program, setting)
    supervisor.refuse_taken_port(params.deploy.port, "vllm", "deploy.port")
    supervisor.ensure(params.servers)
    for program in PROGRAMS:
        supervisor.start(program)
    deployed = state.read()
    if deployed:
        supervisor.start("vllm")
    for program, address in (("prefect", f"http://127.0.0.1:{ports['prefect']}/api/health"), ("mlflow", f"http://127.0.0.1:{ports['mlflow']}/health")):
        _wait(program, address)
    if deployed:
        probe.wait_until_healthy(deployed.url, "vllm", params.deploy.startup_timeout)
    ui()


def down() -> None:
    """Stop what `make up` and `make pipeline` started in this checkout, and nothing else."""
    was_up = supervisor.is_up()
    supervisor.shut_down()
    print("stopped" if was_up else "nothing was running")


def ui() -> None:
    """Print each server with its state and address."""
    params = settings.load()
    deployed = state.read()
    places = {
        "prefect": f"http://127.0.0.1:{params.servers.prefect_port}",
        "mlflow": f"http://127.0.0.1:{params.servers.mlflow_port}",
        "vllm": f"{deployed.url} ({', '.join([*deployed.adapters, *deployed.merged])})" if deployed else "nothing is deployed yet (`make pipeline`)",
    }
    for program, place in places.items():
        print(f"{program:<8} {supervisor.status(program).lower():<8} {place}")


def _wait(program: str, address: str, seconds: float = 180) -> None:
    import httpx

    end = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            if supervisor.status(program) in ("FATAL", "EXITED") or time.monotonic() > end:
                raise AnnealError(f"{program} did not start ({supervisor.last_words(program)}); see .anneal/logs/{program}.log.") from None
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(guarded({"up": up, "down": down, "ui": ui}[sys.argv[1]]))
