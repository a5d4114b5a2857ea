"""A snapshot holds every row of its source, the same bytes for the same content; a broken row stops it with file and
line, and nothing is written.
"""

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.stages.ingest import Ingest
from tasks.stages.ingest.__main__ import ingest as stage
from tests.examples import examples
from tests.tasks.snapshots import GOOD, PARAMS, ingest, taken

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def stopped(tmp_path: Path, content: bytes, kind: str = "jsonl") -> str:
    """The sentence that stops a run over an earlier, good snapshot, which must stay as it was."""
    taken(tmp_path, GOOD[kind], kind)
    before = {file: file.read_bytes() for file in (tmp_path / "raw").iterdir()}
    with pytest.raises(AnnealError) as error:
        taken(tmp_path, content, kind)
    assert {file: file.read_bytes() for file in (tmp_path / "raw").iterdir()} == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["raw", f"s.{kind}"]
    assert len(str(error.value).splitlines()) == 1
    return str(error.value).removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"subject": "a", "body": ', "s.jsonl, line 3: not valid JSON"),
        (b'["a", "b"]', "s.jsonl, line 3: holds a list, not an object"),
        (b'"a"', "s.jsonl, line 3: holds a text, not an object"),
        (b"null", "s.jsonl, line 3: holds null, not an object"),
        (b"[" * 5000, "s.jsonl, line 3: not valid JSON"),
        (b'{"subject": "a"}', "s.jsonl, line 3: has no `body`; add it, or correct ingest.columns"),
        (b"3", "s.jsonl, line 3: holds a number, not an object"),
        (b'{"subject": "a", "body": NaN}', "s.jsonl, line 3: not valid JSON (NaN is not JSON)"),
        (
            b'{"subject": "a", "body": ["b"]}',
            "s.jsonl, line 3: `body` is a list (if that holds the rows, save it alone), not a text",
        ),
        (b'{"subject": "a", "body": null}', "s.jsonl, line 3: `body` is null, not a text"),
        (b'{"subject": "a", "body": {"x": 1}}', "s.jsonl, line 3: `body` is an object, not a text"),
        (b'{"subject": "caf\xe9", "body": "b"}', "s.jsonl, line 3: not UTF-8 (byte 0xe9)"),
        (b'{"subject": "a", "body": "\\ud83d"}', "s.jsonl, line 3: `body` holds half of a surrogate pair"),
    ],
)
def test_a_broken_line_stops_with_its_file_and_number(tmp_path, line, words):
    content = GOOD["jsonl"] + b"\n" + line + b"\n" + GOOD["jsonl"]
    assert stopped(tmp_path, content).startswith(words)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (b"a,b,c\n", "s.csv, line 3: has a different number of cells than the header"),
        (b"a\n", "s.csv, line 3: has a different number of cells than the header"),
        (b'"a,b\n', "s.csv, line 3: not valid CSV"),
        (b"caf\xe9,b\n", "s.csv, line 3: not UTF-8 (byte 0xe9)"),
        (b'"a"x,b\n', "s.csv, line 3: not valid CSV"),
        (b'\n\n"a"x,b\n', "s.csv, line 5: not valid CSV"),
        (b"\n\na\n", "s.csv, line 5: has a different number of cells"),
        (b'"one\ntwo",b\n"three\nfour"\n', "s.csv, line 5: has a different number of cells"),
    ],
)
def test_a_broken_row_of_a_table_stops_with_its_file_and_line(tmp_path, rows, words):
    assert stopped(tmp_path, GOOD["csv"] + rows, "csv").startswith(words)


def test_a_table_without_a_column_names_it(tmp_path):
    assert stopped(tmp_path, b"subject,text\na,b\n", "csv").startswith(
        "s.csv, line 1: the header has no `body` (it has: subject, text)"
    )


