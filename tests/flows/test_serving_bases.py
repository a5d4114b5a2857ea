"""Models on two bases that vLLM serves neither of, from raw data to answers through one gateway: an encoder-decoder on
pairs of texts, corrected, retrained, tried as a canary and promoted, and beside it a sorter of photos.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.texts import images
from tests import pictures, sequences, tiny
from tests.flows import project
from tests.flows.served import promoted, start, summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its models trained and served
PAIRS = {**sequences.TRAIN, "learning_rate": 3.0e-3, "num_train_epochs": 25}
PHOTOS = {
    "objective": {"kind": "classify_images", "augment": False},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 4,
    "bf16": False,
}


def pairs(first: int, count: int) -> list[dict]:
    """Sources and targets as a person has them."""
    return [
        {"id": row["id"], **{key: row["row"][key] for key in ("source", "target")}}
        for row in sequences.rows(first, count)
    ]


def violets() -> list[dict]:
    """Pairs of a colour that the first version was never trained on: one that learns it is better beyond chance."""
    return [
        {**row, "source": f"a violet {row['source'].split(' ', 2)[2]}", "target": "blue is cold"}
        for row in pairs(200, 24)
    ]


def own_base(folder: Path, made: Path) -> dict:
    """The row of bases of a base that was made in the project."""
    (made / "source.json").unlink()
    return {**tiny.base_row(made), "folder": made.relative_to(folder).as_posix()}


def write_data(folder: Path) -> None:
    """Pairs in place of the toy's rows, and folders of photos, of which one is broken."""
    write_jsonl(folder / "data/seed/things/things.jsonl", pairs(0, 160))
    for suite in ("raw", "prepared"):
        (folder / f"data/expectations/toys/{suite}.json").unlink()  # it is of other columns
    photos = pictures.write_folders(folder / "data/photos", 120)
    (photos / "red/0.png").write_bytes((photos / "red/0.png").read_bytes()[:60])


@pytest.fixture(scope="module")
def served(untouched: Path) -> Iterator[Path]:
    """The toy as pairs, learnt by a tiny T5, and a sorter of photos, learnt by a tiny ViT, behind the gateway."""
    write_data(untouched)
    apart = {"validation_share": 0.15, "test_share": 0.2, "near_duplicate_similarity": 1.0}
    asked = {"shape": "pair", "user": sequences.PARAMS.user, "contamination_similarity": 1.0}
    sections = {"predict": {}, "evaluate": {"labels": ["label"], "bootstrap_resamples": 100}, "package": {}}
    gate = {"minimum": {"label_accuracy": 0.3}}
    try:
        project.change(
            untouched,
            bases__t5=own_base(untouched, sequences.make_base(untouched / "tiny-t5")),
            bases__vit=own_base(untouched, pictures.make_base(untouched / "tiny-vit")),
            datasets__toys__ingest__columns=["source", "target"],
            datasets__toys__prepare={**asked, **apart},
            datasets__photos={"ingest": {"source": "data/photos"}, "validate": {}},
            models__things__parent="t5",
            models__things__train=PAIRS,
            models__things__evaluate={"bootstrap_resamples": 100},
            models__things__gate={"compare_on": "perplexity"},
            models__sorter={"parent": "vit", "dataset": "photos", "train": PHOTOS, **sections, "gate": gate},
            deploy__serve="auto",
        )
        project.run(untouched, "flows.pipeline", "things")
        start(untouched, "gateway", "reconciler")
        project.run(untouched, "flows.pipeline", "sorter")
        yield untouched
    finally:
        project.run(untouched, "tasks.serve.local", "down")


def sort(client: httpx.Client, source: str) -> dict:
    """What the gateway answers to a source."""
    answer: dict = client.post("/tasks/things", json={"input": {"source": source}}).raise_for_status().json()
    return answer


