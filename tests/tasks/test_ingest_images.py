"""Images are ingested from a folder a class, or from a table of paths, and kept by the hash of their bytes."""

import csv
import json
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256
from tasks.preflight.recognise import recognise
from tasks.stages.ingest import Ingest, peek
from tasks.stages.ingest.__main__ import ingest
from tests import pictures


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(folder: Path, rows: list[dict[str, str]], name: str = "metadata.csv") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        written = csv.DictWriter(file, list(rows[0]))
        written.writeheader()
        written.writerows(rows)


def taken(**settings: object) -> list[dict[str, str]]:
    ingest(Ingest(**settings), Path("data/raw/photos"))
    return read_jsonl(Path("data/raw/photos/rows.jsonl"))


def test_a_folder_is_a_class_and_an_image_is_kept_by_its_hash() -> None:
    pictures.write_folders(Path("photos"), 6)
    Path("photos/red/deeper").mkdir()
    Path("photos/red/deeper/again.PNG").write_bytes(Path("photos/red/0.png").read_bytes())
    Path("photos/red/.hidden.png").write_bytes(b"")
    Path("photos/red/Thumbs.db").write_bytes(b"no image")
    rows = taken(source="photos")
    assert [row["id"] for row in rows][:3] == ["blue/2.png", "blue/5.png", "green/1.png"] and len(rows) == 7
    for row in rows:
        assert row["label"] == row["id"].split("/")[0]
        assert sha256(Path(row["image"])) == Path(row["image"]).stem == sha256(Path("photos") / row["id"])
    kept = read_json(Path("data/raw/photos/manifest.json"))["images"]
    assert kept["count"] == 6 and kept["missing"] == 0 and len(list(Path("data/raw/photos/images").rglob("*.*"))) == 6


def test_a_table_names_images_beside_it() -> None:
    rows = pictures.write_images(Path("photos/files"), 4)
    of_table = [{"file_name": f"files/{row['id'][1:]}.png", "label": row["colour"]} for row in rows]
    table(Path("photos"), of_table)
    first, *_ = taken(source="photos", image_column="file_name")
    assert sha256(Path(first["file_name"])) == Path(first["file_name"]).stem and first["label"] == "red"
    Path("photos/metadata.csv").unlink()
    lines = "".join(json.dumps(row) + "\n" for row in of_table)
    Path("photos/metadata.jsonl").write_text(lines)
    assert taken(source="photos", image_column="file_name")[0] == first


def test_an_image_that_is_not_there_leaves_its_row_for_prepare_to_set_aside(capfd: pytest.CaptureFixture[str]) -> None:
    table(Path("photos"), [{"image": "gone.png", "label": "red"}])
    assert taken(source="photos", image_column="image")[0]["image"] == "photos/gone.png"
    assert "1 rows name an image that is not there" in capfd.readouterr().err


@pytest.mark.parametrize("place", ["/etc/passwd", "../outside.png", "https://example.org/a.png", "a/../../b.png", ""])
def test_a_path_out_of_the_source_is_refused(place: str) -> None:
    table(Path("photos"), [{"image": "files/a.png", "label": "red"}, {"image": place, "label": "red"}])
    with pytest.raises(AnnealError, match=r"metadata.csv, line 3: .* is not a path below photos"):
        taken(source="photos", image_column="image")


def test_what_would_be_learnt_wrongly_is_refused() -> None:
    pictures.write_folders(Path("photos/train"), 3)
    pictures.write_folders(Path("photos/test"), 3)
    with pytest.raises(AnnealError, match=r"holds splits \(test, train\)"):
        taken(source="photos")
    assert len(taken(source="photos/train")) == 3
    pictures.write_images(Path("photos/train"), 1)
    with pytest.raises(AnnealError, match="beside the folders of its classes: 0.png"):
        taken(source="photos/train")
    Path("empty").mkdir()
    with pytest.raises(AnnealError, match="holds no folder with images"):
        taken(source="empty", format="images")
    table(Path(), [{"image": "a.png", "label": "red"}], "alone.csv")
    with pytest.raises(AnnealError, match="name the folder in which it lies"):
        taken(source="alone.csv", image_column="image")
    with pytest.raises(AnnealError, match="has no `picture`; correct ingest.image_column"):
        table(Path("other"), [{"image": "a.png", "label": "red"}])
        taken(source="other", image_column="picture")


def test_a_table_beside_a_folder_of_images_is_a_table_still() -> None:
    pictures.write_images(Path("tickets/figures"), 2)
    table(Path("tickets"), [{"text": "a b", "label": "c"}], "rows.csv")
    assert taken(source="tickets")[0]["text"] == "a b"


def test_the_shape_is_told_from_the_rows_and_so_is_the_column_of_images() -> None:
    pictures.write_folders(Path("photos"), 12)
    told = recognise({"ingest": {"source": "photos"}})
    assert told.prepare == {"shape": "image", "labels": ["label"]} and told.ingest == {}
    assert peek(Ingest(source="photos"), count=1).rows[0]["image"] == "photos/blue/11.png"
    rows = pictures.write_images(Path("listed/files"), 12)
    table(Path("listed"), [{"file_name": f"files/{row['id'][1:]}.png", "label": row["colour"]} for row in rows])
    told = recognise({"ingest": {"source": "listed"}})
    assert told.prepare == {"shape": "image", "image": "file_name", "labels": ["label"]}
    assert told.ingest == {"image_column": "file_name"}
