"""Files of text and folders that `datasets` saved, as rows."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.stages.ingest import Ingest, format_for_new_rows
from tasks.stages.ingest.__main__ import ingest
from tests.sentences import Says


def taken(source: Path, **params: object) -> list[dict]:
    ingest(Ingest(source=str(source), **params), source.parent / "raw")
    return read_jsonl(source.parent / "raw/rows.jsonl")


def refused(source: Path, **params: object) -> str:
    with pytest.raises(AnnealError) as error:
        taken(source, **params)
    return str(error.value).removeprefix(f"{source.parent}/")


def test_a_folder_of_texts_is_a_row_a_file(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    for name, text in {"b.txt": "second\n", "a.md": "# First\n\nwords", "c.txt": "caf\u00e9"}.items():
        (source / name).write_text(text, encoding="utf-8")
    (source / "pictures").mkdir()
    (source / "pictures/cover.png").write_bytes(b"x")
    rows = [
        {"id": "a.md", "text": "# First\n\nwords"},
        {"id": "b.txt", "text": "second\n"},
        {"id": "c.txt", "text": "caf\u00e9"},
    ]
    assert taken(source) == taken(source, split="none") == rows
    assert taken(source, format="text", columns=["text"]) == rows
    assert [row["text"] for row in taken(source, split="paragraphs")] == ["# First", "words", "second", "caf\u00e9"]
    with pytest.raises(AnnealError, match="is read as text, to which no rows can be added"):
        format_for_new_rows(Ingest(source=str(source)), source)
    (source / "more/deep").mkdir(parents=True)
    (source / "more/deep/d.md").write_text("d")
    words = "s holds data that would be left out: more/; move what is in a folder one level up, or elsewhere."
    assert refused(source) == refused(source, format="text") == words


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_one_file_is_split_as_params_yaml_says(tmp_path, end):
    (tmp_path / "s.txt").write_bytes(f"one{end}still one{end}  {end}{end}two {end}".encode())
    source = tmp_path / "s.txt"
    assert [row["text"] for row in taken(source, split="lines")] == ["one", "still one", "two"]
    assert [row["text"] for row in taken(source, split="paragraphs")] == [f"one{end}still one", "two"]
    assert [row["id"] for row in taken(source, split="none")] == ["s.txt"]
    assert refused(source).startswith(
        "s.txt is one file of text: write ingest.split into params.yaml (lines: one row per l"
    )


def test_a_split_of_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a.csv").write_text("text\na\n")
    for source in (tmp_path / "s", tmp_path / "s/a.csv"):
        assert refused(source, split="lines").endswith("holds no text: remove ingest.split from params.yaml.")


def test_a_row_of_a_split_file_stays_the_same_row_when_the_file_grows(tmp_path):
    (tmp_path / "s.txt").write_text("one\ntwo\n")
    before = taken(tmp_path / "s.txt", split="lines")
    (tmp_path / "s.txt").write_text("zero\none\ntwo\n")
    assert taken(tmp_path / "s.txt", split="lines")[1:] == before


def test_the_line_of_a_broken_text_is_named(tmp_path):
    (tmp_path / "s.txt").write_bytes(b"one\n\ncaf\xe9\n")
    assert refused(tmp_path / "s.txt", split="lines").startswith("s.txt, line 3: not UTF-8 (byte 0xe9)")


def saved(folder: Path, labels: list[int]) -> None:
    """The files that `Dataset.save_to_disk` of datasets 5.2 writes."""
    folder.mkdir(parents=True)
    features = {"label": {"names": ["fault", "wish"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
    schema = pa.schema(
        [("text", pa.string()), ("label", pa.int64())],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )
    names = [f"data-0000{place}-of-00002.arrow" for place in range(2)]
    for place, name in enumerate(names):
        with pa.ipc.new_stream(str(folder / name), schema) as file:
            file.write_table(pa.table({"text": [f"row {place}"], "label": [labels[place]]}, schema))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")


def test_a_saved_data_set_is_read_by_its_own_list_with_the_names_of_its_classes(tmp_path):
    saved(tmp_path / "s", [1, 0])
    (tmp_path / "s/cache-0123.arrow").write_bytes(b"no part of it")
    rows = taken(tmp_path / "s")
    assert [(row["text"], row["label"]) for row in rows] == [("row 0", "wish"), ("row 1", "fault")]
    with pytest.raises(AnnealError, match="is read as arrow, to which no rows can be added"):
        format_for_new_rows(Ingest(source=str(tmp_path / "s")), tmp_path / "s")


def test_what_is_wrong_with_a_saved_data_set_is_named(tmp_path):
    saved(tmp_path / "s/train", [-1, 0])
    (tmp_path / "s/dataset_dict.json").write_text('{"splits": ["train"]}')
    assert refused(tmp_path / "s") == Says("s holds several splits", "ingest.source", f"{tmp_path}/s/train")
    assert "data-00000-of-00002.arrow, row 1: `label` is null" in refused(tmp_path / "s/train")
    (tmp_path / "s/train/data-00001-of-00002.arrow").unlink()
    assert refused(tmp_path / "s/train").startswith("train lacks data-00001-of-00002.arrow, which its state.json names")


@pytest.mark.slow
def test_what_datasets_saves_is_read(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["fault", "wish"])})
    rows = Dataset.from_dict({"text": [f"row {place}" for place in range(9)], "label": [0, 1, 1] * 3}, features)
    rows.save_to_disk(tmp_path / "s", num_shards=2)
    assert [row["label"] for row in taken(tmp_path / "s")] == ["fault", "wish", "wish"] * 3
    rows.to_parquet(tmp_path / "p.parquet")
    assert taken(tmp_path / "p.parquet") == taken(tmp_path / "s")
