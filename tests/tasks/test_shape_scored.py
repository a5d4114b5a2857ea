"""Texts with numbers: what is one and what is set aside with what to write, which files are told, and what prepare says
of scales.
"""

import json
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.formats.answer import format_of
from tasks.stages.prepare.rows import SetAside
from tasks.stages.prepare.shapes import scored
from tests.sentences import Says
from tests.tasks.preparing import bodies, run
from tests.tasks.test_shape_labelled import told

PARAMS = scored.Params(
    shape="scored", user="{{ text }}", numbers=["stars"], validation_share=0.2, test_share=0.3, seed=1
)
TEXTS = bodies(60)


def made(folder: Path, *stars: str) -> dict[str, list[dict]]:
    """60 rows with `stars` in turn."""
    given = [{"id": f"r{i}", "text": text, "stars": stars[i % len(stars)]} for i, text in enumerate(TEXTS)]
    return run(folder, given, PARAMS, suite=[])


@pytest.mark.parametrize(("cell", "number"), [("4.50", 4.5), (" 3 ", 3), ("-1e-3", -0.001), ("007", 7)])
def test_a_number_is_written_in_one_way(cell: str, number: float) -> None:
    row = scored.example({"id": "1", "text": "Fine.", "stars": cell}, PARAMS)
    assert json.loads(row["answer"]) == {"stars": number} and row["messages"][0]["content"] == "Fine."
    form = format_of(scored.templates(PARAMS)["answer"])
    assert form.read(row["answer"]) == {"stars": row["row"]["stars"]} and form.write(row["row"]) == row["answer"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("four", "`stars` is 'four', which is not a number"),
        ("nan", "`stars` is 'nan', which is not a number"),
        ("inf", "`stars` is 'inf', which is not a number"),
        ("1,234", "`stars` is '1,234', which has a unit, or marks between its digits; write the digits alone, as in"),
        ("3 stars", "`stars` is '3 stars', which has a unit, or marks between its digits; write the digits alone"),
        ("", "its answer is empty (`stars`)"),
    ],
)
def test_what_is_no_number_is_set_aside(cell: str, words: str) -> None:
    with pytest.raises(SetAside) as aside:
        scored.example({"id": "1", "text": "Fine.", "stars": cell}, PARAMS)
    assert str(aside.value).startswith(words)


def test_rows_without_a_number_are_named_and_too_many_of_them_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnealError, match=r"10.0% of 60 rows are blank, not of .*r[0-9]+: `stars` is 'none', which is"):
        made(tmp_path, *[f"{i}.5" for i in range(9)], "none")


def test_one_number_in_all_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnealError, match=r"^prepare: `stars` is 3 in all \d+ training rows, so there is nothing to"):
        made(tmp_path, "3")


def test_the_scale_of_training_is_kept_and_few_whole_numbers_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = made(tmp_path, "1", "2", "3", "4", "5")
    values = [json.loads(row["answer"])["stars"] for row in splits["train"]]
    scale = read_json(tmp_path / "out/format.json")["numbers"]["stars"]
    assert scale["mean"] == pytest.approx(sum(values) / len(values)) and 1 < scale["deviation"] < 2
    assert (
        "prepare: `stars` has 5 values, all whole numbers (1, 2, 3, 4, 5); they are learnt as numbers, and an answer "
        "may lie between two: to learn them as classes, write shape: labelled and labels: [stars]\n"
    ) in capsys.readouterr().err
    made(tmp_path / "other", "1.5", "2", "4")
    assert "are learnt as numbers" not in capsys.readouterr().err


def rows(name: str, *cells: object) -> list[dict]:
    return [{"text": f"film number {i}", name: cells[i % len(cells)]} for i in range(24)]


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (rows("score", "0.5", "3.8", "4.2"), "scored"),
        (rows("Price", 12.5, 7, 30), "scored"),
        (rows("label", "0.5", "3.8", "4.2"), "scored"),
        (rows("label", "0", "1"), "labelled"),
        (rows("rating", "good", "bad"), None),
        (rows("score", "0.5", "n/a"), None),
        (rows("score", "0.5"), None),
        (rows("colour", "0.5", "0.7"), None),
    ],
)
def test_which_files_are_told(given: list[dict], shape: str | None, tmp_path: Path) -> None:
    prepare, is_asked = told(tmp_path, given)
    assert is_asked is (shape is None) and (is_asked or prepare["shape"] == shape)


@pytest.mark.parametrize("name", ["stars", "Rating"])
def test_few_whole_numbers_may_be_either_and_are_asked_about_with_what_to_write(name: str, tmp_path: Path) -> None:
    from tasks.preflight.recognise import recognise

    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows(name, "1", "2", "3", "4", "5")))
    assert recognise({"ingest": {"source": str(source)}}).undecided == Says(
        f"has no shape, and its rows (`text`, `{name}`)",
        f'prepare: {{shape: labelled, user: "{{{{ text }}}}", labels: [{name}]}}',
        f'prepare: {{shape: scored, user: "{{{{ text }}}}", numbers: [{name}]}}',
    )


def test_several_columns_that_hold_classes_are_named(tmp_path: Path) -> None:
    from tasks.preflight.recognise import recognise

    source = tmp_path / "rows.jsonl"
    given = [{**row, "rude": i % 2, "angry": i % 3 // 2} for i, row in enumerate(rows("loud", 0, 1))]
    source.write_text("".join(json.dumps(row) + "\n" for row in given))
    words = recognise({"ingest": {"source": str(source)}}).undecided
    assert 'write prepare: {shape: labelled, user: "{{ text }}", labels: [loud, rude, angry]}, with those that' in words


def test_numbers_in_prepare_make_it_scored(tmp_path: Path) -> None:
    given = rows("stars", "1", "2")
    assert told(tmp_path, given, {"user": "{{ text }}", "numbers": ["stars"]}) == ({"shape": "scored"}, False)
