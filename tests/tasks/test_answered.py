"""Answered rows: what they keep of the prepared ones, and those that older versions wrote."""

from pathlib import Path

from tasks.dataset import answered
from tasks.dialogues.chat import GIVEN, REST
from tasks.files import write_jsonl

ROW = {"id": "7", "messages": [{"role": "user", "content": "a"}], "answer": "b", "row": {"id": "7", "reply": "b"}}
PARTS = {GIVEN: "", REST: "b", "tools": [], "calls": []}


def test_all_is_kept_that_asking_again_takes() -> None:
    assert answered.row_of({**ROW, **PARTS, "text": "c", "nll": 1.0}) == {**ROW, **PARTS}
    assert answered.row_of(ROW) == ROW


def test_the_right_answer_of_older_files_is_read_under_todays_name(tmp_path: Path) -> None:
    today = {**ROW, "text": "c", "token_ids": [1], "finished": True, "nll": 1.0, "tokens": 2}
    before = {("expected" if name == "answer" else name): value for name, value in today.items()}
    write_jsonl(tmp_path / answered.FILE, [before, today])
    assert answered.read(tmp_path) == [today, today]
