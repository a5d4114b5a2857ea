"""Rows with a label are told where that is plain, and asked about where it is not."""

import json
from pathlib import Path

import pytest

from tasks.preflight.recognise import recognise
from tasks.preflight.sections import complete
from tasks.stage import parse_yaml


def told(folder: Path, rows: list[dict], prepare: dict | None = None) -> tuple[dict, bool]:
    """(what is written into `prepare`, whether a person is asked)."""
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = recognise({"ingest": {"source": str(source)}, **({"prepare": prepare} if prepare else {})})
    return known.prepare, bool(known.undecided)


def rows(count: int = 12, **more: object) -> list[dict]:
    return [{"text": f"film number {i}", "label": str(i % 2), **more} for i in range(count)]


@pytest.mark.parametrize(
    ("given", "user", "label"),
    [
        (rows(), "{{ text }}", "label"),
        ([{"review": f"film {i}", "Sentiment": i % 2} for i in range(12)], "{{ review }}", "Sentiment"),
        (
            [{"topic": "abc"[i % 3], "title": f"oil {i}", "Long text": f"it rose {i}"} for i in range(12)],
            "{{ title }}\n\n{{ row['Long text'] }}",
            "topic",
        ),
        ([{"text": f"\u8336{i}", "category": "ab"[i % 2]} for i in range(12)], "{{ text }}", "category"),
    ],
)
def test_a_column_of_classes_beside_texts_is_told(given: list[dict], user: str, label: str, tmp_path: Path) -> None:
    assert told(tmp_path, given) == ({"shape": "labelled", "user": user, "labels": [label]}, False)


@pytest.mark.parametrize(
    "given",
    [
        rows(1),
        [{**row, "label": "0"} for row in rows()],  # as where rows are sorted by class
        [{**row, "label": f"{i}"} for i, row in enumerate(rows())],
        [{**row, "topic": "tea"} for row in rows()],  # two labels: which is meant?
        rows(url="https://example.org/1"),
        [{"text": row["text"], "colour": row["label"]} for row in rows()],
    ],
)
def test_what_is_not_plain_is_asked(given: list[dict], tmp_path: Path) -> None:
    _, is_asked = told(tmp_path, given)
    assert is_asked


@pytest.mark.parametrize(
    ("columns", "shape"),
    [(("prompt", "completion", "label"), "rated"), (("source", "target"), "pair"), (("prompt", "output"), "alpaca")],
)
def test_shapes_that_write_stay_what_they_are(columns: tuple[str, ...], shape: str, tmp_path: Path) -> None:
    cells = {"label": ["true", "false"], "target": ["yes", "no"], "output": ["yes", "no"], "completion": ["a b", "c d"]}
    given = [{name: cells.get(name, [f"tea {i}"] * 2)[i % 2] for name in columns} for i in range(12)]
    assert told(tmp_path, given)[0]["shape"] == shape


def test_templates_and_labels_make_it_labelled_and_templates_alone_a_table(tmp_path: Path) -> None:
    assert told(tmp_path, rows(), {"user": "{{ text }}", "labels": ["label"]}) == ({"shape": "labelled"}, False)
    assert told(tmp_path, rows(), {"user": "{{ text }}", "answer": "{{ label }}"}) == ({"shape": "table"}, False)


def test_what_is_told_is_written_as_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = [{"title": f"oil {i}", "body": f"it rose {i}", "class": "ab"[i % 2]} for i in range(12)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    Path("params.yaml").write_text(
        f"bases:\n  small: {{folder: b, sha256: '{'0' * 64}', license: mit}}\n"
        "datasets:\n  mine: {ingest: {source: rows.jsonl}}\nmodels:\n  m: {parent: small, dataset: mine}\n"
    )
    value = parse_yaml(complete().text, Path("params.yaml"))
    assert value["datasets"]["mine"]["prepare"] == {
        "shape": "labelled",
        "user": "{{ title }}\n\n{{ body }}",
        "labels": ["class"],
    }
    assert value["models"]["m"]["train"]["objective"] == {"kind": "classify"}
    assert value["models"]["m"]["evaluate"] == {"labels": ["class"]}
