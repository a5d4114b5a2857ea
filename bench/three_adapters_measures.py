"""What bench/three_adapters.py measures: one server with three adapters, and three with merged weights."""

import argparse
import os
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.three_adapters_project import BASE, TASKS
from bench.three_adapters_server import MIB, Ask, Server, Streamed, at_once, one_by_one, server
from tasks.dataset import answered, prepared
from tasks.files import read_json

LENGTH = 512  # tokens of prompt and answer that a server takes
Figures = dict[str, Any]
Questions = dict[str, list[dict[str, str]]]  # {task: messages}


def measure(options: argparse.Namespace) -> Figures:
    """The figures of both ways, and of the adapters themselves."""
    return {
        "tasks": {name: _quality(name) for name in TASKS},
        "one_server": one_server(options),
        "three_servers": three_servers(options),
        "clients": options.clients,
        "tokens_of_an_answer": options.tokens,
        "requests": options.requests,
        "cores": len(os.sched_getaffinity(0)),
    }


def one_server(options: argparse.Namespace) -> Figures:
    """One server of the base, into which the adapters are loaded while it runs."""
    from tasks.serve import slots

    asks, weights = requests(), Path(f"models/{BASE}/weights")
    with server("a", weights, {}, LENGTH) as running:
        urls = dict.fromkeys(TASKS, running.url)
        empty, loads = running.memory, []
        for name in TASKS:
            loads.append(_load(running.url, name, name, next(asks), options.tokens))
        agreement = {name: _agreement(running.url, name, options.checked) for name in TASKS}
        same, changing = _switches(urls, asks, options)
        figures = _load_test([running], urls, asks, options)
        reloads = []
        for number in range(options.reloads):  # under new names, as versions have them
            name = list(TASKS)[number % len(TASKS)]
            slots.unload(running.url, name if number < len(TASKS) else f"{name}-{number - 3}")
            reloads.append(_load(running.url, name, f"{name}-{number}", next(asks), options.tokens))
        return {
            "start_seconds": running.seconds,
            "load_seconds": [seconds for seconds, _ in loads],
            "first_token_after_load_seconds": [first for _, first in loads],
            "swap_seconds": middle(seconds + first for seconds, first in reloads),
            "first_token_same_adapter_seconds": same,
            "first_token_other_adapter_seconds": changing,
            "memory_mib_without_adapters": empty,
            "disk_mib": _size(weights) + sum(_size(Path(f"models/{name}/adapter")) for name in TASKS),
            "agreement": agreement,
            **figures,
        }


def three_servers(options: argparse.Namespace) -> Figures:
    """A server for the merged weights of each task, all running."""
    asks = requests()
    with ExitStack() as stack:
        running, firsts = {}, []
        for slot, name in zip("abc", TASKS, strict=True):
            weights = Path(f"models/{name}/weights")
            running[name] = stack.enter_context(server(slot, weights, {name: weights}, LENGTH))
            firsts.append(one_by_one([_ask(running[name].url, name, name, next(asks))], options.tokens)[0].first)
        urls = {name: each.url for name, each in running.items()}
        agreement = {name: _agreement(url, name, options.checked) for name, url in urls.items()}
        same, changing = _switches(urls, asks, options)
        starts = [each.seconds for each in running.values()]
        return {
            "start_seconds": sum(starts),
            "swap_seconds": middle(seconds + first for seconds, first in zip(starts, firsts, strict=True)),
            "first_token_same_model_seconds": same,
            "first_token_other_model_seconds": changing,
            "disk_mib": sum(_size(Path(f"models/{name}/weights")) for name in TASKS),
            "agreement": agreement,
            **_load_test(list(running.values()), urls, asks, options),
        }


def _load(url: str, name: str, served_as: str, questions: Questions, tokens: int) -> tuple[float, float]:
    """Seconds that loading an adapter takes, and those to the first token of the first answer by it."""
    from tasks.serve import slots

    began = time.perf_counter()
    slots.load(url, served_as, f"models/{name}/adapter")
    loaded = time.perf_counter() - began
    return loaded, one_by_one([_ask(url, name, served_as, questions)], tokens)[0].first


