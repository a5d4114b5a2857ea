"""Chooses rows to show side by side and says of each answer whether it is right; the model's text is never trusted."""

import hashlib
import json
from dataclasses import dataclass

from tasks.errors import AnnealError

SHOWN = 8  # rows


@dataclass(frozen=True)
class Said:
    """One answer: `fields` of (key, value, state) when it is JSON as expected, else only its `text`; notes say what is odd.

    `state` is right or wrong for a label, and free for text that no one expects word for word.
    """

    right: bool
    text: str
    fields: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """One row: what was asked, what was expected, and what parent and tuned said."""

    id: str
    prompt: tuple[tuple[str, str], ...]
    expected: Said
    parent: Said
    tuned: Said


def choose(tuned: list[dict], parent: list[dict], labels: list[str]) -> list[Sample]:
    """Up to eight rows in the order of a hash of their ids, so that nobody picked them: half that `tuned` has wrong, half right."""
    samples = [_sample(row, before, labels) for row, before in _paired(tuned, parent)]
    samples.sort(key=lambda sample: hashlib.sha256(sample.id.encode()).hexdigest())
    wrong, right = ([sample for sample in samples if sample.tuned.right is kind] for kind in (False, True))
    few = max(SHOWN // 2, SHOWN - len(right))
    return [*wrong[:few], *right[: SHOWN - len(wrong[:few])]]


def tally(tuned: list[dict], parent: list[dict], labels: list[str]) -> dict[str, int]:
    """How many rows each has right, who alone has them right, and how many there are."""
    pairs = [(judge(row, labels).right, judge(before, labels).right) for row, before in _paired(tuned, parent)]
    return {
        "rows": len(pairs),
        "tuned": sum(now for now, _ in pairs),
        "parent": sum(then for _, then in pairs),
        "gained": sum(now and not then for now, then in pairs),
        "lost": sum(then and not now for now, then in pairs),
    }


def system_prompt(rows: list[dict]) -> str | None:
    """The system prompt that all rows share, if they do."""
    found = {message["content"] for row in rows for message in row["messages"] if message["role"] == "system"}
    return found.pop() if len(found) == 1 else None


def judge(row: dict, labels: list[str]) -> Said:
    """What the answer of `row` says: right when every label is, or, without labels, when it is the expected text."""
    expected, answer = as_fields(row["expected"]), as_fields(row["text"])
    notes = [] if row["finished"] else ["cut off at the longest answer allowed"]
    if expected is None:
        right = row["text"].strip() == row["expected"].strip()
        return Said(right, row["text"], (), tuple(notes if row["text"].strip() else [*notes, "empty"]))
    if answer is None or any(type(answer.get(key)) is not type(value) for key, value in expected.items()):
        what = "empty" if not row["text"].strip() else "not a JSON object" if answer is None else "keys are missing, or hold another kind of value"
        return Said(False, row["text"], (), (*notes, what))
    fields = tuple((key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _state(key, value, expected, labels)) for key, value in answer.items())
    right = all(state == "right" for key, _, state in fields if key in labels) if labels else row["text"].strip() == row["expected"].strip()
    return Said(right, row["text"], fields, tuple(notes))


def as_fields(text: str) -> dict | None:
    """The JSON object that `text` is, or None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _state(key: str, value: object, expected: dict, labels: list[str]) -> str:
    if key not in labels:
        return "free"
    return "right" if value == expected.get(key) else "wrong"


def _paired(tuned: list[dict], parent: list[dict]) -> list[tuple[dict, dict]]:
    before = {row["id"]: row for row in parent}
    for row in tuned:
        if row["id"] not in before:
            raise AnnealError(f"the parent has no answer to row {row['id']}: its predictions are of other rows; run `dvc repro` to make both again.")
    return [(row, before[row["id"]]) for row in tuned]


def _sample(row: dict, before: dict, labels: list[str]) -> Sample:
    prompt = tuple((message["role"], message["content"]) for message in row["messages"] if message["role"] != "system")
    expected = judge({**row, "text": row["expected"], "finished": True}, labels)
    return Sample(str(row["id"]), prompt, expected, judge(before, labels), judge(row, labels))
