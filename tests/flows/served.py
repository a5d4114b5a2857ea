"""What a served project says and answers, the traffic on it, and the processes behind it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import httpx
import psutil

from tasks.serve import supervisor
from tests.flows import project


def summary(folder: Path, model: str = "things") -> dict:
    """The summary of the newest run."""
    return json.loads((folder / f"reports/{model}/summary.json").read_text())


def targets(folder: Path, model: str = "things") -> dict:
    """Alias: target, as routed."""
    return json.loads((folder / ".anneal/serving/routes.json").read_text())["tasks"][model]["targets"]


def ask(folder: Path, alias: str = "champion", **more: object) -> httpx.Response:
    """What the routed version answers to a test row; the table is read first, as the gateway does."""
    row = json.loads((folder / "data/prepared/toys/test.jsonl").read_text().splitlines()[0])
    target = targets(folder)[alias]
    body = {"model": target["model"], "messages": row["messages"], "temperature": 0, "max_tokens": 60, **more}
    return httpx.post(f"{target['url']}/chat/completions", json=body, timeout=120)


def answer(folder: Path, alias: str = "champion") -> dict:
    """The answer of the routed version to a test row, parsed."""
    return json.loads(ask(folder, alias).raise_for_status().json()["choices"][0]["message"]["content"])


@contextmanager
def traffic(folder: Path) -> Iterator[list[str]]:
    """A stream now and then, by two clients, while the block runs; yields what went wrong with any of them."""
    wrong, done, count = [], threading.Event(), []

    def client() -> None:
        while not done.is_set():
            try:
                text = ask(folder, stream=True, max_tokens=40, ignore_eos=True).raise_for_status().text
                count.append(text)
                if not text.rstrip().endswith("data: [DONE]"):
                    wrong.append(f"cut: {text[-80:]}")
            except (httpx.HTTPError, KeyError, ValueError) as error:
                wrong.append(repr(error))
            time.sleep(
                2
                # what is tested beside it needs the processor too: vLLM's processes spin for a second after an answer
            )

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(count) > 4


def start(folder: Path, *programs: str) -> None:
    """Let the supervisor that the pipeline has left start these of the servers of `make up`; return when they run."""
    with chdir(folder):
        for program in programs:
            supervisor.start(program)
        end = time.monotonic() + 120
        while not all(supervisor.status(program) == "RUNNING" for program in programs):
            assert time.monotonic() < end, f"{programs} do not run after 120 s"
            time.sleep(0.2)


@contextmanager
def in_production(folder: Path, model: str = "things") -> Iterator[Path]:
    """The project, whose pipeline has put the first version of `model` behind the gateway; stopped after the block."""
    try:
        project.run(folder, "flows.pipeline", model)
        start(folder, "gateway", "reconciler")
        yield folder
    finally:
        project.run(folder, "tasks.serve.local", "down")


def client_of(folder: Path) -> httpx.Client:
    """A client of the project's gateway, with a key of its own, once the gateway answers with its models."""
    key = project.run(folder, "tasks.serve.gateway.keys", "me").split()[-1]
    url, end = f"http://127.0.0.1:{project.ports(folder).gateway}", time.monotonic() + 60
    while not answers(f"{url}/ready"):
        assert time.monotonic() < end, "no gateway after 60 s"
        time.sleep(0.2)
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120)


def answers(url: str) -> bool:
    """Whether a server answers there, and says that all is well."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def promoted(
    folder: Path, ask: Callable[[], set[str]], model: str = "things", before: str = "1", seconds: float = 240
) -> None:
    """Ask until what is tried beside version `before` takes over; `ask` tells which versions answered. Both did."""
    end, versions = time.monotonic() + seconds, set()
    while targets(folder, model)["champion"]["version"] == before:
        assert time.monotonic() < end, project.run(folder, "tasks.retrain.show_decisions", model)
        versions |= ask()
    assert versions >= {before, targets(folder, model)["champion"]["version"]}
    assert targets(folder, model)["previous"]["version"] == before


def listeners(port: int) -> set[int]:
    """The processes that listen on `port`."""
    return {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }


def engines(folder: Path) -> set[int]:
    """The processes of this project's vLLM beside its API server."""
    return {
        process.pid
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["cwd"] == str(folder) and "VLLM" in (process.info["name"] or "")
    }


def sort(client: httpx.Client, row: dict) -> dict:
    """What the gateway answers to a row."""
    answered = client.post("/tasks/things", json={"input": {"thing": row["thing"], "size": row["size"]}})
    return answered.raise_for_status().json()


def correct(client: httpx.Client, row: dict) -> None:
    """Ask for a row and send its true answer as a correction."""
    correction = {column: row[column] for column in ("colour", "mood", "reply")}
    feedback = {"request_id": sort(client, row)["request_id"], "correction": correction}
    client.post("/feedback", json=feedback).raise_for_status()
