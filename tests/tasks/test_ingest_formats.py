"""Every format, compressed or not, gives the rows that were written into it, and refuses what no text can hold."""

import datetime
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import kinds
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl
from tasks.section import parse
from tasks.stages.ingest import Ingest, format_for_new_rows, peek
from tasks.stages.ingest.__main__ import ingest
from tasks.stages.ingest.params import FORMATS
from tasks.stages.ingest.readers import reader
from tests.examples import examples

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ROWS = [{"id": "1", "subject": "a", "body": "b\nc"}, {"id": "2", "subject": "é", "body": '"'}]


def stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as file:
        file.write_table(table)


WRITERS = {
    "s.parquet": lambda table, path: pa.parquet.write_table(table, path),
    "s.feather": lambda table, path: pa.feather.write_feather(table, str(path)),
    "s.arrow": stream,
    "s.jsonl": lambda table, path: path.write_text("\n".join(map(json.dumps, table.to_pylist())), encoding="utf-8"),
    "s.json": lambda table, path: path.write_text(json.dumps(table.to_pylist()), encoding="utf-8"),
}


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


def taken(source: Path, **params: object) -> list[dict]:
    ingest(Ingest(source=str(source), **params), source.parent / "raw")
    return read_jsonl(source.parent / "raw/rows.jsonl")


def refused(source: Path, **params: object) -> str:
    with pytest.raises(AnnealError) as error:
        taken(source, **params)
    assert not (source.parent / "raw").exists()
    return str(error.value).removeprefix(f"{source.parent}/")


def parquet(folder: Path, **columns: pa.Array) -> Path:
    pa.parquet.write_table(pa.table(columns), folder / "s.parquet")
    return folder / "s.parquet"


def test_a_format_is_a_module_of_the_folder():
    names = kinds.names(FORMATS)
    assert names == ["arrow", "csv", "images", "json", "jsonl", "parquet", "text", "tsv"]
    assert [ending for name in names for ending in reader(name).ENDINGS].count(".csv") == 1
    with pytest.raises(
        ParamsError, match=r"ingest\.format is 'xml'; it should be one of arrow, csv, images, json, jsonl, parq"
    ):
        parse(Ingest, {"source": "s", "format": "xml"}, "datasets.d.ingest")


@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("name", WRITERS)
def test_rows_are_read_as_they_were_written_however_they_are_packed(tmp_path, name, pack):
    WRITERS[name](pa.Table.from_pylist(ROWS), tmp_path / name)
    packed = pack((tmp_path / name).read_bytes())
    endings = [""] if packed == (tmp_path / name).read_bytes() else ["", ".gz" if packed[:2] == b"\x1f\x8b" else ".zst"]
    (tmp_path / name).unlink()
    for ending in endings:  # a compressed file is known by its first bytes as well
        source = tmp_path / f"{name}{ending}"
        source.write_bytes(packed)
        assert taken(source, columns=["subject", "body"]) == taken(source) == ROWS
        assert peek(Ingest(source=str(source)), count=1).rows == (ROWS[0],)


