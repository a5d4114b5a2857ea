"""JSON in any layout, and columns and ids in any kind of file, are read right, or one sentence says what is wrong:
nothing is lost in silence.
"""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.files import read_json, read_jsonl
from tasks.stages.ingest import Ingest, peek
from tests.examples import examples
from tests.sentences import Says
from tests.tasks.ingested import cells, refused, rows, table

LINES = b'{"subject": "a", "body": "b"}\n'


def test_a_key_twice_in_an_object_is_refused(tmp_path):
    words = refused(tmp_path, "s.jsonl", LINES.decode() + '{"subject": "a", "body": "first", "body": "second"}\n')
    assert words == Says("s.jsonl, line 2", "`body` twice", "rename or remove")


# JSON


@pytest.mark.parametrize("kind", ["jsonl", "json", None])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("shape", ["array", "lines"])
def test_an_array_and_objects_over_several_lines_are_read_whatever_the_format_says(tmp_path, kind, indent, shape):
    objects = [{"subject": "a", "body": "b\n{[,"}, {"body": "d", "subject": "c", "more": [1]}]
    text = (
        json.dumps(objects, indent=indent)
        if shape == "array"
        else "\n".join(json.dumps(one, indent=indent) for one in objects)
    )
    assert rows(tmp_path, "s.json", text, format=kind) == [("a", "b\n{[,"), ("c", "d")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[\n{"subject": "a", "body": "b"},\n{"subject": "a"}\n]', "s.json, line 3: has no `body`"),
        ('[\n{"subject": "a", "body": "b"},\n]', "s.json, line 3: not valid JSON (Expecting value, column 1)"),
        (
            '[\n{"subject": "a", "body": "b"}\n{"subject": "a", "body": "b"}]',
            "s.json, line 2: not valid JSON (after this item of the array stands no , or ])",
        ),
        ('[{"subject": "a", "body": "b"}', "s.json, line 1: not valid JSON (after this item"),
        ('[{"subject": "a", "body": "b"}]\n[]', "s.json, line 2: something follows the array"),
        ('[["a", "b"]]', "s.json, line 1: holds a list, not an object"),
        (
            '{\n"subject": "a",\n"body" "b"\n}',
            "s.json, line 1: not valid JSON (Expecting ':' delimiter in line 3, column 8)",
        ),
    ],
)
def test_what_is_wrong_with_json_is_named_with_its_line(tmp_path, text, words):
    assert refused(tmp_path, "s.json", text).startswith(words)


def test_an_empty_array_has_no_rows(tmp_path):
    assert refused(tmp_path, "s.json", " [ ] ") == "s.json has no rows."


def test_numbers_are_texts_as_they_are_written_and_the_manifest_counts_them(tmp_path):
    text = (
        '{"subject": 3, "body": 1.50}\n{"subject": true, "body": "b"}\n{"subject": -2e3, "body": "c"}\n{"subject": '
        + "9" * 5000
        + ', "body": ""}\n'
    )
    assert rows(tmp_path, "s.jsonl", text) == [("3", "1.50"), ("true", "b"), ("-2e3", "c"), ("9" * 5000, "")]
    assert read_json(tmp_path / "raw/manifest.json")["numbers_as_text"] == {"subject": 4, "body": 1}


def test_whole_characters_may_be_escaped_in_two_halves_and_half_ones_are_refused_with_their_key(tmp_path):
    assert rows(tmp_path, "s.jsonl", r'{"subject": "\ud83d\ude00", "body": "b"}') == [("😀", "b")]
    assert refused(tmp_path.parent, "t.jsonl", r'{"id": "\ud83d", "subject": "a", "body": "b"}').startswith(
        "t.jsonl, line 1: `id` holds half of a surrogate pair"
    )
    assert refused(tmp_path.parent, "t.jsonl", r'{"\ude00": "a"}', columns=None).startswith(
        r't.jsonl, line 1: the key "\ude00" holds half of a surrogate'
    )


# Columns and ids


