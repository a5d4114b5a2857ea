"""Answers that call tools are watched like others: they look like the evaluation's own, and people's calls are
compared with them.
"""

import json
import random
from pathlib import Path

import pytest
from sqlalchemy import insert

from tasks.dialogues.messages import CHAT
from tasks.files import write_json, write_jsonl
from tasks.formats import tools
from tasks.monitor import check_page, evidently_page
from tasks.monitor.check import check
from tasks.monitor.checks_table import MonitorCheck
from tasks.monitor.params import Monitor
from tasks.records import database
from tasks.serve.routes import Target
from tests.tasks.monitored import ARTIFACT, HOUR, START, chat, log, ticket, vectors

pytestmark = pytest.mark.slow  # scores hundreds of texts

FORM = {"system": None, "user": "{{ question }}", "answer": "{{ answer }}", "tools": True}


def call(row: dict) -> dict:
    return {"name": "sort", "arguments": {"kind": row["kind"], "at": row["text"].split()[0]}}


def version(folder: Path) -> Target:
    """A version that calls a tool for each of its rows, right nine times in ten, in the form in which models write."""
    dice = random.Random(3)
    made = [ticket(dice) for _ in range(300)]
    rows = [
        {"id": f"r{i}", "split": "train", "input": {"question": row["text"]}, "answer": {"answer": right}}
        for i, row in enumerate(made)
        if (right := tools.canonical([call(row)]))
    ]
    tests = [
        {"id": f"r{i}", "text": f"<tool_call>\n{json.dumps(said)}\n</tool_call>", "answer": right, "row": {}}
        for i, row in enumerate(made[:100])
        if (said := call(row if i % 10 else ticket(dice))) and (right := json.dumps([call(row)]))
    ]
    write_jsonl(folder / "reference/rows.jsonl", rows)
    write_jsonl(folder / "reference/predictions.jsonl", tests)
    write_json(folder / "reference/classes.json", {})
    write_json(folder / "format.json", FORM)
    return Target("1", ARTIFACT, "sort@1", "http://127.0.0.1:1/v1", str(folder))


def test_calls_are_judged_and_look_like_those_of_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    engine, target = database.connect(f"sqlite:///{tmp_path}/records.db"), version(tmp_path / "kept")
    dice = random.Random(5)

    def look(hour: int, is_right: bool) -> tuple[MonitorCheck, float]:
        """A check after 100 requests, all of them corrected to what is right, and the share that was right."""
        rows = [ticket(dice) for _ in range(100)]
        said = [call(row if is_right and i % 10 else ticket(dice)) for i, row in enumerate(rows)]
        outputs = [tools.canonical([entry]) for entry in said]  # as the records keep calls
        inputs, about = [chat(row["text"], tools=True) for row in rows], {"path": CHAT, "finish_reason": "tool_calls"}
        ids = log(engine, inputs, outputs, START + hour * HOUR, f"h{hour}-", **about)
        with engine.begin() as connection:
            for key, row in zip(ids, rows, strict=True):
                right = {"answer": json.dumps([call(row)], indent=1)}  # in another layout
                told = {"at": START + hour * HOUR + 200, "request_id": key, "correction": right}
                connection.execute(insert(database.feedback), told)
        work = (vectors, tmp_path / "monitor", tmp_path / "reports")
        params, now = Monitor(report_rows=100, permutations=99), START + (hour + 1) * HOUR
        share = sum(entry == call(row) for entry, row in zip(said, rows, strict=True)) / len(rows)
        return check(engine, "sort", target, params, now, *work), share

    usual, share = look(0, True)
    assert not usual.alarm and usual.figures["not_judged"] == 0 and usual.figures["valid"] == 1
    assert usual.figures["exact_match_n"] == 100 and usual.figures["exact_match"] == pytest.approx(share)
    wrong, share = look(2, False)
    assert share < 0.5 and wrong.alarm and wrong.figures["exact_match"] == pytest.approx(share)
    assert any(reason.startswith("the exact match of answers has changed") for reason in wrong.reasons)
