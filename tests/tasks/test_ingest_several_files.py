"""A folder gives the rows of its files in the order of their names, and its version is that of their content."""

import hashlib
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.stages.ingest import Ingest, version
from tests.tasks.snapshots import GOOD, PARAMS, ingest, taken


def folder_of(place: Path, **files: bytes) -> Path:
    """`place/s/` with `files` (`__` for the dot of the ending)."""
    (place / "s").mkdir(parents=True)
    for name, content in files.items():
        (place / "s" / name.replace("__", ".")).write_bytes(content)
    return place / "s"


def test_a_folder_of_one_file_gives_the_rows_and_the_version_of_that_file(tmp_path):
    content = b'{"subject": "a", "body": "b"}\n{"id": "7", "subject": "c", "body": "d"}\n'
    (tmp_path / "s").mkdir()
    taken(tmp_path / "s", content)
    source = folder_of(tmp_path / "folder", tickets__jsonl=content)
    ingest(PARAMS["jsonl"], source, tmp_path / "raw")
    assert (tmp_path / "raw/rows.jsonl").read_bytes() == (tmp_path / "s/raw/rows.jsonl").read_bytes()
    assert read_json(tmp_path / "raw/manifest.json")["sha256"] == read_json(tmp_path / "s/raw/manifest.json")["sha256"]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("jsonl", b'{"subject": "a", "body": "1"}\n', b'{"subject": "a", "body": "2"}\n'),
        ("csv", b"subject,body\na,1\n", b"body,subject\n2,a\n"),
    ],
)
def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path, kind, first, second):
    files = {f"b__{kind}": second, f"a__{kind}": first, "notes__md": b"not data", f"__c__{kind}": b"half a fi"}
    source = folder_of(tmp_path, **files)
    assert (source / f".c.{kind}").exists()
    ingest(PARAMS[kind], source, tmp_path / "raw")
    assert [row["body"] for row in read_jsonl(tmp_path / "raw/rows.jsonl")] == ["1", "2"]
    manifest = read_json(tmp_path / "raw/manifest.json")
    assert [(file["name"], file["rows"]) for file in manifest["files"]] == [(f"a.{kind}", 1), (f"b.{kind}", 1)]
    assert (manifest["rows"], manifest["bytes"]) == (2, len(first) + len(second))
    assert [file["sha256"] for file in manifest["files"]] == [
        hashlib.sha256(content).hexdigest() for content in (first, second)
    ]


def test_a_file_more_or_a_changed_one_is_a_new_version_and_another_name_is_not():
    files = [{"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest()} for name in "ab"]
    renamed = [{**file, "name": "z"} for file in files]
    assert version(files) == version(renamed)
    assert len({version(files), version(files[:1]), version(files[1:]), version(files[::-1])}) == 4


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (b'{"subject": "a"}\n', "s/b.jsonl, line 1: has no `body`"),
        (b"\n{", "s/b.jsonl, line 2: not valid JSON"),
        (
            b'{"id": "7", "subject": "a", "body": "c"}\n',
            "s/a.jsonl, line 1, and TOP/s/b.jsonl, line 1: two different rows have the id 7",
        ),
    ],
)
def test_a_broken_row_is_named_with_the_file_of_the_folder_it_stands_in(tmp_path, second, words):
    source = folder_of(tmp_path, a__jsonl=b'{"id": "7", "subject": "a", "body": "b"}\n', b__jsonl=second)
    with pytest.raises(AnnealError) as error:
        ingest(PARAMS["jsonl"], source, tmp_path / "raw")
    assert str(error.value).replace(str(tmp_path), "TOP").startswith(f"TOP/{words}")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("files", [{}, {"notes__md": b"a"}, {"__a__jsonl": GOOD["jsonl"]}])
def test_a_folder_without_a_file_of_the_format_is_refused(tmp_path, files):
    with pytest.raises(
        AnnealError,
        match=r"s holds no file that ends in \.jsonl, \.ndjson: put the data there, or correct ingest\.source or inge",
    ):
        ingest(PARAMS["jsonl"], folder_of(tmp_path, **files), tmp_path / "raw")


def test_an_empty_file_of_a_folder_is_no_trouble_while_another_has_rows(tmp_path):
    ingest(PARAMS["jsonl"], folder_of(tmp_path, a__jsonl=b"", b__jsonl=GOOD["jsonl"]), tmp_path / "raw")
    assert len(read_jsonl(tmp_path / "raw/rows.jsonl")) == 1


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_format_and_columns_that_are_not_given_are_those_of_the_source(tmp_path, kind):
    source = folder_of(tmp_path, **{f"a__{kind}": GOOD[kind]})
    for place in (source, source / f"a.{kind}"):
        ingest(Ingest(source="s"), place, tmp_path / "raw")
        assert [
            {name: row[name] for name in ("subject", "body")} for row in read_jsonl(tmp_path / "raw" / "rows.jsonl")
        ] == [{"subject": "a", "body": "b"}]
        assert read_json(tmp_path / "raw" / "manifest.json")["columns"] == ["subject", "body"]