@pytest.mark.parametrize(
    ("kind", "content"),
    [("jsonl", b""), ("jsonl", b"\n \n"), ("csv", b""), ("csv", b"subject,body\n"), ("jsonl", b"\xef\xbb\xbf")],
)
def test_a_source_without_rows_is_refused(tmp_path, kind, content):
    assert stopped(tmp_path, content, kind) == f"s.{kind} has no rows."


def test_a_source_that_is_not_there_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(AnnealError, match="no.jsonl does not exist: put the data there, or correct ingest.source"):
        ingest(PARAMS["jsonl"], tmp_path / "no.jsonl", tmp_path / "raw")
    assert list(tmp_path.iterdir()) == []


def test_two_different_rows_under_one_id_are_refused(tmp_path):
    content = b'{"id": "7", "subject": "a", "body": "b"}\n{"id": 7, "subject": "a", "body": "c"}\n'
    assert stopped(tmp_path, content) == "s.jsonl, lines 1 and 2: two different rows have the id 7; give each its own."


def test_the_same_row_twice_is_left_to_the_deduplication(tmp_path):
    assert len(taken(tmp_path, GOOD["jsonl"] * 2)) == 2


def test_a_byte_order_mark_and_blank_lines_and_windows_line_ends_are_no_content(tmp_path):
    plain = taken(tmp_path, GOOD["jsonl"] * 2)
    assert (
        taken(
            tmp_path,
            b"\xef\xbb\xbf" + GOOD["jsonl"].replace(b"\n", b"\r\n") + b"\r\n  \n" + GOOD["jsonl"].rstrip(b"\n"),
        )
        == plain
    )
    assert taken(tmp_path, b"\xef\xbb\xbfsubject,body\r\na,b\r\n\r\na,b", "csv") == plain


def test_an_id_of_its_own_is_kept_and_one_that_is_made_depends_on_the_content_alone(tmp_path):
    rows = taken(
        tmp_path,
        b'{"id": "FT-1", "subject": "a", "body": "b", "extra": 1}\n{"subject": "a", "body": "b"}\n{"body": "b", '
        b'"subject": "a", "more": 2}\n{"subject": "a", "body": "c"}\n',
    )
    assert rows[0] == {"id": "FT-1", "subject": "a", "body": "b"}
    assert rows[1] == rows[2] and rows[1]["id"] != rows[3]["id"]
    assert list(rows[1]) == ["id", "subject", "body"]


def test_the_manifest_says_what_was_read(tmp_path):
    content = GOOD["jsonl"] * 3
    taken(tmp_path, content)
    size = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "rows": 3}
    assert read_json(tmp_path / "raw" / "manifest.json") == {
        "source": str(tmp_path / "s.jsonl"),
        "files": [{"name": "s.jsonl", **size}],
        **size,
        "columns": ["subject", "body"],
        "left_out_files": [],
        "left_out_columns": [],
        "numbers_as_text": {},
    }


def test_the_same_content_gives_the_same_bytes(tmp_path):
    taken(tmp_path, GOOD["jsonl"] * 3)
    before = {file.name: file.read_bytes() for file in (tmp_path / "raw").iterdir()}
    taken(tmp_path, GOOD["jsonl"] * 3)
    assert {file.name: file.read_bytes() for file in (tmp_path / "raw").iterdir()} == before


@examples(40)
@given(st.lists(st.fixed_dictionaries({"subject": texts, "body": texts}), min_size=1, max_size=6))
def test_rows_in_are_rows_out_in_order_from_either_format(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    found = taken(folder, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    assert [{"subject": row["subject"], "body": row["body"]} for row in found] == rows
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, ["subject", "body"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    assert taken(folder, table.getvalue().encode(), "csv") == found


def test_a_home_folder_is_spelt_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "s.csv").write_bytes(GOOD["csv"])
    stage(Ingest(source="~/s.csv"), tmp_path / "raw")
    assert len(read_jsonl(tmp_path / "raw" / "rows.jsonl")) == 1
