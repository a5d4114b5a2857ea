"""A small world to monitor: a version with its reference, requests and corrections in a database of the test's own,
words as vectors.
"""

import hashlib
import json
import random
from functools import cache
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert

from tasks.files import write_json, write_jsonl
from tasks.records.database import feedback, requests
from tasks.serve.routes import Target

KINDS = {
    "lamp": ["lamp flickers", "the bulb is dark", "light too weak"],
    "parcel": ["parcel late", "the courier was gone", "box is wet"],
    "bill": ["charged twice", "the invoice is wrong", "refund missing"],
}
FILLER = (
    "please could you help me with this today because we are waiting here since monday and nobody has said "
    "anything about it"
).split()
NEW = "inverter solarpanel kilowatt tariff chargepoint dongle".split()
ARTIFACT, HOUR, START = "ab" * 32, 3600.0, 1_790_000_000.0


def ticket(dice: random.Random, kind: str | None = None, new: float = 0.0) -> dict:
    """{text, kind}; a share `new` of the words belongs to a product that nobody knows yet."""
    kind = kind or dice.choice(sorted(KINDS))
    words = [*dice.choice(KINDS[kind]).split(), *dice.sample(FILLER, dice.randint(6, 14))]
    return {"text": " ".join(dice.choice(NEW) if dice.random() < new else word for word in words), "kind": kind}


def answer(row: dict, dice: random.Random, right: float = 0.9) -> str:
    """What the version says to `row`."""
    return json.dumps(
        {
            "kind": row["kind"] if dice.random() < right else dice.choice(sorted(KINDS)),
            "reply": "We look into it. " * dice.randint(1, 3),
        }
    )


def vectors(texts: list[str]) -> np.ndarray:
    """(texts, 16) unit vectors: the sum of fixed random vectors of their words."""
    found = np.zeros((len(texts), 16), np.float32)
    for row, text in zip(found, texts, strict=True):
        for word in text.split():
            row += _vector(word)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


@cache
def _vector(word: str) -> np.ndarray:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")).normal(size=16)


def version(
    folder: Path, seed: int = 1, rows: int = 300, artifact: str = ARTIFACT, number: str = "1", user: str = "{{ text }}"
) -> Target:
    """A kept version with a reference of `rows` rows, a fifth of them for test."""
    dice = random.Random(seed)
    made = [ticket(dice) for _ in range(rows)]
    known = [
        {
            "id": f"r{i}",
            "split": "test" if i % 5 == 0 else "train",
            "input": {"text": row["text"]},
            "answer": {"kind": row["kind"], "reply": "ok"},
        }
        for i, row in enumerate(made)
    ]
    write_jsonl(folder / "reference/rows.jsonl", known)
    tests = [
        {"id": f"r{i}", "text": answer(row, dice), "answer": "", "row": row} for i, row in enumerate(made) if i % 5 == 0
    ]
    write_jsonl(folder / "reference/predictions.jsonl", tests)
    write_json(folder / "reference/classes.json", {"kind": sorted(KINDS)})
    write_json(folder / "format.json", {"system": "Sort.", "user": user, "answer": ["kind", "reply"]})
    return Target(number, artifact, f"sort@{number}", "http://127.0.0.1:1/v1", str(folder))


def ask(
    engine: Engine,
    rows: list[dict],
    at: float,
    prefix: str,
    seed: int = 0,
    right: float = 0.9,
    artifact: str = ARTIFACT,
    **changes: object,
) -> list[str]:
    """Log `rows` as answered requests, one a second from `at` on; their ids."""
    dice = random.Random(f"{prefix} {seed}")
    same = {
        "task": "sort",
        "version": "1",
        "artifact": artifact,
        "role": "champion",
        "status": 200,
        "latency": 0.5,
        "valid": True,
    }
    logged = [
        same
        | {"id": f"{prefix}{i}", "at": at + i, "input": {"text": row["text"]}, "output": answer(row, dice, right)}
        | changes
        for i, row in enumerate(rows)
    ]
    with engine.begin() as connection:
        connection.execute(insert(requests), logged)
    return [row["id"] for row in logged]


def chat(content: object, **more: object) -> dict:
    """The input of a chat whose only message, of the user, has `content`."""
    return {"messages": [{"role": "user", "content": content}], **more}


def log(engine: Engine, inputs: list[dict], outputs: list[str], at: float, prefix: str, **changes: object) -> list[str]:
    """Log any inputs with their outputs as answered requests, one a second from `at` on; their ids."""
    same = {"task": "sort", "version": "1", "artifact": ARTIFACT, "role": "champion", "status": 200, "latency": 0.5}
    rows = [
        same | {"id": f"{prefix}{i}", "at": at + i, "input": given, "output": output} | changes
        for i, (given, output) in enumerate(zip(inputs, outputs, strict=True))
    ]
    with engine.begin() as connection:
        connection.execute(insert(requests), rows)
    return [row["id"] for row in rows]


def correct(engine: Engine, ids: list[str], rows: list[dict], at: float) -> None:
    """Log what a person says the answers to `rows` should have been."""
    with engine.begin() as connection:
        connection.execute(
            insert(feedback),
            [
                {"at": at + i, "request_id": key, "correction": {"kind": row["kind"], "reply": "ok"}}
                for i, (key, row) in enumerate(zip(ids, rows, strict=True))
            ],
        )
