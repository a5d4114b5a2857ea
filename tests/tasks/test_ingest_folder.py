"""A folder is read whole: each file that is data is read or named, and what is left out is listed."""

import gzip
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.stages.ingest import Ingest, format_for_new_rows, peek, source_files
from tasks.stages.ingest.__main__ import ingest
from tests.sentences import Says

LINE = '{{"subject": "a", "body": "{}"}}\n'


def folder(place: Path, **files: str | bytes) -> Path:
    """`place/s` with files (`__` for a dot)."""
    source = place / "s"
    source.mkdir()
    for name, content in files.items():
        (source / name.replace("__", ".")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return source


def taken(source: Path, **params: object) -> list[str]:
    """The bodies of the rows."""
    ingest(Ingest(source=str(source), **{"columns": ["subject", "body"]} | params), source.parent / "raw")
    return [row["body"] for row in read_jsonl(source.parent / "raw/rows.jsonl")]


def refused(source: Path, **params: object) -> str:
    with pytest.raises(AnnealError) as stopped:
        taken(source, **params)
    return str(stopped.value).replace(f"{source.parent}/", "")


@pytest.mark.parametrize("kind", [None, "jsonl"])
def test_endings_in_capitals_and_compressed_files_are_read(tmp_path, kind):
    compressed = gzip.compress(LINE.format("4").encode())
    source = folder(
        tmp_path,
        B__JSONL=LINE.format("2"),
        a__jsonl=LINE.format("3"),
        c__jsonl__gz=compressed,
        A__Jsonl=LINE.format("1"),
        d__JSONL__GZ=compressed,
    )
    assert taken(source, format=kind) == ["1", "2", "3", "4", "4"]
    assert [file.name for file in source_files(Ingest(source="s", format=kind), source)] == [
        "A.Jsonl",
        "B.JSONL",
        "a.jsonl",
        "c.jsonl.gz",
        "d.JSONL.GZ",
    ]


def test_files_of_several_formats_are_each_read_by_their_ending(tmp_path):
    source = folder(
        tmp_path,
        a__csv="subject;body\na;1\n",
        b__json=f"[{LINE.format('2')}]",
        c__tsv="body\tsubject\n3\ta\n",
        d__ndjson=LINE.format("4"),
    )
    assert taken(source) == taken(source, columns=None) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rows.json", "rows.json; move them elsewhere, or remove ingest.format from params.yaml"),
        ("rows.CSV", "rows.CSV; move them elsewhere, or remove ingest.format from params.yaml"),
        ("rows.csv.gz", "rows.csv.gz; move them elsewhere, or remove ingest.format"),
        ("rows.parquet.zst", "rows.parquet.zst; move them elsewhere, or remove ingest.format from params.yaml"),
        ("Rows.XLSX", "Rows.XLSX; save them as CSV or JSON lines"),
        ("rows.jsonl.bz2", "rows.jsonl.bz2; save them as CSV or JSON lines"),
        ("old.zip", "old.zip; save them as CSV or JSON lines"),
    ],
)
def test_data_that_would_be_left_out_stops(tmp_path, name, words):
    source = folder(tmp_path, a__jsonl=LINE.format("1"))
    (source / name).write_text("x")
    assert refused(source, format="jsonl").startswith(f"s holds data that would be left out: {words}")


def test_data_in_a_folder_of_the_folder_stops_and_a_folder_without_data_does_not(tmp_path):
    source = folder(tmp_path, a__jsonl=LINE.format("1"))
    (source / "pictures").mkdir()
    (source / "pictures/one.png").write_bytes(b"x")
    assert taken(source) == ["1"]
    (source / "2024/may").mkdir(parents=True)
    (source / "2024/may/b.JSONL").write_text(LINE.format("2"))
    assert refused(source) == Says("s holds data", "left out: 2024/", "move")


def test_a_link_is_read_and_a_broken_one_stops(tmp_path):
    source = folder(tmp_path, a__jsonl=LINE.format("1"))
    (tmp_path / "elsewhere.jsonl").write_text(LINE.format("2"))
    (source / "b.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    assert taken(source) == ["1", "2"]
    (tmp_path / "elsewhere.jsonl").unlink()
    assert refused(source) == "s holds data that would be left out: b.jsonl; fix the link, or remove it."


def test_what_is_no_data_is_listed_and_said(tmp_path, capsys):
    source = folder(
        tmp_path,
        a__jsonl=LINE.format("1"),
        README__md="x",
        LICENSE="x",
        notes__txt="x",
        __DS_Store=b"x",
        __b__jsonl=b"half a fi",
    )
    assert taken(source) == ["1"]
    names = [".DS_Store", ".b.jsonl", "LICENSE", "README.md", "notes.txt"]
    assert read_json(tmp_path / "raw/manifest.json")["left_out_files"] == names
    assert (
        capsys.readouterr().err
        == f"ingest: left out, because their names are not those of data files: {', '.join(names)}\n"
    )


@pytest.mark.parametrize(
    "name", ["my tickets", "tickets (1)", "[a-c]*?", "q&a", "o'brien", 'say "x"', "$(touch x)", "-r", "ü"]
)
def test_a_name_is_a_name_and_no_pattern(tmp_path, name):
    source = folder(tmp_path, a__jsonl=LINE.format("1")).rename(tmp_path / name)
    (source / f"{name}.jsonl").write_text(LINE.format("2"))
    assert sorted(taken(source)) == ["1", "2"]
    assert taken(source / f"{name}.jsonl") == ["2"]


def test_a_file_whose_ending_says_nothing_needs_a_format(tmp_path):
    source = folder(tmp_path, rows__dat="subject|body\na|1\n")
    assert refused(source / "rows.dat").startswith(
        "rows.dat has an extension that does not tell its format: write ingest.format (arrow, csv, json, jsonl, "
        "parquet, "
        "text, tsv)"
    )
    (source / "rows.txt").write_text("subject|body\na|1\n")
    for name in ("rows.dat", "rows.txt"):
        ingest(Ingest(source=str(source / name), format="csv"), tmp_path / "raw")
        assert read_jsonl(tmp_path / "raw/rows.jsonl")[0]["body"] == "1"


def test_a_database_is_no_file_of_rows_and_the_way_to_its_rows_is_named(tmp_path):
    source = folder(tmp_path, rows__DB=b"SQLite format 3\0")
    assert refused(source / "rows.DB").startswith(
        "rows.DB is a database, and ingest reads files: name a query of it as"
    )


def test_a_damaged_compressed_file_is_refused(tmp_path):
    source = folder(tmp_path, a__jsonl__gz=gzip.compress(LINE.format("1").encode() * 50)[:-9])
    assert refused(source).startswith("s/a.jsonl.gz: not a complete gzip file (")


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path, a__csv="subject,body\na,1\n")
    assert peek(Ingest(source="~/s")) == (
        ("subject", "body"),
        ({"id": peek(Ingest(source="~/s")).rows[0]["id"], "subject": "a", "body": "1"},),
    )


def test_rows_are_added_in_the_format_of_the_folder(tmp_path):
    source = folder(tmp_path, a__CSV="subject,body\na,1\n")
    assert (
        format_for_new_rows(Ingest(source="s"), source),
        format_for_new_rows(Ingest(source="s", format="csv"), source),
    ) == ("csv", "csv")
