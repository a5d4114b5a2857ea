"""A folder of images from `make pipeline` to probabilities through the gateway, under the real supervisor."""

import json
from pathlib import Path

import httpx
import pytest

from tasks.files import read_json, read_jsonl
from tasks.texts import images
from tests import pictures, tiny
from tests.flows import project
from tests.flows.served import summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its model trained and served
TRAIN = {
    "objective": {"kind": "classify_images", "augment": False},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 4,
    "bf16": False,
}


@pytest.fixture(scope="module")
def served(untouched: Path) -> Path:
    """A sorter of photos beside the toy, with every server of `make up`."""
    base = pictures.make_base(untouched / "tiny-vit")
    (base / "source.json").unlink()
    photos = pictures.write_folders(untouched / "data/photos", 120)
    (photos / "red/0.png").write_bytes((photos / "red/0.png").read_bytes()[:60])
    sections = {"predict": {}, "evaluate": {"labels": ["label"], "bootstrap_resamples": 100}, "package": {}}
    gate = {"minimum": {"label_accuracy": 0.3}}
    try:
        project.change(
            untouched,
            bases__vit={**tiny.base_row(base), "folder": "tiny-vit"},
            datasets__photos={"ingest": {"source": "data/photos"}, "validate": {}},
            models__sorter={"parent": "vit", "dataset": "photos", "train": TRAIN, **sections, "gate": gate},
            deploy__serve="auto",
        )
        project.run(untouched, "flows.pipeline", "sorter")
        project.run(untouched, "tasks.serve.local", "up")
        yield untouched
    finally:
        project.run(untouched, "tasks.serve.local", "down")


@pytest.fixture(scope="module")
def client(served: Path) -> httpx.Client:
    """A client of the gateway."""
    key = project.run(served, "tasks.serve.gateway.keys", "me").split()[-1]
    door = f"http://127.0.0.1:{project.ports(served).gateway}"
    return httpx.Client(base_url=door, headers={"Authorization": f"Bearer {key}"}, timeout=120)


def test_the_shape_is_written_a_broken_image_is_set_aside_and_the_card_says_what_it_is(served: Path) -> None:
    prepare = json.loads((served / "params.yaml").read_text())["datasets"]["photos"]["prepare"]
    assert prepare == {"shape": "image", "labels": ["label"]}
    (dropped,) = read_jsonl(served / "data/prepared/photos/dropped.jsonl")
    assert dropped["id"] == "red/0.png" and "is damaged or truncated" in dropped["reason"]
    assert "pipeline_tag: image-classification" in (served / "model_cards/sorter.md").read_text()
    assert "label" in read_json(served / "reports/sorter/evaluate/intervals.json")["tuned"].__str__()
    page = (served / "reports/sorter/index.html").read_text()
    assert "data:image/jpeg;base64," in page and "calibration" in page


def test_it_is_served_as_it_was_evaluated_and_answers_bytes(served: Path, client: httpx.Client) -> None:
    assert summary(served, "sorter")["endpoint"]["parity"]["difference"] < 1.0e-3
    assert targets(served, "sorter")["champion"]["version"] == "1"
    for row in read_jsonl(served / "reports/sorter/predict/predictions.jsonl")[:4]:
        raw = images.of_url(row["image"])
        answer = client.post("/tasks/sorter", content=raw, headers={"content-type": "image/png"}).raise_for_status()
        told = answer.json()["probabilities"]["label"]
        assert told == pytest.approx(row["probabilities"]["label"], abs=1.0e-3) and answer.json()["valid"]


def test_the_monitor_follows_how_sure_it_is_and_learns_nothing_of_the_images(
    served: Path, client: httpx.Client
) -> None:
    for number in range(20):
        content = pictures.content(number)
        client.post("/tasks/sorter", content=content, headers={"content-type": "image/png"}).raise_for_status()
    said = project.run(served, "flows.monitor", "sorter")
    assert "sorter" in said and "drift" not in said.casefold().replace("no drift", "")