def test_a_folder_may_hold_several_formats(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    for number, name in enumerate(WRITERS):
        rows = [{"id": f"{number}{row['id']}", "body": row["body"]} for row in ROWS]
        WRITERS[name](pa.Table.from_pylist(rows), source / f"{number}{name}")
    (source / "README.md").write_text("what this is")
    assert [row["id"] for row in taken(source)] == [f"{number}{place}" for number in range(5) for place in (1, 2)]
    assert read_json(tmp_path / "raw/manifest.json")["left_out_files"] == ["README.md"]
    assert format_for_new_rows(Ingest(source=str(source)), source) == "jsonl"


def test_values_become_the_texts_that_say_them_and_the_manifest_counts_them(tmp_path):
    source = parquet(
        tmp_path,
        id=pa.array([7]),
        short=pa.array([0.1], pa.float32()),
        long=pa.array([0.1 + 0.2]),
        money=pa.array([Decimal("1.50")]),
        large=pa.array([2**63], pa.uint64()),
        yes=pa.array([True]),
        day=pa.array([datetime.date(2026, 1, 2)]),
        at=pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)]),
        kind=pa.array(["fault"]).dictionary_encode(),
    )
    assert taken(source) == [
        {
            "id": "7",
            "short": "0.1",
            "long": "0.30000000000000004",
            "money": "1.50",
            "large": "9223372036854775808",
            "yes": "true",
            "day": "2026-01-02",
            "at": "2026-01-02T03:04:05+00:00",
            "kind": "fault",
        }
    ]
    manifest = read_json(tmp_path / "raw/manifest.json")
    assert manifest["numbers_as_text"] == {"short": 1, "long": 1, "money": 1, "large": 1, "yes": 1}
    assert manifest["times_as_text"] == {"day": 1, "at": 1}


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (pa.array(["a", None]), "is null, not a text"),
        (pa.array(["a", b"\xff"], pa.binary()), "is bytes (a picture, a sound, a text in no encoding), not a text"),
        (pa.array([1.0, float("nan")]), "is nan, not a text"),
        (pa.array([1.0, float("-inf")]), "is -inf, not a text"),
        (pa.array([None, datetime.timedelta(1)]), "is null, not a text"),
        (pa.array(["a", None]).dictionary_encode(), "is null"),
    ],
)
def test_what_no_text_holds_is_refused_with_its_row_and_may_be_left_out(tmp_path, cell, words):
    source = parquet(tmp_path, body=pa.array(["x", "y"]), cell=cell)
    row = 1 if cell[0].as_py() is None or cell.type == pa.binary() else 2
    assert refused(source).startswith(f"s.parquet, row {row}: `cell` {words}")
    assert [row["body"] for row in taken(source, columns=["body"])] == ["x", "y"]


def test_lists_and_structs_are_refused_or_kept_as_json(tmp_path):
    turns = [{"from": "human", "value": "Hi", "at": datetime.date(2026, 1, 2), "n": 1.5, "none": None}]
    tools = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    source = parquet(tmp_path, turns=pa.array([turns]), tools=tools, text=pa.array(['{"a": [1.50]}']))
    assert refused(source).startswith("s.parquet, row 1: `turns` is a list")
    (row,) = taken(source, json_columns=["turns", "tools", "text"])
    assert row["turns"] == '[{"from":"human","value":"Hi","at":"2026-01-02","n":1.5,"none":null}]'
    assert row["tools"] == '{"a":1}' and row["text"] == '{"a":[1.50]}'


@pytest.mark.parametrize("inner", [b"x", float("nan")])
def test_what_json_cannot_hold_is_refused_inside_a_value(tmp_path, inner):
    assert refused(parquet(tmp_path, turns=pa.array([[inner]])), json_columns=["turns"]).startswith(
        "s.parquet, row 1: `turns` is "
    )


def test_names_of_columns_are_read_clean_and_once(tmp_path):
    pa.parquet.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", " text"]), tmp_path / "s.parquet")
    assert refused(tmp_path / "s.parquet") == "s.parquet: has the column `text` 2 times; rename all but one."


@pytest.mark.parametrize("name", ["s.parquet", "s.arrow", "s.feather", "s.parquet.zst", "s.csv.zst"])
@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_a_file_that_breaks_off_is_refused(tmp_path, name, share):
    WRITERS.get(name, WRITERS["s.parquet"])(pa.Table.from_pylist(ROWS * 99), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    content = zstd(content) if name.endswith(".zst") else content
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    words = refused(tmp_path / name)
    assert words.startswith(f"{name}: not a complete ") or (words == f"{name} has no rows." and not share)


@examples(40)
@given(rows=st.lists(st.tuples(texts, st.integers(), texts), min_size=1, max_size=5))
def test_any_table_comes_back_the_same_from_parquet_and_arrow_as_from_json(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    rows = [{"id": str(place), "a": a, "b": b % 2**40, "c": c} for place, (a, b, c) in enumerate(rows)]
    table = pa.Table.from_pylist(rows)
    for name, write in WRITERS.items():
        write(table, folder / name)
    first, *others = [taken(folder / name) for name in WRITERS]
    assert all(rows == first for rows in others)
