"""Tables are read right whatever their separator, quotes, line ends and header, or one sentence names the line."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.files import read_json
from tests.examples import examples
from tests.sentences import Says
from tests.tasks.ingested import TABLE, cells, refused, rows, table


@pytest.mark.parametrize("header", ["subject,body,body", "subject, body,body ", 'subject,"body",body'])
def test_a_name_twice_in_a_header_is_refused(tmp_path, header):
    assert (
        refused(tmp_path, "s.csv", f"{header}\na,b,c\n")
        == "s.csv, line 1: the header has `body` 2 times; rename all but one."
    )


def test_several_columns_without_a_name_are_no_repeated_name_and_it_is_said_that_they_are_left_out(tmp_path, capsys):
    assert rows(tmp_path, "s.csv", ",subject,body,\n0,a,b,\n1,c,d,\n", columns=None) == [("a", "b"), ("c", "d")]
    (told,) = capsys.readouterr().err.splitlines()
    assert told == Says("left out", "2 cells in column 1")
    assert read_json(tmp_path / "raw/manifest.json")["left_out_columns"] == ["(column 1)", "(column 4)"]


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
        "s.csv, line 3: has a different number of cells"
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
            "s.csv, line 2: not valid CSV (the quote that closes the cell which begins here is followed by 'c",
        ),
        ('subject,body\na,"say \\"x\\""\n', "s.csv, line 2: not valid CSV (the quote that closes"),
        (
            "subject,body\na,b\n\nc,d,e\n",
            "s.csv, line 4: has a different number of cells than the header (3, not 2, between commas)",
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


@examples(60)
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
