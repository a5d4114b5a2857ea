"""Answers that are texts are watched like those that are JSON: validity, classes, length, and whether they are
right.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from tasks.files import write_json, write_jsonl
from tasks.monitor import check_page, evidently_page
from tasks.monitor.check import check
from tasks.monitor.checks_table import MonitorCheck
from tasks.monitor.params import Monitor
from tasks.monitor.reference import read_reference, write_reference
from tasks.records import database
from tasks.serve.routes import Target
from tests.tasks.monitored import ARTIFACT, HOUR, KINDS, START, log, ticket, vectors

PARAMS = Monitor(report_rows=200, permutations=99)
REPLIES = ("We look into it.", "A new one is on its way.", "Your money comes back.")


def version(folder: Path, answer: object, labels: list[str], say: Callable[[dict], str]) -> Target:
    """A version of 650 rows whose answers are `answer`; in the evaluation it said what `say` says of each row."""
    dice = random.Random(3)
    made = [ticket(dice) | {"id": f"r{i}", "reply": dice.choice(REPLIES)} for i in range(650)]
    rows = [
        {"id": row["id"], "messages": [{"role": "user", "content": row["text"]}], "row": row, "answer": say(row)}
        for row in made
    ]
    write_json(folder / "prepared/format.json", {"system": None, "user": "{{ text }}", "answer": answer})
    for split, start, end in (("train", 0, 450), ("validation", 450, 500), ("test", 500, 650)):
        write_jsonl(folder / f"prepared/{split}.jsonl", rows[start:end])
    tests = [
        {"id": row["id"], "text": _slips(row["answer"], dice), "answer": row["answer"], "row": row["row"]}
        for row in rows[500:]
    ]
    write_jsonl(folder / "evaluate/predictions.jsonl", tests)
    write_reference(folder / "prepared", folder / "evaluate", labels, 2000, folder / "kept/reference")
    write_json(folder / "kept/format.json", {"system": None, "user": "{{ text }}", "answer": answer})
    return Target("1", ARTIFACT, "sort@1", "http://127.0.0.1:1/v1", str(folder / "kept"))


def _slips(right: str, dice: random.Random) -> str:
    """The right answer nine times in ten, else another one of its kind."""
    if dice.random() < 0.9:
        return right
    return dice.choice(REPLIES) if right in REPLIES else right.replace("lamp", "parcel")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An empty database; Evidently and the plot, which take seconds, stay out."""
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    return database.connect(f"sqlite:///{tmp_path}/records.db")


@pytest.fixture
def look(engine: Engine, tmp_path: Path) -> Callable[[Target, float], MonitorCheck]:
    """A check of a version so many hours after the start."""
    return lambda target, hours: check(
        engine, "sort", target, PARAMS, START + hours * HOUR, vectors, tmp_path / "monitor", tmp_path / "reports"
    )


def served(
    engine: Engine,
    count: int,
    hour: float,
    say: Callable[[dict], str],
    slip: bool = True,
    right: Callable[[dict], dict] | None = None,
) -> None:
    """Log `count` usual requests with what the version says, and, where `right` is given, what people say is right."""
    dice = random.Random(f"{hour}")
    rows = [ticket(dice) | {"reply": dice.choice(REPLIES)} for _ in range(count)]
    said = [_slips(say(row), dice) if slip else say(row) for row in rows]
    ids = log(engine, [{"text": row["text"]} for row in rows], said, START + hour * HOUR, f"h{hour}-")
    if right is not None:
        at = START + hour * HOUR + count
        told = [{"at": at, "request_id": key, "correction": right(row)} for key, row in zip(ids, rows, strict=True)]
        with engine.begin() as connection:
            connection.execute(insert(database.feedback), told)


def label(row: dict) -> str:
    """A label in a sentence."""
    return f"Kind: {row['kind']}"


def test_a_label_in_a_text_is_watched(engine: Engine, look: Callable[..., MonitorCheck], tmp_path: Path) -> None:
    target = version(tmp_path, "Kind: {{ kind }}", ["kind"], label)
    served(engine, 100, 0, label, right=lambda row: {"kind": f"{row['kind']} "})
    found = look(target, 1)
    assert not found.alarm and set(found.evidence) >= {
        "validity of answers",
        "kind of answers",
        "accuracy of kind",
        "length of answers",
    }
    assert found.figures["kind_accuracy_n"] == 100 and found.figures["kind_accuracy"] > 0.85
    assert found.figures["valid"] == 1 and found.figures["kind=lamp"] > 0.2 and found.figures["kind=(other)"] == 0
    assert "exact_match" not in found.figures
    served(engine, 150, 2, lambda _: "Kind: bill", slip=False)
    assert look(target, 3).evidence["kind of answers"] > found.figures["threshold"]


@pytest.mark.parametrize("output", ["bill", "", "kind: bill"])
def test_a_text_that_the_template_does_not_make_is_not_valid(
    engine: Engine, look: Callable[..., MonitorCheck], tmp_path: Path, output: str
) -> None:
    target = version(tmp_path, "Kind: {{ kind }}", ["kind"], label)
    served(engine, 150, 0, lambda _: output, slip=False)
    found = look(target, 1)
    assert found.figures["valid"] == 0 and found.evidence["validity of answers"] > found.figures["threshold"]


@pytest.mark.parametrize(
    ("answer", "say", "right"),
    [
        ("{{ reply }}", lambda row: row["reply"], lambda row: {"reply": f" {row['reply']}"}),
        ("{{ reply | upper }}", lambda row: row["reply"].upper(), lambda row: {"text": row["reply"].upper()}),
        (["reply"], lambda row: f'{{"reply": "{row["reply"]}"}}', lambda row: {"reply": row["reply"]}),
    ],
)
def test_answers_without_labels_are_right_or_wrong_as_a_whole(
    engine: Engine,
    look: Callable[..., MonitorCheck],
    tmp_path: Path,
    answer: object,
    say: Callable[[dict], str],
    right: Callable[[dict], dict],
) -> None:
    target = version(tmp_path, answer, [], say)
    served(engine, 100, 0, say, right=right)
    found = look(target, 1)
    assert not found.alarm and found.figures["exact_match_n"] == 100 and found.figures["exact_match"] > 0.85
    served(
        engine, 150, 2, lambda row: say({"reply": REPLIES[0]}), slip=False, right=lambda row: right({"reply": "Never."})
    )
    found = look(target, 3)
    assert found.alarm and any(
        reason.startswith("the exact match of answers has changed")
        and "corrected answers were right as they stood" in reason
        for reason in found.reasons
    ), found.reasons


def test_a_label_that_no_answer_says_is_in_no_stream(tmp_path: Path) -> None:
    target = version(tmp_path, "{{ kind | upper }}", ["kind"], lambda row: row["kind"].upper())
    reference = read_reference(Path(target.folder))
    assert reference.classes == {"kind": sorted(KINDS)} and reference.labels == {}
