"""`make drift-demo`: the whole loop in a copy of the project: traffic, a real shift, detection, retraining, gate,
canary, promotion.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import httpx

from flows import demo_preferences
from flows.demo_copy import HOME, environment, make
from tasks import paths
from tasks import stage as edge
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.retrain import lineage

Ticket = dict[str, str]  # {column: text}

TASK = "triage"
SEED = 7
# Tickets before and after the launch of the new product; of the latter those that people label.
NORMAL, SHIFTED, LABELLED = 80, 120, 110
PATIENCE = 1800.0  # seconds for the canary's traffic


def run(prefers: bool = False) -> None:
    """Play the demo to its end and leave its servers up; AnnealError if a step has an unexpected result. If it
    `prefers`, the retraining goes on to learn the pairs that the corrections make.
    """
    if not paths.adapter(TASK).exists():
        raise AnnealError(
            "the demo starts from the model of `make pipeline`, and there is none yet: run `make pipeline "
            f"MODEL={TASK}` first."
        )
    started = time.monotonic()
    demo = Demo(make(TASK, prefers))
    demo.say("a copy of the project", f"{HOME}/ with its own ports, registry and records; nothing of yours is touched")
    demo.python("servers", "tasks.serve.local", "up")
    demo.python("champion", "flows.pipeline", TASK)
    held_out, current, labels = _tickets(demo.folder)
    demo.open_gateway()
    demo.send("normal traffic: held-out tickets", held_out)
    demo.check(expect_alarm=False)
    demo.send("a new product is launched: the tickets change", current[:SHIFTED])
    demo.check(expect_alarm=True)
    demo.label(labels)
    if prefers:
        demo.rate(labels)
    demo.python("retraining", "flows.retrain", TASK)
    if prefers:
        demo.show_preferences()
    demo.canary(current[SHIFTED:], held_out)
    demo.check(expect_alarm=False)
    demo.python("decisions", "tasks.retrain.show_decisions", TASK)
    demo.say("done", f"in {(time.monotonic() - started) / 60:.0f} minutes; the servers stay up until `make down`")
    demo.python("where to look", "tasks.serve.local", "ui")


def _tickets(folder: Path) -> tuple[list[Ticket], list[Ticket], dict[str, Ticket]]:
    """Return (held-out tickets, tickets about the new product, their right answers by id), shuffled by the seed."""
    prepared = folder / paths.prepared("support_tickets")
    columns = read_json(prepared / "format.json")["answer"]
    held_out = [row["row"] for name in ("test", "validation") for row in read_jsonl(prepared / f"{name}.jsonl")]
    current = read_jsonl(folder / "data/demo/current_tickets.jsonl")
    for rows in (held_out, current):
        random.Random(SEED).shuffle(rows)
    return held_out[:NORMAL], current, {row["id"]: {column: row[column] for column in columns} for row in current}


class Reply(TypedDict):
    """The gateway's answer to a ticket."""

    request_id: str
    version: str
    valid: bool
    result: dict[str, str]


