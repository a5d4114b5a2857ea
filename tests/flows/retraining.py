"""A project that retrains: what it serves, what its pipeline leaves, and what people correct, ask for and are told."""

import time
from pathlib import Path

from sqlalchemy import select

from flows import retrain
from tasks.files import write_json
from tasks.records import database
from tasks.retrain import store
from tasks.serve import routes

PARAMS = """
bases: {m: {package: p, file: f, sha256: "%s", license: mit, card_name: m}}
datasets:
  tickets:
    ingest: {source: data/seed/tickets, columns: [text, kind]}
    validate: {}
    prepare: {shape: table, system: Sort., user: "{{ text }}", answer: [kind]}
models:
  sort:
    parent: m
    dataset: tickets
    train: {objective: {kind: sft}, tuner: {kind: lora}}
    predict: {}
    evaluate: {labels: [kind], texts: []}
    package: {title: t, datasets: [t]}
    gate: {}
retrain: {min_labelled: 2, cooldown: 24}
"""


def serve(version: str, canary: str = "off") -> None:
    """Route `version` of `sort`, with a canary or without, and of a task that params.yaml does not name."""
    target = routes.Target(version, "0", f"sort@{version}", "http://127.0.0.1:9/v1", "copy")
    targets = {"champion": target} | ({"challenger": target} if canary != "off" else {})
    routes.write(routes.Table(1, {"sort": routes.Task(targets, canary), "gone": routes.Task({"champion": target})}))


def finish(version: str, aliases: list[str], held_back: bool = False) -> None:
    """What a pipeline that made `version` leaves."""
    write_json(
        Path("reports/sort/summary.json"),
        {"gate": {"passed": True, "held_back": held_back}, "registry": {"version": version, "aliases": aliases}},
    )


def label(count: int, first: int = 0) -> None:
    """People correct some answers."""
    engine = database.connect()
    words = "one two three four five six seven eight".split()
    with engine.begin() as connection:
        for i in range(first, first + count):
            asked = {"text": f"{words[i] * 4} is what {words[-i]} asked about {i * 77777}"}
            connection.execute(
                database.requests.insert().values(
                    id=f"r{i}", at=time.time(), task="sort", status=200, input=asked, output="{}"
                )
            )
            connection.execute(
                database.feedback.insert().values(
                    at=time.time(), request_id=f"r{i}", key_id="k", correction={"kind": "ab"[i % 2]}
                )
            )
    engine.dispose()


def rows(table: str) -> list[dict]:
    """The rows of a table of the records, oldest first."""
    engine = database.connect()
    with engine.connect() as connection:
        wanted = database.metadata.tables[table]
        found = [dict(row._mapping) for row in connection.execute(select(wanted).order_by(wanted.c.id))]
    engine.dispose()
    return found


def command(action: str) -> None:
    """Somebody asks for `action`."""
    engine = database.connect()
    store.add_command(engine, "sort", action, "admin", time.time())
    engine.dispose()


def decide(said: list[str] | None = None) -> dict[str, str]:
    """{task: what came of it}; the lines that are printed go to `said`."""
    outcomes = retrain.decide(None, (said if said is not None else []).append, lambda engine, task: None)
    return {task: outcome.words for task, outcome in outcomes.items()}