def test_columns_that_are_not_named_are_all_of_the_first_row(tmp_path):
    assert rows(tmp_path, "s.csv", "id,Ticket Text,label\n7,a,x\n,b,y\n", columns=None) == [("a", "x"), ("b", "y")]
    assert rows(
        tmp_path, "s.jsonl", '{"Ticket Text": "a", "label": 1}\n{"label": 2, "Ticket Text": "b"}', columns=None
    ) == [("a", "1"), ("b", "2")]
    assert read_json(tmp_path / "raw/manifest.json")["columns"] == ["Ticket Text", "label"]


@pytest.mark.parametrize(
    "name", ["Gro\u0308\u00dfe", " Gr\u00f6\u00dfe\u00a0", "\ufeff\ufeffGr\u00f6\u00dfe", "Gr\u00f6\u200b\u00dfe"]
)
def test_a_name_is_known_however_its_letters_are_written(tmp_path, name):
    assert rows(tmp_path, "s.csv", f"{name};text\na;b\n", columns=["Größe", "text"]) == [("a", "b")]
    assert rows(tmp_path, "s.jsonl", json.dumps({name: "a", "text": "b"}), columns=["Größe", "text"]) == [("a", "b")]


def test_columns_that_are_not_named_must_be_in_every_row_and_no_others(tmp_path):
    assert refused(tmp_path, "s.jsonl", '{"a": "x"}\n{"b": "y"}', columns=None).startswith(
        "s.jsonl, line 2: has no `a`"
    )
    assert refused(tmp_path, "s.jsonl", '{"a": "x"}\n{"a": "y", "b": "z"}', columns=None).startswith(
        "s.jsonl, line 2: has `b`, which the first row lacks; name the columns"
    )
    assert refused(tmp_path, "s.csv", "id\n7\n", columns=None).startswith("s.csv, line 2: has no column but the id")


@pytest.mark.parametrize("columns", [["subject", "body"], ["id", "subject", "body"], None])
@pytest.mark.parametrize("name", ["s.jsonl", "s.csv"])
def test_an_id_that_is_null_or_empty_is_made_from_the_content(tmp_path, columns, name):
    lines = (
        '{"id": null, "subject": "a", "body": "b"}\n{"id": " ", "subject": "c", "body": "d"}\n{"id": 7, '
        '"subject": "e", "body": "f"}'
    )
    assert rows(
        tmp_path, name, lines if name == "s.jsonl" else "id,subject,body\n,a,b\n ,c,d\n7,e,f\n", columns=columns
    ) == [("a", "b"), ("c", "d"), ("e", "f")]
    ids = [row["id"] for row in read_jsonl(tmp_path / "raw/rows.jsonl")]
    assert len(set(ids)) == 3 and ids[2] == "7" and all(len(made) == 12 for made in ids[:2])
    rows(tmp_path, "s.jsonl", '{"subject": "a", "body": "b"}')
    assert read_jsonl(tmp_path / "raw/rows.jsonl")[0]["id"] == ids[0]


# What is written can be read


@examples(60)
@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=5),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_rows_that_are_written_as_json_are_read_as_they_were(
    tmp_path_factory, entries, is_array, is_ascii, indent, encoding
):
    objects = [{"subject": subject, "body": body} for subject, body in entries]
    texts = [json.dumps(one, ensure_ascii=is_ascii, indent=indent) for one in objects]
    text = json.dumps(objects, ensure_ascii=is_ascii, indent=indent) if is_array else "\n".join(texts)
    assert rows(tmp_path_factory.mktemp("json"), "s.jsonl.gz", gzip.compress(text.encode(encoding))) == entries


def test_a_peek_is_the_first_rows_of_the_snapshot(tmp_path):
    entries = [(f"s{number}", "b") for number in range(20)]
    rows(tmp_path, "s.csv", table(";", entries=[("subject", "body"), *entries]), columns=None)
    seen = peek(Ingest(source=str(tmp_path / "s.csv")), count=3)
    assert seen.columns == ("subject", "body") and list(seen.rows) == read_jsonl(tmp_path / "raw/rows.jsonl")[:3]
