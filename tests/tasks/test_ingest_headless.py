"""Tables without a header are read where ingest says so; where it says nothing, their first row is not lost in
silence.
"""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.errors import AnnealError
from tasks.stages.ingest import Ingest, format_for_new_rows, read
from tests.sentences import Says
from tests.tasks.ingested import TABLE, refused, rows, table

SST = "a gorgeous , witty film\t1\nno movement , no yuks\t0\nit 's dull , long\t0\n"
NEWS = '"3","Oil up","Prices rise, again."\n"1","Vote","A ""close"" race"\n"3","Bank","It lends."\n'
SAID = {"columns": ["text", "label"], "header": False}


def test_a_review_and_its_number_between_tabs(tmp_path: Path) -> None:
    taken = rows(tmp_path, "train.tsv", SST, **SAID)
    assert taken[0] == ("a gorgeous , witty film", "1") and len(taken) == 3
    (other := tmp_path / "other").mkdir()
    assert rows(tmp_path, "train.csv", SST + "short\t0\n", **SAID)[:3] == taken
    assert refused(other, "train.csv", SST, **SAID) == Says("train.csv", "commas or tabs", "`sep=,`")


def test_news_with_three_columns(tmp_path: Path) -> None:
    taken = rows(tmp_path, "train.csv", NEWS, columns=["topic", "title", "body"], header=False)
    assert taken == [
        ("3", "Oil up", "Prices rise, again."),
        ("1", "Vote", 'A "close" race'),
        ("3", "Bank", "It lends."),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_rows_tell_the_separator(tmp_path: Path, separator: str) -> None:
    assert rows(tmp_path, "s.csv", table(separator), header=False) == TABLE
    assert rows(tmp_path, "s.csv", f"sep={separator}\n" + table(separator), header=False) == TABLE


@pytest.mark.parametrize(
    ("name", "content", "place", "names"),
    [
        ("s.tsv", SST, "`1` in column 2", "[text, label]"),
        ("s.csv", NEWS, "`3` in column 1", "[label, text_1, text_2]"),
        ("s.csv", "Great.,good\nAwful.,bad\nFine.,good\n", "`good` in column 2", "[text, label]"),
    ],
)
@pytest.mark.parametrize("columns", [None, ["text", "label"]])
def test_a_first_row_that_looks_like_data_is_asked_about(
    name: str, content: str, place: str, names: str, columns: list[str] | None, tmp_path: Path
) -> None:
    asked = f"ingest: {{header: false, columns: {names}}}"
    words = Says(f"{name}, line 1", f"looks like data and not like a header ({place})", asked, "or header: true")
    assert refused(tmp_path, name, content, columns=columns) == words


@pytest.mark.parametrize(
    ("content", "params"),
    [
        ("2023,2024\n1,2\n3,4\n", {"columns": ["2023", "2024"]}),
        ("2023,2024\n1,2\n3,4\n", {"columns": None, "header": True}),
        ("text,label\na,1\ntext,label\nb,0\n", {"columns": None}),
        ("0,text\nx1,a\nx2,b\n", {"columns": None}),
    ],
)
def test_a_header_that_is_one_stays_one(tmp_path: Path, content: str, params: dict) -> None:
    assert len(rows(tmp_path, "s.csv", content, **params)) == len(content.splitlines()) - 1


def test_a_row_with_another_number_of_cells_is_named_by_its_line(tmp_path: Path) -> None:
    assert refused(tmp_path, "s.tsv", SST + "no label\n", **SAID) == Says(
        "s.tsv, line 4", "number of cells", "ingest.columns", "1, not 2, between tabs", "fix the row"
    )
    assert refused(tmp_path, "s.csv", NEWS, **SAID) == Says(
        "s.csv", "ingest.header", "ingest.columns names 2 cells", "3 between commas", "name a column for each cell"
    )


def test_a_file_whose_header_is_missing_must_be_given_names() -> None:
    with pytest.raises(ValidationError, match="header is false, so the file names no columns"):
        Ingest(source="s.tsv", header=False)


def test_a_format_without_headers_has_none_to_speak_of(tmp_path: Path) -> None:
    words = refused(tmp_path, "s.jsonl", '{"text": "a", "label": "b"}\n', **SAID)
    assert words == Says("s.jsonl", "ingest.header", "no optional header", "leave it out")


def test_harvested_rows_lie_beside_it_as_json_lines_that_keep_their_ids(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(SST)
    params = Ingest(source=str(tmp_path), **SAID)
    assert format_for_new_rows(params, tmp_path) == "jsonl"
    (tmp_path / "harvested-0001.jsonl").write_text('{"id": "feedback-1", "text": "good", "label": "1"}\n')
    taken, _ = read(params, tmp_path)
    assert len(taken) == 4 and {"id": "feedback-1", "text": "good", "label": "1"} in taken
    (tmp_path / "harvested-0001.jsonl").unlink()
    with pytest.raises(AnnealError, match="leave out ingest.format"):
        format_for_new_rows(params.model_copy(update={"format": "tsv"}), tmp_path)


QUOTED = """\" fine as it is \" , he says\t1
the so-called \" plot \" is thin \"\t0
\" never closed\t1
"a film
of ""two"" halves"\t0
12\"\t1
"""


def test_a_quote_in_a_file_of_tabs_that_does_not_close_at_a_cells_end_is_one_of_the_text(tmp_path: Path) -> None:
    """As GLUE has it; a cell in quotes may still hold a line end."""
    taken = rows(tmp_path, "s.tsv", QUOTED, header=False, columns=["text", "label"])
    assert taken == [
        ('" fine as it is " , he says', "1"),
        ('the so-called " plot " is thin "', "0"),
        ('" never closed', "1"),
        ('a film\nof "two" halves', "0"),
        ('12"', "1"),
    ]
    (other := tmp_path / "other").mkdir()
    assert "never closed" in refused(other, "s.csv", 'text,label\n" never closed,1\n', columns=None)
