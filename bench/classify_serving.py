"""Texts a second of Anneal's server beside a plain transformers text-classification pipeline behind HTTP: same weights,
same texts, same clients, each of which waits for its answer before it asks again.

`.venv/bin/python bench/classify_serving.py ROW [--clients 16] [--texts 1000] [--pooling]` after `make pipeline` of a
row that tells classes; the last line is JSON. The pipeline is served as transformers' guide does it (one model, one
request at a time), and, without HTTP, is also given all texts at once in batches of 1, 8, 16 and 32. Its head has the
same classes and weights of chance, which cost the same time. With `--pooling` the same classifier is also served by
vLLM, as `deploy.serve: pooling` has it. On a machine that does other work as well, compare by the second of CPU.
"""

import argparse
import asyncio
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

STARTED: list[float] = []  # seconds of CPU that each server's start took
BATCHES = (1, 8, 16, 32)
WARM_UP = 64  # texts that are not counted
PATIENCE = 600  # seconds for a server to start; vLLM needs longest


def main() -> None:
    """Measure both, one after the other, twice, and keep the better of each."""
    options = arguments()
    if options.rival:
        return serve_rival(options.rival, options.port)
    from tasks.files import read_jsonl
    from tasks.params import load

    weights = Path(f"models/{load().models[options.row].parent}/weights").resolve()
    trained = Path(f"models/{options.row}/trained").resolve()
    rows = read_jsonl(Path(f"reports/{options.row}/predict/predictions.jsonl"))
    texts = [row["messages"][-1]["content"] for row in rows]
    texts = (texts * (options.texts // len(texts) + 1))[: options.texts]
    with tempfile.TemporaryDirectory() as made:
        write_rival(weights, len(next(iter(rows[0]["probabilities"].values()))), Path(made))
        own = ["-m", "tasks.serve.transformers", "--model", str(weights), "--adapter", f"m={trained}"]
        other = [__file__, "--rival", made]
        servers = {"anneal": own, "pipeline": other}
        if options.pooling:
            servers["pooling"] = ["-m", "tasks.serve.pooling", "--name", "m", "--model", pooled_in(weights, trained)]
        figures: dict[str, list[float]] = {name: [] for name in servers}
        of_cpu: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(2):
            for name, words in servers.items():
                with started(words) as port:
                    figures[name].append(pace(port, texts, options.clients))
                    of_cpu[name].append((len(texts) + WARM_UP) / processor_seconds())
        alone = {size: in_process(Path(made), texts, size) for size in BATCHES}
    tell(options, len(texts), figures, of_cpu, alone)


def tell(
    options: argparse.Namespace,
    texts: int,
    figures: dict[str, list[float]],
    of_cpu: dict[str, list[float]],
    alone: dict[int, float],
) -> None:
    """The line of JSON."""
    best = {name: max(values) for name, values in figures.items()}
    print(
        json.dumps(
            {
                "texts": texts,
                "clients": options.clients,
                "texts_per_second": {name: round(value, 1) for name, value in best.items()},
                "texts_for_a_second_of_cpu": {name: round(max(values), 1) for name, values in of_cpu.items()},
                "times_as_fast": round(best["anneal"] / best["pipeline"], 2),
                "pipeline_without_http_by_batch_size": {size: round(value, 1) for size, value in alone.items()},
            }
        )
    )


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", nargs="?")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--pooling", action="store_true")
    parser.add_argument("--rival", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if not options.row and not options.rival:
        parser.error("which row of `models`?")
    return options


def pooled_in(weights: Path, trained: Path) -> str:
    """A folder with the same classifier as vLLM's pooling takes it."""
    from tasks.models import pooled

    folder = Path(tempfile.mkdtemp())
    pooled.write(weights, trained, folder)
    return str(folder)


def write_rival(weights: Path, classes: int, out: Path) -> None:
    """The same body under transformers' own head, with its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoModelForSequenceClassification.from_pretrained(weights, num_labels=classes).save_pretrained(out)
    AutoTokenizer.from_pretrained(weights).save_pretrained(out)


def serve_rival(folder: Path, port: int) -> None:
    """https://huggingface.co/docs/transformers/pipeline_webserver, its queue a lock."""
    import uvicorn
    from fastapi import FastAPI

    ask, turn, app = pipeline(folder), asyncio.Lock(), FastAPI()

    @app.get("/health")
    async def health() -> dict:
        return {}

    @app.post("/classify")
    async def classify(body: dict) -> list:
        async with turn:
            return await asyncio.to_thread(ask, body["input"])

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def pipeline(folder: Path) -> object:
    """transformers' text-classification, with all classes as Anneal answers them."""
    import transformers

    from tasks.device import device

    return transformers.pipeline("text-classification", model=str(folder), top_k=None, device=device())


def in_process(folder: Path, texts: list[str], batch_size: int) -> float:
    """Texts a second of the pipeline alone."""
    ask = pipeline(folder)
    ask(texts[:WARM_UP], batch_size=batch_size, truncation=True)
    began = time.perf_counter()
    ask(texts, batch_size=batch_size, truncation=True)
    return len(texts) / (time.perf_counter() - began)


@contextmanager
def started(words: list[str]) -> Iterator[int]:
    """A server in a process of its own; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, *words, "--port", str(port)])
    try:
        end = time.monotonic() + PATIENCE
        while not answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{words} did not start")
            time.sleep(0.2)
        STARTED.append(_of_servers())
        yield port
    finally:
        process.terminate()
        process.wait()


def processor_seconds() -> float:
    """What the server that runs has computed for its answers: all but what its start took, which `started` notes."""
    return _of_servers() - STARTED[-1]


def _of_servers() -> float:
    import psutil

    return sum(sum(each.cpu_times()[:2]) for each in psutil.Process().children(recursive=True))


def answers(port: int) -> bool:
    """Whether a server says that it is healthy."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def pace(port: int, texts: list[str], clients: int) -> float:
    """Texts a second, after a warm-up."""
    ask(port, texts[:WARM_UP])
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda first: ask(port, texts[first::clients]), range(clients)))
    return len(texts) / (time.perf_counter() - began)


def ask(port: int, texts: list[str]) -> None:
    """One client: one text after another, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for text in texts:
        body = json.dumps({"model": "m", "input": text})
        connection.request("POST", "/classify", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {content[:200]!r}")


if __name__ == "__main__":
    main()
