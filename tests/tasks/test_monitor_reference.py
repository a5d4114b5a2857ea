"""The reference of a version holds its rows, its answers and its classes, is the same each time, and never more than
asked for.
"""

from pathlib import Path

from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.monitor.reference import read_reference, sample, write_reference

ROWS = [
    {
        "id": f"r{i}",
        "row": {"id": f"r{i}", "subject": f"s{i}", "body": "b", "kind": "ab"[i % 2]},
        "answer": "x",
        "messages": [{"role": "user", "content": f"s{i}: b"}],
    }
    for i in range(30)
]


def _write(folder: Path, answer: object, limit: int = 100) -> Path:
    write_json(
        folder / "prepared/format.json",
        {"system": "s", "user": "{{ subject }}: {% if body %}{{ body }}{% endif %}", "answer": answer},
    )
    for split, rows in (("train", ROWS[:20]), ("validation", ROWS[20:22]), ("test", ROWS[22:])):
        write_jsonl(folder / f"prepared/{split}.jsonl", rows)
    write_jsonl(
        folder / "evaluate/predictions.jsonl",
        [
            {"id": row["id"], "text": "t", "answer": "e", "row": row["row"], "token_ids": [1], "nll": 2.0}
            for row in ROWS[22:]
        ],
    )
    write_reference(folder / "prepared", folder / "evaluate", ["kind"], limit, folder / "kept/reference")
    write_json(folder / "kept/format.json", read_json(folder / "prepared/format.json"))
    return folder / "kept"


def test_rows_have_the_columns_of_the_template_and_of_the_answer(tmp_path: Path) -> None:
    found = read_reference(_write(tmp_path, ["kind"]))
    assert found.rows[0] == {
        "id": "r0",
        "split": "train",
        "input": {"body": "b", "subject": "s0"},
        "answer": {"kind": "a"},
    }
    assert [row["split"] for row in found.rows] == ["train"] * 20 + ["validation"] * 2 + ["test"] * 8
    assert set(found.predictions[0]) == {"id", "text", "answer", "row"} and len(found.predictions) == 8
    assert found.classes == {"kind": ["a", "b"]}


def test_an_answer_that_is_a_template_has_the_columns_of_the_rows(tmp_path: Path) -> None:
    assert read_reference(_write(tmp_path, "{{ kind }}")).rows[0]["answer"] == {"kind": "x"}  # as the answer reads
    assert read_reference(_write(tmp_path / "two", "{{ kind }} {{ body }}")).rows[0]["answer"] == {
        "kind": "a",
        "body": "b",
    }  # as the row has it
    assert read_reference(_write(tmp_path / "computed", "{{ kind | upper }}")).rows[0]["answer"] == {"text": "x"}


def test_the_text_that_an_older_version_kept_is_read(tmp_path: Path) -> None:
    folder = _write(tmp_path, "{{ kind }}")
    write_jsonl(
        folder / "reference/rows.jsonl", [{**row, "answer": "x"} for row in read_jsonl(folder / "reference/rows.jsonl")]
    )
    assert read_reference(folder).rows[0]["answer"] == {"kind": "x"}


def test_a_sample_is_the_same_each_time_and_whatever_the_order(tmp_path: Path) -> None:
    first = _write(tmp_path / "a", ["kind"], limit=10)
    second = _write(tmp_path / "b", ["kind"], limit=10)
    assert len(read_reference(first).rows) == 10 and read_jsonl(first / "reference/rows.jsonl") == read_jsonl(
        second / "reference/rows.jsonl"
    )
    ids = [row["id"] for row in ROWS]
    assert {ids[::-1][place] for place in sample(ids[::-1], 10)} == {ids[place] for place in sample(ids, 10)}


def test_classes_are_those_of_all_rows_also_beyond_the_sample(tmp_path: Path) -> None:
    assert read_reference(_write(tmp_path, ["kind"], limit=1)).classes == {"kind": ["a", "b"]}


def test_a_version_without_a_reference_has_none(tmp_path: Path) -> None:
    folder = _write(tmp_path, ["kind"])
    (folder / "reference/classes.json").unlink()
    assert read_reference(folder) is None


def test_personal_data_are_out_of_the_reference_as_they_are_out_of_the_records(tmp_path: Path) -> None:
    folder = _write(tmp_path, ["kind"])
    rows = read_jsonl(folder / "reference/rows.jsonl")
    write_jsonl(
        folder / "reference/rows.jsonl",
        [{**row, "input": {"subject": "mail", "body": "write to ann@example.com"}} for row in rows],
    )
    assert read_reference(folder).rows[0]["input"]["body"] == "write to <EMAIL>"