def look(client: httpx.Client, content: bytes) -> dict:
    """What the gateway answers to a photo."""
    answer = client.post("/tasks/sorter", content=content, headers={"content-type": "image/png"})
    told: dict = answer.raise_for_status().json()
    return told


def test_each_base_has_a_server_of_transformers(served: Path) -> None:
    states = [json.loads(file.read_text()) for file in sorted((served / ".anneal/serving").glob("?.json"))]
    assert [(state["engine"], [*state["adapters"]], state["verified"]) for state in states] == [
        ("transformers", ["things@1"], True),
        ("transformers", ["sorter@1"], True),
    ]


def test_pairs_are_answered_as_in_evaluation(served: Path) -> None:
    said = summary(served)
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["share"] >= 0.99
    measured = read_json(served / "reports/things/evaluate/metrics.json")
    assert measured["tuned"]["perplexity"] < measured["parent"]["perplexity"]
    assert {"target_bleu", "target_chrf", "target_rouge_l", "target_exact_match"} <= measured["tuned"].keys()


def test_both_routes_of_the_gateway_answer_one_text(served: Path, client: httpx.Client) -> None:
    row = read_jsonl(served / "reports/things/predict/predictions.jsonl")[0]
    answer = sort(client, row["row"]["source"])
    assert answer["version"] == "1" and answer["result"] == {"target": row["text"]}
    body = {"model": "things", "messages": row["messages"], "temperature": 0}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    assert choice["message"]["content"] == row["text"] and choice["finish_reason"] == "stop"
    turns = [*row["messages"], {"role": "assistant", "content": row["text"]}, *row["messages"]]
    refused = client.post("/v1/chat/completions", json={**body, "messages": turns})
    assert refused.status_code == 400 and "send one message" in refused.json()["error"]["message"]


def test_the_shape_is_written_a_broken_image_is_set_aside_and_the_card_says_what_it_is(served: Path) -> None:
    prepare = json.loads((served / "params.yaml").read_text())["datasets"]["photos"]["prepare"]
    assert prepare == {"shape": "image", "labels": ["label"]}
    (dropped,) = read_jsonl(served / "data/prepared/photos/dropped.jsonl")
    assert dropped["id"] == "red/0.png" and "is damaged" in dropped["reason"]
    assert "pipeline_tag: image-classification" in (served / "model_cards/sorter.md").read_text()
    assert "label" in str(read_json(served / "reports/sorter/evaluate/intervals.json")["tuned"])
    page = (served / "reports/sorter/index.html").read_text()
    assert "data:image/jpeg;base64," in page and "calibration" in page


def test_photos_are_told_as_in_evaluation(served: Path, client: httpx.Client) -> None:
    assert summary(served, "sorter")["endpoint"]["parity"]["difference"] < 1.0e-3
    assert targets(served, "sorter")["champion"]["version"] == "1"
    for row in read_jsonl(served / "reports/sorter/predict/predictions.jsonl")[:4]:
        answer = look(client, images.of_url(row["image"]))
        assert answer["probabilities"]["label"] == pytest.approx(row["probabilities"]["label"], abs=1.0e-3)
        assert answer["valid"]


def test_the_monitor_follows_how_sure_it_is_and_learns_nothing_of_the_images(
    served: Path, client: httpx.Client
) -> None:
    for number in range(20):
        look(client, pictures.content(number))
    said = project.run(served, "flows.monitor", "sorter")
    assert "sorter" in said and "drift" not in said.casefold().replace("no drift", "")


def test_what_people_correct_is_learnt_tried_beside_it_and_promoted(served: Path, client: httpx.Client) -> None:
    rows = violets()
    for row in rows:
        feedback = {"request_id": sort(client, row["source"])["request_id"], "correction": {"target": row["target"]}}
        client.post("/feedback", json=feedback).raise_for_status()
    said = project.run(served, "flows.retrain", "things")
    assert "things: 24 harvested" in said and "things: canary: version 2" in said
    promoted(served, lambda: {sort(client, row["source"])["version"] for row in rows})
