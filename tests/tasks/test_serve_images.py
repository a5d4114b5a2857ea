"""A version that sees images is served as it was evaluated, behind the gateway, and nothing that a client sends is
fetched or kept.
"""

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from PIL import Image

from tasks.dialogues.special import USUAL
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json
from tasks.serve import reading_parity, routes
from tasks.texts import images
from tasks.weights import tuned
from tests import pictures, tiny
from tests.tasks.gateway import RunningGateway, refused, running_gateway, target
from tests.tasks.test_serve_transformers import serving

pytestmark = pytest.mark.slow  # it trains

TRAIN = {
    "objective": {"kind": "classify_images", "augment": False},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 2,
    "eval_steps": 1.0,
    "bf16": False,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A base, what was trained on it, and what evaluation was told."""
    root = tmp_path_factory.mktemp("seeing")
    base = pictures.make_base(root / "weights")
    prepared = pictures.write_prepared(root / "prepared", {"train": 48, "validation": 8, "test": 20})
    trained = tiny.train_in(root / "made", base, prepared, **TRAIN).adapter
    rows = tuned.answer(base, trained, read_jsonl(prepared / "test.jsonl"), 6, 8, "tuned").predictions
    return SimpleNamespace(base=base, trained=trained, rows=images.with_images(rows), format=prepared / "format.json")


@pytest.fixture(scope="module")
def url(made: SimpleNamespace) -> Iterator[str]:
    with serving(made.base, **{"triage@1": made.trained}) as found:
        yield found


@pytest.fixture(scope="module")
def gateway(made: SimpleNamespace, url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    place = tmp_path_factory.mktemp("gateway")
    with running_gateway(place, max_body_kib=1, max_image_kib=64, timeout=60) as running:
        write_json(place / "kept/format.json", read_json(made.format))
        (place / "kept/reference/classes.json").unlink()
        running.state.follower.contracts.clear()
        running.route(routes.Table(2, {"triage": routes.Task({"champion": target(url, place / "kept")})}))
        yield running


def chat(url: str, content: object) -> httpx.Response:
    body = {"model": "triage@1", "messages": [{"role": "user", "content": content}]}
    return httpx.post(f"{url}/chat/completions", json=body, timeout=60)


def part(address: str) -> list[dict]:
    return [{"type": "image_url", "image_url": {"url": address}}]


def ask(gateway: RunningGateway, raw: bytes, kind: str = "image/png") -> httpx.Response:
    return gateway.client().post("/tasks/triage", content=raw, headers={"content-type": kind}, timeout=60)


def test_the_first_predictions_carry_their_images_and_pass_the_parity_check(url: str, made: SimpleNamespace) -> None:
    able = list(filter(images.can_be_asked, made.rows))
    assert len(able) == images.CARRIED < len(made.rows)
    assert all(images.digest(images.of_url(row["image"])) == row["row"]["image"] for row in able)
    parity, too_long = reading_parity.check_parity(url, "triage@1", USUAL, able)
    assert (parity.prompts, too_long) == (16, []) and parity.difference < 1e-5
    with pytest.raises(AnnealError, match="of row .* with a probability of"):
        reading_parity.check_parity(url, "triage@1", USUAL, [{**able[0], "image": able[1]["image"]}])


def test_images_that_come_at_once_are_seen_together_and_told_the_same(url: str, made: SimpleNamespace) -> None:
    able = list(filter(images.can_be_asked, made.rows)) * 4
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda row: chat(url, part(row["image"])).json()["choices"][0], able))
    for row, answer in zip(able, answers, strict=True):
        assert answer["message"]["content"] == row["text"]
        for column, shares in row["probabilities"].items():
            assert answer["probabilities"][column] == pytest.approx(shares, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a red disc", "takes one image and no text"),
        ([{"type": "text", "text": "a red disc"}], "takes one image and no text"),
        (part("http://127.0.0.1:1/a.png"), "no URL is fetched"),
        (part("file:///etc/hostname"), "no URL is fetched"),
        (part("data:image/png;base64,QUJD"), "is not a PNG"),
        (part("data:image/png;base64,!"), "is not complete base64"),
        ([*part("data:image/png;base64,QUJD"), *part("data:image/png;base64,QUJD")], "takes one image"),
    ],
)
def test_what_is_no_image_is_refused_by_the_server_in_a_sentence(url: str, content: object, words: str) -> None:
    answer = chat(url, content)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def test_a_broken_image_spoils_no_other_that_waits_with_it(url: str, made: SimpleNamespace) -> None:
    whole = part(made.rows[0]["image"])
    broken = part(images.as_url(images.of_url(made.rows[0]["image"])[:60]))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: chat(url, content), [whole, broken] * 8))
    assert {answer.status_code for answer in answers[::2]} == {200}
    assert {answer.status_code for answer in answers[1::2]} == {400}


def test_the_gateway_answers_bytes_and_data_urls_and_keeps_the_hash_alone(
    gateway: RunningGateway, made: SimpleNamespace
) -> None:
    row = made.rows[0]
    raw = images.of_url(row["image"])
    answer = ask(gateway, raw).raise_for_status().json()
    assert answer["valid"] and answer["result"] == json.loads(row["text"])
    for column, shares in row["probabilities"].items():
        assert answer["probabilities"][column] == pytest.approx(shares, abs=1e-3)
    of_json = gateway.client().post("/tasks/triage", json={"image": row["image"]}).raise_for_status().json()
    assert of_json["probabilities"] == answer["probabilities"]
    for kept in gateway.rows(least=2):
        assert kept["input"] == {"image": row["row"]["image"], "type": "image/png", "bytes": str(len(raw))}
        assert kept["path"] == "/tasks/{task}" and kept["probabilities"] == answer["probabilities"] and kept["valid"]
    for kind in ("JPEG", "WEBP"):
        assert ask(gateway, pictures.content(1, kind), f"image/{kind.lower()}").status_code == 200


def bytes_of(size: int) -> bytes:
    """A PNG that cannot be made smaller."""
    import os

    buffer = io.BytesIO()
    Image.frombytes("RGB", (size, size), os.urandom(3 * size * size)).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_is_no_image_or_too_large_is_refused_by_the_gateway_in_a_sentence(gateway: RunningGateway) -> None:
    client = gateway.client()
    assert "not an image" in refused(ask(gateway, b"GIF89a"), 400, "invalid_image")["message"]
    assert "not an image" in refused(ask(gateway, b""), 400, "invalid_image")["message"]
    assert "truncated" in refused(ask(gateway, pictures.content(1)[:70]), 400)["message"]
    assert "image/png" in refused(ask(gateway, b"a red disc", "text/plain"), 415)["message"]
    refused(ask(gateway, pictures.content(1), "image/svg+xml"), 415)
    assert "An image may have at most 64 KiB" in refused(ask(gateway, bytes_of(150)), 413)["message"]
    assert "The body may have at most 86 KiB" in refused(ask(gateway, bytes_of(200)), 413)["message"]
    as_json = f"data:image/png;base64,{base64.b64encode(bytes_of(160)).decode()}"
    refused(client.post("/tasks/triage", json={"image": as_json}), 413)
    for value in ("http://169.254.169.254/latest", "file:///etc/hostname", 7, None):
        refused(client.post("/tasks/triage", json={"image": value}), 400)
    refused(client.post("/tasks/triage", json={"text": "a red disc"}), 400)
    refused(client.post("/tasks/triage", json={"image": as_json[:80], "text": "more"}), 400)
    said = refused(client.post("/classify", json={"model": "triage", "input": "a"}), 400)["message"]
    assert "/tasks/triage" in said
    content = part("http://169.254.169.254/latest")
    body = {"model": "triage", "messages": [{"role": "user", "content": content}]}
    assert (
        "nothing that a request points to is fetched"
        in refused(client.post("/v1/chat/completions", json=body), 400)["message"]
    )
    body["messages"][0]["content"] = "a"
    assert "takes one image" in refused(client.post("/v1/chat/completions", json=body), 400)["message"]


def test_a_task_about_texts_takes_no_image_and_no_longer_body_for_it(tmp_path: Path) -> None:
    with running_gateway(tmp_path, max_body_kib=1, max_image_kib=64) as gateway:
        refused(ask(gateway, pictures.content(1)), 415)
        refused(ask(gateway, bytes_of(40)), 413)