def requests() -> Iterator[Questions]:
    """Questions of each task, a new one each time; the same in the same order for every server."""
    rows = {name: prepared.rows_of(Path(f"data/prepared/{task.source}")) for name, task in TASKS.items()}
    for place in range(min(map(len, rows.values()))):
        yield {name: [{**message} for message in each[place]["messages"]] for name, each in rows.items()}
    raise SystemExit("there are not enough rows for so many requests: lower --requests or --reloads")


def _ask(url: str, name: str, served_as: str, questions: Questions) -> Ask:
    return Ask(url, served_as, questions[name])


def _mixed(urls: dict[str, str], asks: Iterator[Questions], count: int) -> list[Ask]:
    """Requests to one task after the other."""
    return [
        _ask(urls[name], name, name, questions)
        for questions in (next(asks) for _ in range(count // len(urls)))
        for name in urls
    ]


def _switches(urls: dict[str, str], asks: Iterator[Questions], options: argparse.Namespace) -> tuple[float, float]:
    """Median seconds to a first token for one client: requests sorted by task, and in turns; each kind without the
    first request to a task.
    """
    few = min(options.tokens, 8)  # what follows the first token does not matter here
    in_turns = one_by_one(_mixed(urls, asks, options.requests), few)
    by_task = sorted(_mixed(urls, asks, options.requests), key=lambda ask: list(urls).index(ask.model))
    in_blocks, block = one_by_one(by_task, few), options.requests // len(urls)
    repeated = [answer for place, answer in enumerate(in_blocks) if place % block]
    return middle(answer.first for answer in repeated), middle(answer.first for answer in in_turns[len(urls) :])


def _load_test(
    running: Sequence[Server], urls: dict[str, str], asks: Iterator[Questions], options: argparse.Namespace
) -> Figures:
    """Several clients, whose requests go to the tasks in turns."""
    answers, seconds = at_once(_mixed(urls, asks, options.requests), options.tokens, options.clients)
    return {
        "tokens_per_second": sum(answer.tokens for answer in answers) / seconds,
        **_first_tokens(answers),
        "memory_mib": sum(each.memory for each in running),
    }


def _first_tokens(answers: Sequence[Streamed]) -> Figures:
    firsts = sorted(answer.first for answer in answers)
    return {
        "first_token_under_load_seconds": middle(firsts),
        "first_token_under_load_seconds_p95": firsts[min(len(firsts) - 1, int(0.95 * len(firsts)))],
    }


def middle(seconds: Iterable[float]) -> float:
    """The median."""
    return statistics.median(seconds)


def _agreement(url: str, name: str, count: int) -> float:
    """The share of tokens on which the server agrees with transformers, in the first held-out answers of a task."""
    from tasks.serve import verify

    folder = Path(f"models/{name}/adapter")
    rows, _ = verify.answerable(folder, answered.read(Path(f"reports/{name}/predict")), count, LENGTH)
    return verify.check_parity(url, name, folder, rows, LENGTH, 0.9).share


def _quality(name: str) -> Figures:
    """What training made of an adapter, on rows that it has not seen."""
    metrics, form = read_json(Path(f"reports/{name}/evaluate/metrics.json")), TASKS[name].form
    figures: Figures = {
        "test_rows": metrics["rows"],
        "train_seconds": read_json(Path(f"reports/{name}/train/timing.json"))["seconds"],
        "adapter_mib": _size(Path(f"models/{name}/adapter")),
    }
    for who, folder in (("parent", "baseline"), ("tuned", "predict")):
        rows = answered.read(Path(f"reports/{name}/{folder}"))
        figures[who] = {"perplexity": metrics[who]["perplexity"]}
        if form:
            figures[who]["in_form"] = sum(bool(form.match(row["text"].strip())) for row in rows) / len(rows)
    return figures


def _size(folder: Path) -> float:
    """MiB of the weights in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / MIB
