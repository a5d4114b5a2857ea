"""What a served project says and answers, the traffic on it, and the processes behind it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil


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
