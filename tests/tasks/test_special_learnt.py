"""A model that is taught to name the end of turn names it, goes on, and is read back right."""

import pytest

from tasks.files import read_jsonl, write_jsonl
from tasks.weights.tuned import answer
from tests import tiny

pytestmark = pytest.mark.slow  # each test trains, or loads a model


def test_a_reply_with_a_special_token_is_learnt_written_and_read_back(base, store, tmp_path):
    prepared = tiny.write_prepared(tmp_path / "prepared", 128)
    for name in ("train", "validation", "test"):
        rows = read_jsonl(prepared / f"{name}.jsonl")
        write_jsonl(
            prepared / f"{name}.jsonl",
            [{**row, "answer": f"{row['row']['colour']}: type <|im_end|> to finish, then go on."} for row in rows],
        )
    trained = tiny.train_in(tmp_path, base, prepared)
    rows = read_jsonl(prepared / "test.jsonl")[:8]
    predictions = answer(base, trained.adapter, rows, 8, 40, "taught").predictions
    assert (
        sum(
            prediction["text"] == row["answer"] and prediction["finished"]
            for prediction, row in zip(predictions, rows, strict=True)
        )
        >= 7
    )
