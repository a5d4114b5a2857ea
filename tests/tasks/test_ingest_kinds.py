"""Whatever people's files look like, their rows are read right, or one sentence says what is wrong: nothing is lost
in silence.
"""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.ingest import Ingest, peek
from tasks.ingest.__main__ import ingest

modest = settings(max_examples=60, deadline=None, derandomize=True, database=None)
TABLE = [("subject", "body"), ("Late", "It is late."), ("Dark", "The lamp, again; it | is dark.")]
LINES = b'{"subject": "a", "body": "b"}\n'


def rows(folder: Path, name: str, content: bytes | str, **params: object) -> list[tuple[str, ...]]:
    """The values of the rows of a file, without ids."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ingest(Ingest(**{"source": str(folder / name), "columns": ["subject", "body"]} | params), folder / "raw")
    return [tuple(value for key, value in row.items() if key != "id") for row in read_jsonl(folder / "raw/rows.jsonl")]


def refused(folder: Path, name: str, content: bytes | str, **params: object) -> str:
    """The sentence, without the folder."""
    with pytest.raises(AnnealError) as stopped:
        rows(folder, name, content, **params)
    assert not (folder / "raw").exists() and len(str(stopped.value).splitlines()) == 1
    return str(stopped.value).replace(f"{folder}/", "")


def table(
    separator: str, quoting: int = csv.QUOTE_MINIMAL, end: str = "\r\n", entries: list[tuple[str, ...]] = TABLE
) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end).writerows(entries)
    return text.getvalue()


# Repeated names


def test_a_key_twice_in_an_object_is_refused(tmp_path):
    words = refused(tmp_path, "s.jsonl", LINES.decode() + '{"subject": "a", "body": "first", "body": "second"}\n')
    assert words == "s.jsonl, line 2: has the key `body` twice; rename or remove one of the two."


@pytest.mark.parametrize("header", ["subject,body,body", "subject, body,body ", 'subject,"body",body'])
def test_a_name_twice_in_a_header_is_refused(tmp_path, header):
    assert (
        refused(tmp_path, "s.csv", f"{header}\na,b,c\n")
        == "s.csv, line 1: the header has `body` 2 times; rename all but one."
    )


def test_several_columns_without_a_name_are_no_repeated_name_and_it_is_said_that_they_are_left_out(tmp_path, capsys):
    assert rows(tmp_path, "s.csv", ",subject,body,\n0,a,b,\n1,c,d,\n", columns=None) == [("a", "b"), ("c", "d")]
    assert (
        capsys.readouterr().err == "ingest: left out, because the header names no column there: 2 cells in column 1\n"
    )
    assert read_json(tmp_path / "raw/manifest.json")["left_out_columns"] == ["(column 1)", "(column 4)"]


# Tables


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("columns", [None, ["subject", "body"]])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_header_tells_the_separator(tmp_path, separator, columns, end):
    assert rows(tmp_path, "s.csv", table(separator, end=end), columns=columns) == TABLE[1:]


def test_a_line_that_names_the_separator_is_followed(tmp_path):
    for line, separator in (
        ("sep=,", ","),
        ("SEP=;", ";"),
        ('"sep=|"', "|"),
        ("sep=\t", "\t"),
        (r"sep=\t", "\t"),
        ("\nsep=^", "^"),
    ):
        assert rows(tmp_path, "s.csv", f"{line}\r\n{table(separator)}") == TABLE[1:]


def test_the_line_that_names_the_separator_is_counted(tmp_path):
    assert refused(tmp_path, "s.csv", "sep=;\nsubject;body\na\n").startswith(
        "s.csv, line 3: has another number of cells"
    )


def test_a_carriage_return_alone_ends_a_row_only_where_no_line_ends_otherwise(tmp_path):
    assert rows(tmp_path, "s.csv", "text\none\rtwo\nthree\n", columns=["text"]) == [("one\rtwo",), ("three",)]
    assert rows(tmp_path, "s.csv", "text\rone\rtwo", columns=["text"]) == [("one",), ("two",)]


def test_a_header_that_can_be_read_in_two_ways_is_refused(tmp_path):
    assert refused(tmp_path, "s.csv", "a;b,c\n1;2,3\n", columns=None).startswith(
        "s.csv: its header can be read with commas or semicolons between the columns; say which"
    )


def test_blanks_before_and_after_quotes_are_no_content(tmp_path):
    assert rows(tmp_path, "s.csv", 'subject, body\n"a", "b, c"\n"d" ,\t"say ""x"""  \n e, f \n') == [
        ("a", "b, c"),
        ("d", 'say "x"'),
        (" e", " f "),
    ]


def test_empty_lines_are_skipped_wherever_they_stand(tmp_path):
    assert rows(tmp_path, "s.csv", "\n  \n,\nsubject,body\n\na,b\n   \nc,d\n\n") == [("a", "b"), ("c", "d")]
    assert rows(tmp_path, "s.csv", '\n\ntext\n\na\n""\n\nb', columns=["text"]) == [("a",), ("",), ("b",)]


def test_a_cell_may_be_long(tmp_path):
    before = csv.field_size_limit()
    assert rows(tmp_path, "s.csv", f'subject,body\na,{"x" * 300_000}\nb,"{"y," * 200_000}"\n') == [
        ("a", "x" * 300_000),
        ("b", "y," * 200_000),
    ]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('subject,body\na,b\n"c,d\ne,f\n', "s.csv, line 3: not valid CSV (a quote that opens here is never closed)"),
        ('subject,body\na,"b\n\nc\nd,e\n', "s.csv, line 2: not valid CSV (a quote that opens here is never closed)"),
        (
            'subject,body\n"a,b\n"c",d\n',
            "s.csv, line 2: not valid CSV (after the quote that closes the cell which begins here stands 'c",
        ),
        ('subject,body\na,"say \\"x\\""\n', "s.csv, line 2: not valid CSV (after the quote"),
        (
            "subject,body\na,b\n\nc,d,e\n",
            "s.csv, line 4: has another number of cells than the header (3, not 2, between commas)",
        ),
        ("topic,text\na,b\n", "s.csv, line 1: the header has no `subject` (it has: topic, text)"),
        ("topic;text\na;b\n", "s.csv, line 1: the header has no `subject` (it has: topic, text)"),
        ('"subject,body\na,b\n', "s.csv, line 1: not valid CSV (a quote that opens here is never closed)"),
    ],
)
def test_what_is_wrong_with_a_table_is_named_with_its_line(tmp_path, text, words):
    assert refused(tmp_path, "s.csv", text).startswith(words)


def test_a_quote_inside_a_cell_is_a_character(tmp_path):
    assert rows(tmp_path, "s.csv", 'subject,body\nscreen 5",it is 5" wide\n') == [('screen 5"', 'it is 5" wide')]


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
        "s.jsonl, line 2: has `b`, which the first row has not; name the columns"
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


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', '""', ' "a"', ", ", ";", "|", "\t", "\r", "\r\n", " ", "sep=;", "\ufeff", "\x00"]
)


@modest
@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_rows_that_are_written_as_a_table_are_read_as_they_were(tmp_path_factory, entries, separator, quoting, end):
    folder = tmp_path_factory.mktemp("table")
    quoting = csv.QUOTE_ALL if end == "\n" else quoting  # the writer leaves a \r before its own \n without quotes
    text = table(separator, quoting, end, [("subject", "body"), *entries])
    assert rows(folder, "s.csv", text) == rows(folder, "s.csv", text, columns=None) == entries


@modest
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
