"""Records as they are after a month of serving: two tasks, an open canary, a drift alarm, a rollback. The same seed,
the same rows.
"""

import json
import math
import random
from pathlib import Path

from sqlalchemy import Engine

from tasks.records import database
from tasks.serve.routes import Table, Target, Task

DAY = 86_400
SECRET = "Subject: my parcel 77 never came"  # stands for the text of a request, which the page must not show
ANSWER = {"category": "shipping", "intent": "late_parcel", "priority": "normal", "reply": "We look into it."}
NO = "no: nothing asks for it; 12 new labelled rows, 200 start one by themselves"
TOLD = [  # seconds ago, kind, verdict, reasons
    (9.2 * DAY, "gate", "passed", ["category_accuracy is 0.881, the champion's is 0.861 (p = 0.02)"]),
    (
        9 * DAY,
        "canary",
        "promoted",
        ["500 answers: version 3 is not worse than version 2 in errors, latency, validity or agreement"],
    ),
    (2.1 * DAY, "canary", "opened", ["version 4's forerunner gets 20 % of the traffic until 500 answers"]),
    (
        2 * DAY,
        "canary",
        "rolled_back",
        [
            "invalid answers: 14 of 61 on the canary, 3 of 244 on the champion; evidence 1 : 210 that it is "
            "worse, the threshold is 1 : 20"
        ],
    ),
    *((6 * 3600 - 900 * i, "retrain", "no", [NO]) for i in range(5)),
    (
        4.4 * 3600,
        "retrain",
        "yes",
        ["drift: text (1 : 40,000), 64 new labelled rows, the last one began 9 days ago"],
    ),
    (
        3.1 * 3600,
        "gate",
        "passed",
        ["valid is 0.991, the minimum is 0.98", "category_accuracy is 0.902, the champion's is 0.874 (p = 0.01)"],
    ),
    (
        3 * 3600,
        "canary",
        "opened",
        ["version 4 gets 20 % of the traffic until 500 answers; the reconciler promotes or rolls back"],
    ),
]


def table(now: float, folder: Path = Path("nowhere")) -> Table:
    """triage with a canary of version 4 beside version 3, refunds with one version."""
    versions = {"champion": "3", "challenger": "4", "previous": "2"}
    triage = {
        alias: Target(version, f"{version}5c0ffee" * 8, f"triage@{version}", "http://127.0.0.1:9/v1", str(folder))
        for alias, version in versions.items()
    }
    refunds = {"champion": Target("1", "ab12cd34" * 8, "refunds@1", "http://127.0.0.1:9/v1", str(folder))}
    return Table(41, {"triage": Task(triage, "share", 0.2, now - 3 * 3600), "refunds": Task(refunds)})


def fill(engine: Engine, now: float, count: int, seed: int = 0) -> None:
    """Write `count` requests of the last 30 days and what was checked, decided and asked for meanwhile."""
    draw = random.Random(seed)
    requests, feedback = [], []
    for i in range(count):
        row = _request(draw, i, now)
        requests.append(row)
        if row["task"] == "triage" and row["status"] == 200 and draw.random() < 0.15:
            good = draw.random() < (0.93 if now - row["at"] > 2 * DAY else 0.78)
            word = (
                {"thumb": 1 if good else -1, "correction": None}
                if draw.random() < 0.5
                else {"thumb": None, "correction": ANSWER if good else {**ANSWER, "category": "billing"}}
            )
            feedback.append({"at": row["at"] + 60, "request_id": row["id"], "key_id": "k1", **word})
    with engine.begin() as connection:
        connection.execute(database.requests.insert(), requests)
        if feedback:
            connection.execute(database.feedback.insert(), feedback)
        connection.execute(database.checks.insert(), _checks(draw, now))
        connection.execute(database.decisions.insert(), _decisions(now))
        connection.execute(database.retrainings.insert(), _retrainings(now))
        connection.execute(
            database.commands.insert(),
            [
                {
                    "at": now - 2 * DAY,
                    "task": "triage",
                    "action": "rollback",
                    "key_id": "k9",
                    "done_at": now - 2 * DAY + 1,
                    "state": "done",
                    "result": "version 3 answers again",
                }
            ],
        )


def _request(draw: random.Random, i: int, now: float) -> dict:
    back = 30 * DAY * draw.random() ** 2 * (1 + 0.1 * math.sin(i))
    task = "triage" if draw.random() < 0.8 else "refunds"
    version, role = (
        ("3" if back < 9 * DAY else "2" if back < 20 * DAY else "1", "champion")
        if task == "triage"
        else ("1", "champion")
    )
    if task == "triage" and back < 3 * 3600 and draw.random() < 0.2:
        version, role = "4", "canary"
    failed = draw.random() < (0.02 if 40_000 < back < 46_000 else 0.002)
    valid = None if failed else draw.random() < (0.97 if version == "3" else 0.99)
    latency = draw.lognormvariate(-0.7 if version != "4" else -0.9, 0.45)
    texts = {"input": {"body": SECRET}, "output": json.dumps(ANSWER)}
    known = {
        "id": f"req-{i:07d}",
        "at": now - back,
        "task": task,
        "version": version,
        "role": role,
        "key_id": "k1",
        "path": f"/tasks/{task}",
    }
    return {
        **known,
        "status": 503 if failed else 200,
        "error": "backend" if failed else None,
        "latency": latency,
        "valid": valid,
        **texts,
    }


def _checks(draw: random.Random, now: float) -> list[dict]:
    rows = []
    wealth = dict.fromkeys(("text", "length", "language", "vocabulary", "category", "priority", "valid", "errors"), 0.0)
    for hour in range(24 * 30, -1, -1):
        at = now - hour * 3600 - 600
        for what in wealth:
            drifts = hour < 30 and what in ("text", "vocabulary", "category")
            wealth[what] = max(
                -1.6,
                wealth[what] * 0.98
                + draw.gauss({"text": 0.26, "vocabulary": 0.17, "category": 0.09}[what] if drifts else -0.02, 0.12),
            )
        alarm = max(wealth.values()) > 4.2
        reasons = [
            f"{what}: evidence 1 : {10**value:,.0f} that it has changed, the threshold is 1 : 15,849"
            for what, value in wealth.items()
            if value > 4.2
        ]
        shared = {
            "task": "triage",
            "version": "3",
            "artifact": "3" * 12,
            "requests": 40,
            "figures": {"threshold": 4.2, "valid": 0.97},
        }
        rows.append(
            {
                **shared,
                "at": at,
                "alarm": alarm,
                "reasons": reasons,
                "evidence": dict(wealth),
                "report": "reports/monitor/triage/newest.html",
            }
        )
    return rows


def _decisions(now: float) -> list[dict]:
    return [
        {"at": now - back, "task": "triage", "kind": kind, "verdict": verdict, "reasons": reasons, "facts": {}}
        for back, kind, verdict, reasons in TOLD
    ]


def _retrainings(now: float) -> list[dict]:
    return [
        {
            "task": "triage",
            "started_at": now - 9.4 * DAY,
            "ended_at": now - 9.2 * DAY,
            "state": "promoted",
            "outcome": "version 3 passed the gate",
            "reasons": ["212 new labelled rows"],
        },
        {
            "task": "triage",
            "started_at": now - 4.4 * 3600,
            "ended_at": now - 3.1 * 3600,
            "state": "promoted",
            "outcome": "version 4 passed the gate",
            "reasons": ["drift: text"],
        },
    ]
