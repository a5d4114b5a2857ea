"""A classifier that params.yaml puts on vLLM: verified, asked through the gateway, killed and back, and moved to
transformers when the setting is taken back.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import encoders, tiny
from tests.flows import project
from tests.flows.served import listeners, summary, targets
from tests.flows.test_serving_classes import TRAIN, classify, evaluated, sort

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, trained, and served by the real vLLM


@pytest.fixture(scope="module")
def served(untouched: Path) -> Iterator[Path]:
    """The toy as a classifier of two columns on vLLM, with every server of `make up`."""
    base = encoders.make_base(untouched / "tiny-encoder")
    (base / "source.json").unlink()
    split = {"validation_share": 0.15, "test_share": 0.2, "near_duplicate_similarity": 1.0}
    asked = {"shape": "labelled", "user": "{{ size }} {{ thing }}", "labels": encoders.LABELS}
    try:
        project.change(
            untouched,
            bases__encoder={**tiny.base_row(base), "folder": "tiny-encoder"},
            datasets__toys__ingest__columns=["thing", "size", *encoders.LABELS],
            datasets__toys__prepare={**asked, **split, "contamination_similarity": 1.0},
            deploy__serve="pooling",
            gateway__requests_per_minute=100_000,
            models__things__parent="encoder",
            models__things__train=TRAIN,
            models__things__evaluate={"labels": encoders.LABELS, "texts": [], "bootstrap_resamples": 100},
        )
        project.run(untouched, "flows.pipeline", "things")
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


def answers(client: httpx.Client, served: Path, seconds: float) -> list[dict]:
    """What the gateway says of eight test rows, once it says something."""
    end = time.monotonic() + seconds
    while (answer := classify(client, evaluated(served)[:8])).status_code != 200:
        assert time.monotonic() < end, answer.text
        time.sleep(0.5)
    data: list[dict] = answer.json()["data"]
    return data


def as_evaluated(said: list[dict], served: Path) -> None:
    """Each probability is the evaluation's."""
    for entry, row in zip(said, evaluated(served), strict=False):
        for column, told in entry["labels"].items():
            assert told["probabilities"] == pytest.approx(row["probabilities"][column], abs=1.0e-3)


def engine(served: Path) -> str:
    """What serves the champion."""
    url = targets(served)["champion"]["url"]
    states = [json.loads(file.read_text()) for file in (served / ".anneal/serving").glob("?.json")]
    return next(state["engine"] for state in states if f":{state['port']}/" in url)


def test_it_is_served_by_vllm_with_the_evaluations_probabilities(served: Path, client: httpx.Client) -> None:
    assert engine(served) == "pooling"
    said = summary(served)
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["difference"] < 1.0e-3
    as_evaluated(answers(client, served, 60), served)
    answer = sort(client, tiny.things(0, 1)[0]).raise_for_status().json()
    assert answer["valid"] and answer["result"] == {"colour": "red", "mood": "warm"} and answer["probabilities"]


def test_killed_it_comes_back_and_says_the_same(served: Path, client: httpx.Client) -> None:
    (pid,) = listeners(project.ports(served).deploy)
    os.kill(pid, signal.SIGKILL)
    assert classify(client, evaluated(served)[:1]).status_code in (502, 503)
    as_evaluated(answers(client, served, 600), served)
    assert engine(served) == "pooling" and listeners(project.ports(served).deploy) != {pid}


def test_it_moves_to_transformers_when_the_setting_is_taken_back(served: Path, client: httpx.Client) -> None:
    project.change(served, deploy__serve="auto")
    said = project.run(served, "flows.pipeline", "things")
    end = time.monotonic() + 120
    while engine(served) != "transformers":
        assert time.monotonic() < end, said
        time.sleep(0.5)
    as_evaluated(answers(client, served, 60), served)
    assert targets(served)["champion"]["version"] == "1"
