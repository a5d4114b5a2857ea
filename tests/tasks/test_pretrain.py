"""Continued pre-training: whole texts are trained on, nothing is lost, and a killed run ends as an unbroken one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tests import texts, tiny
from tests.tasks.test_resume import broken

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("store")]  # each test trains

CHANGES: dict[str, Any] = {"objective": {"kind": "pretrain"}, "num_train_epochs": 6, "max_length": 48}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return texts.write_prepared(tmp_path_factory.mktemp("texts"), 48)


@pytest.mark.parametrize("tuner", [{"kind": "lora"}, {"kind": "full"}])
def test_texts_are_learnt_in_packed_rows_and_none_is_left_out(
    base: Path, tokenizer: Any, prepared: Path, tmp_path: Path, tuner: dict
) -> None:
    rate = {"lora": 1.0e-2, "full": 3.0e-3}[tuner["kind"]]
    made = tiny.train_in(tmp_path, base, prepared, **CHANGES, tuner=tuner, learning_rate=rate)
    metrics = read_json(made.report / "metrics.json")
    rows = [[*tokenizer(row["answer"])["input_ids"], 2] for row in read_jsonl(prepared / "train.jsonl")]
    longer = [row for row in rows if len(row) > 48]
    assert longer, "no text is longer than a row"
    assert (metrics["rows"], metrics["rows_left_out"]) == (48, 0)
    assert sum(map(len, rows)) > 0.8 * 48 * metrics["packed_rows"], "rows are mostly padding"
    lengths = [line.split(",") for line in (made.report / "lengths.csv").read_text().splitlines()[1:]]
    assert sum(int(trained) for _, trained in lengths) == sum(len(row) - 1 for row in rows)
    assert metrics["eval_loss"] < 2.0 and metrics["train_loss"] < 2.0


def test_a_killed_run_ends_with_the_bytes_of_an_unbroken_one(base: Path, prepared: Path, tmp_path: Path) -> None:
    changes = {**CHANGES, "num_train_epochs": 2}  # five steps each
    whole = tiny.train_in(tmp_path / "whole", base, prepared, **changes)
    broken(tmp_path / "broken", base, prepared, 7, **changes)
    again: SimpleNamespace = tiny.train_in(tmp_path / "broken", base, prepared, **changes)
    assert sha256(again.adapter) == sha256(whole.adapter)


def test_dialogues_among_the_texts_are_trained_on_their_answers(base: Path, prepared: Path, tmp_path: Path) -> None:
    rows = [*read_jsonl(prepared / "train.jsonl"), *tiny.prepared_rows(0, 12)]
    write_jsonl(tmp_path / "mixed/train.jsonl", rows)
    write_jsonl(tmp_path / "mixed/validation.jsonl", read_jsonl(prepared / "validation.jsonl"))
    made = tiny.train_in(tmp_path, base, tmp_path / "mixed", **{**CHANGES, "max_length": 256, "num_train_epochs": 1})
    metrics = read_json(made.report / "metrics.json")
    assert (metrics["rows"], metrics["rows_left_out"]) == (60, 0)
    page = (made.report / "xray.html").read_text()
    assert "thing-0001" in page and "text-0001" in page