class Demo:
    """The copy of the project in `folder`, the client that asks its gateway, and the clock of the story."""

    def __init__(self, folder: Path) -> None:
        from rich.console import Console

        self.folder, self.console, self.started = folder, Console(highlight=False, soft_wrap=True), time.monotonic()
        self.request_of: dict[str, str] = {}  # ticket: request
        self.category_of: dict[str, str] = {}  # ticket: category that was answered
        self.client: httpx.Client

    def say(self, title: str, words: str = "") -> None:
        """Print a heading with the time passed."""
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        self.console.print(f"\n[bold]{minutes:02}:{seconds:02}  {title}[/bold]  {words}")

    def python(self, title: str, *words: str) -> None:
        """Run `python -m words…` in the copy, its output shown; AnnealError if it fails."""
        self.say(title, "python -m " + " ".join(words))
        if subprocess.run([sys.executable, "-m", *words], cwd=self.folder, env=environment()).returncode:
            raise AnnealError(f"the demo stopped at {title}; its logs are in {HOME}/.anneal/logs/.")

    def open_gateway(self) -> None:
        """Make a key and wait until the gateway has a champion behind it."""
        from tasks import params as settings
        from tasks.serve.gateway import keys
        from tasks.serve.reconcile.gateway import address

        gateway = settings.load(self.folder / "params.yaml").gateway
        key = keys.create("demo", admin=True, path=self.folder / keys.STORE)
        url = address(gateway)
        self.client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=gateway.timeout)
        end = time.monotonic() + 120
        while self.client.get("/ready").status_code != 200:
            if time.monotonic() > end:
                raise AnnealError(f"the gateway at {url} is not ready: {self.client.get('/ready').text[:200]}")
            time.sleep(0.5)
        self.say("the gateway is open", f"{url}/dashboard#1h   key for its buttons: {key}")

    def send(self, title: str, tickets: list[Ticket]) -> None:
        """Send each ticket to the task, eight at a time, and print how often the category was right."""
        from concurrent.futures import ThreadPoolExecutor

        from rich.progress import track

        self.say(title, f"{len(tickets)} requests")
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                track(pool.map(self.ask, tickets), description="asking", total=len(tickets), console=self.console)
            )
        valid = [answer for answer in answers if answer["valid"]]
        right = sum(
            answer["result"]["category"] == ticket["category"]
            for ticket, answer in zip(tickets, answers, strict=True)
            if answer["valid"]
        )
        served = sorted({answer["version"] for answer in answers})
        self.console.print(
            f"answered by version {', '.join(served)}: {len(valid)} of {len(answers)} valid, category right in "
            f"{right / len(answers):.0%}"
        )

    def ask(self, ticket: Ticket) -> Reply:
        """The gateway's answer to one ticket."""
        reply = self.client.post(
            f"/tasks/{TASK}", json={"input": {"subject": ticket["subject"], "body": ticket["body"]}}
        )
        if reply.status_code != 200:
            raise AnnealError(f"the gateway answered {reply.status_code} to ticket {ticket['id']}: {reply.text[:200]}")
        answer: Reply = reply.json()
        self.request_of[ticket["id"]] = answer["request_id"]
        self.category_of[ticket["id"]] = answer["result"]["category"] if answer["valid"] else ""
        return answer

    def check(self, expect_alarm: bool) -> None:
        """Run the monitor and print the result; AnnealError if it is not as expected."""
        time.sleep(2)  # the records are written after the answers
        self.python("monitor", "flows.monitor", TASK)
        newest = self.rows("checks")[-1]
        self.console.print(
            f"[bold]{'ALARM' if newest['alarm'] else 'no alarm'}[/bold]  report: {HOME / newest['report']}"
        )
        if bool(newest["alarm"]) != expect_alarm:
            raise AnnealError(
                f"the demo expected {'an' if expect_alarm else 'no'} alarm here; the report says what was seen: "
                f"{newest['report']}."
            )

    def label(self, labels: dict[str, Ticket]) -> None:
        """Send the right answers to some of the requests as feedback: late labels."""
        chosen = [ticket for ticket in self.request_of if ticket in labels][:LABELLED]
        self.say("labels arrive late", f"{len(chosen)} corrected answers as feedback")
        for ticket in chosen:
            self.client.post(
                "/feedback", json={"request_id": self.request_of[ticket], "correction": labels[ticket]}
            ).raise_for_status()
        self.python("monitor, with labels", "flows.monitor", TASK)

    def rate(self, labels: dict[str, Ticket]) -> None:
        """Send a thumb for the requests that nobody labelled: up if the category was right."""
        chosen = [ticket for ticket in self.request_of if ticket in labels][LABELLED:]
        self.say("thumbs", f"{len(chosen)} answers are rated: rows for kto, and never labels")
        for ticket in chosen:
            is_right = self.category_of[ticket] == labels[ticket]["category"]
            rating = {"request_id": self.request_of[ticket], "thumb": "up" if is_right else "down"}
            self.client.post("/feedback", json=rating).raise_for_status()

    def show_preferences(self) -> None:
        """Print how many pairs there were, one of them, and what the model that learnt them is; AnnealError if none
        was trained.
        """
        files = sorted((self.folder / lineage.pairs_folder(TASK)).glob("*.jsonl"))
        summary = self.folder / paths.summary(demo_preferences.MODEL)
        if not files or not summary.exists():
            raise AnnealError("no model learnt from pairs: the lines of the retraining above say what was missing.")
        pairs = [row for file in files for row in read_jsonl(file)]
        self.say("preferences", f"{len(pairs)} pairs, learnt by {demo_preferences.MODEL} after {TASK}; one of them:")
        for side in ("rejected", "chosen"):
            self.console.print(f"{side}: {pairs[0][side][-1]['content']}", markup=False)
        gate = read_json(summary)["gate"]
        self.console.print("\n".join(check["words"] for check in gate["checks"]), markup=False)

    def canary(self, fresh: list[Ticket], old: list[Ticket]) -> None:
        """Send traffic until the reconciler has promoted the challenger or rolled it back."""
        traffic = self._endless([*fresh, *old])
        end = time.monotonic() + PATIENCE
        while not (
            closed := [row for row in self.rows("decisions") if row["kind"] == "canary" and row["verdict"] != "opened"]
        ):
            if time.monotonic() > end:
                raise AnnealError("the canary reached no verdict; `make decisions` and the reconciler's log say why.")
            self.send("canary: both versions answer", [next(traffic) for _ in range(24)])
            time.sleep(2)
        self.say(f"canary: {closed[-1]['verdict']}", "; ".join(closed[-1]["reasons"]))
        if closed[-1]["verdict"] != "promoted":
            raise AnnealError("the challenger was not promoted; the reasons are above.")

    def rows(self, table: str) -> list[dict[str, Any]]:  # the columns depend on the table
        """Return all rows of a table of the records, oldest first."""
        from sqlalchemy import select

        from tasks.records import database

        engine = database.connect(f"sqlite:///{self.folder / database.STORE}")
        with engine.connect() as connection:
            columns = database.metadata.tables[table]
            rows = [dict(row._mapping) for row in connection.execute(select(columns).order_by(columns.c.id))]
        engine.dispose()
        return rows

    @staticmethod
    def _endless(tickets: list[Ticket]) -> Iterator[Ticket]:
        while True:
            yield from tickets


if __name__ == "__main__":
    sys.exit(edge.guarded(lambda: run("preferences" in sys.argv[1:])))
