"""Lists and objects in the cells that ingest.json_columns names come back as they were, through every stage that cleans
texts; in all other cells they are refused, with the way out.
"""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl
from tasks.section import parse
from tasks.stages.ingest import Ingest, peek
from tasks.stages.ingest.__main__ import ingest
from tasks.texts.clean import clean
from tests.examples import examples
from tests.sentences import Says

# Control characters, line separators, letters with marks of their own, what is invisible: all that `clean` takes away.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    'ne\u0300\u0338\u030a\u00e9\u212b\u200b\ufeff\u2028\x85\x7f\x00\r\n\t "\\>=', max_size=12
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
TURNS = [{"from": "human", "value": "Hi"}, {"value": "Hé 🎉", "from": "gpt"}]


def taken(source: Path, **params: object) -> list[dict]:
    out = source.parent / "raw"
    ingest(Ingest(source=str(source), **params), out)
    return read_jsonl(out / "rows.jsonl")


def refused(tmp_path: Path, content: str, name: str = "s.jsonl", **params: object) -> str:
    (tmp_path / name).write_text(content)
    with pytest.raises(AnnealError) as error:
        taken(tmp_path / name, **params)
    return str(error.value).removeprefix(f"{tmp_path}/")


def test_lists_and_objects_are_kept_as_canonical_json(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps([{"id": "a", "turns": TURNS, "tools": None, "title": "t"}], indent=2))
    assert taken(tmp_path / "s.json", json_columns=["turns", "tools"]) == [
        {
            "id": "a",
            "turns": '[{"from":"human","value":"Hi"},{"value":"Hé 🎉","from":"gpt"}]',
            "tools": "null",
            "title": "t",
        }
    ]
    assert read_json(tmp_path / "raw/manifest.json")["numbers_as_text"] == {}


@pytest.mark.parametrize("written", ["1.50", "1e999", "-0", "9" * 5000])
def test_numbers_stay_as_they_are_written(tmp_path, written):
    (tmp_path / "s.jsonl").write_text(f'{{"turns": [{written}, "{written}"]}}')
    assert taken(tmp_path / "s.jsonl", json_columns=["turns"])[0]["turns"] == f'[{written},"{written}"]'
    assert read_json(tmp_path / "raw/manifest.json")["numbers_as_text"] == {}


@examples(150)
@given(value=values)
def test_any_value_comes_back_equal_after_it_was_cleaned(tmp_path_factory, value):
    source = tmp_path_factory.mktemp("source") / "s.jsonl"
    source.write_text(json.dumps({"turns": value}) + "\n", encoding="utf-8")
    (row,) = taken(source, json_columns=["turns"])
    assert clean(row["turns"]) == row["turns"]
    assert json.loads(row["turns"]) == value
    with source.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["turns"], [row["turns"]]])
    assert taken(source.with_suffix(".csv"), json_columns=["turns"]) == [row]


def test_plain_text_stays_readable(tmp_path):
    (tmp_path / "s.jsonl").write_text(json.dumps({"turns": ["Größe 日本 👩‍👩‍👧 हिन्दी", "e\u0301"]}))
    (row,) = taken(tmp_path / "s.jsonl", json_columns=["turns"])
    assert row["turns"] == '["Größe 日本 👩‍👩‍👧 हिन्दी","e\\u0301"]'


@pytest.mark.parametrize(
    "value", ['["\\ud83d"]', '{"\\udc00": 1}', '[{"a": ["\\ud83d x"]}]'], ids=["string", "key", "deep"]
)
def test_half_a_character_is_refused_wherever_it_stands(tmp_path, value):
    words = refused(tmp_path, f'{{"turns": {value}}}', json_columns=["turns"])
    assert words.startswith("s.jsonl, line 1: `turns` holds half of a surrogate pair")


@pytest.mark.parametrize("value", ["[" * 900 + "]" * 900, '{"a": 1, "a": 2}'])
def test_what_would_be_lost_is_refused_in_one_sentence(tmp_path, value):
    assert refused(tmp_path, f'{{"turns": {value}}}', json_columns=["turns"]).startswith("s.jsonl, line 1:")


def test_in_any_other_column_the_way_out_is_named(tmp_path):
    words = refused(tmp_path, json.dumps({"turns": TURNS, "tools": {}}), json_columns=["tools"])
    assert words == Says("s.jsonl, line 1: `turns` is a list", "ingest.json_columns", "leave it out of ingest.columns")


def test_a_cell_of_a_table_is_read_as_json_text(tmp_path):
    words = refused(tmp_path, 'a,turns\nb,"[1,"\n', "s.csv", json_columns=["turns"])
    assert words.startswith("s.csv, line 2: `turns` is not valid JSON (")


def test_a_column_that_no_row_has_is_named(tmp_path):
    words = refused(tmp_path, json.dumps({"turns": TURNS}), json_columns=["turns", "tool"])
    assert words == "s.jsonl, line 1: has no `tool`; correct ingest.json_columns in params.yaml (the row has `turns`)."
    with pytest.raises(ParamsError, match=r"ingest: json_columns names `b`, which columns does not; add it there"):
        parse(Ingest, {"source": "s", "columns": ["a"], "json_columns": ["b"]}, "datasets.d.ingest")


def test_a_key_inside_a_value_is_not_cleaned_as_the_name_of_a_column_is(tmp_path):
    (tmp_path / "s.jsonl").write_text(json.dumps({" turns": {" a ": 1, "a": 2, "e\u0301": 3, "é": 4}}))
    (row,) = taken(tmp_path / "s.jsonl", json_columns=["turns"])
    assert json.loads(row["turns"]) == {" a ": 1, "a": 2, "e\u0301": 3, "é": 4}
    assert peek(Ingest(source=str(tmp_path / "s.jsonl"), json_columns=["turns"])).columns == ("turns",)
