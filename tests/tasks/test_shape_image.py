"""Rows with images: split and told apart by the bytes of the image, set aside with the reason where one cannot be
read.
"""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.prepare.rows import SetAside
from tasks.stages.prepare.shapes import image
from tests import pictures

PARAMS = image.Params(shape="image", labels=["colour"], validation_share=0.2, test_share=0.3)


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, str]]:
    return pictures.write_images(tmp_path / "source", 48)


def prepared(place: Path, rows: list[dict[str, str]], allowed: float = 0.2) -> dict[str, list[dict]]:
    write_jsonl(place / "validated" / "rows.jsonl", rows)
    limits = {"rows": len(rows), "quarantined": 0, "max_quarantined_share": allowed}
    write_json(place / "validated" / "limits.json", limits)
    write_json(place / "suite.json", {"expectations": []})
    prepare(PARAMS, place / "validated", place / "suite.json", place / "out", place / "docs", place / "report.json")
    names = ("train", "validation", "test", "dropped")
    return {name: read_jsonl(place / "out" / f"{name}.jsonl") for name in names}


def test_a_row_is_the_hash_of_its_image_its_place_and_its_labels(rows: list[dict[str, str]]) -> None:
    row = image.example(rows[0], PARAMS)
    assert (
        row["messages"] == [{"role": "user", "content": row["row"]["image"]}] and row["answer"] == '{"colour": "red"}'
    )
    assert row["row"]["image"].startswith("sha256:") and row["row"]["image_file"] == rows[0]["image"]


@pytest.mark.slow  # Great Expectations is loaded
def test_what_cannot_be_read_is_set_aside_with_the_reason_and_counted(
    tmp_path: Path, rows: list[dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    files = [Path(row["image"]) for row in rows]
    files[0].write_bytes(files[0].read_bytes()[:60])
    files[1].write_bytes(b"")
    files[2].write_bytes(b"no image")
    files[3].unlink()
    rows[4]["colour"] = " "
    splits = prepared(tmp_path, rows)
    reasons = {row["id"]: row["reason"] for row in splits["dropped"]}
    assert set(reasons) == {f"p{number}" for number in range(5)}
    assert "its image 0.png is damaged or truncated" in reasons["p0"] and "is empty" in reasons["p1"]
    assert "is not a PNG" in reasons["p2"] and "3.png is not there" in reasons["p3"] and "`colour`" in reasons["p4"]
    assert "left out 4 rows" in capfd.readouterr().err
    assert sum(len(splits[name]) for name in ("train", "validation", "test")) == 43
    with pytest.raises(AnnealError, match=r"10.4% of 48 rows .* its image 0.png is damaged"):
        prepared(tmp_path, rows, allowed=0.05)


@pytest.mark.slow  # Great Expectations is loaded
def test_the_same_image_twice_is_one_question_and_its_split_follows_from_its_bytes(
    tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    copies = [Path(row["image"]).with_name(f"copy-{row['id']}.png") for row in rows[:2]]
    for copy, row in zip(copies, rows, strict=False):
        copy.write_bytes(Path(row["image"]).read_bytes())
    more = [{**rows[0], "id": "again", "image": str(copies[0])}]
    more += [{**rows[1], "id": "other", "image": str(copies[1]), "colour": "blue"}]
    alone, splits = prepared(tmp_path / "alone", rows), prepared(tmp_path / "more", [*rows, *more])
    dropped = {row["id"]: row["reason"] for row in splits["dropped"]}
    assert "near-duplicate of" in dropped["p0" if "p0" in dropped else "again"] and len(dropped) == 3
    assert "contradicts" in dropped["p1"] and "contradicts" in dropped["other"]
    where = [
        {row["row"]["image"]: name for name in ("train", "test") for row in each[name]} for each in (alone, splits)
    ]
    assert all(where[0][image] == name for image, name in where[1].items())
    assert read_json(tmp_path / "alone" / "out" / "format.json")["classes"]["colour"].keys() == {"red", "green", "blue"}


def test_a_label_that_is_called_as_the_image_is_is_refused() -> None:
    for names in (["image"], ["label", "image_file"]):
        with pytest.raises(ValidationError, match="which is what an image is called by"):
            image.Params(shape="image", labels=names)
    with pytest.raises(SetAside, match="is not there"):
        image.example({"id": "1", "image": "photos", "label": "a"}, image.Params(shape="image"))


def test_a_correction_makes_no_row_as_the_records_keep_no_image() -> None:
    from tasks.retrain.invert import no_rows_of

    assert image.source_row({"image": "sha256:0", "colour": "red"}, PARAMS) is None
    assert no_rows_of(PARAMS) == "corrected answers make no rows of the shape image"
