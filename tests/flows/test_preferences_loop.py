"""What people correct in production is learnt as rows, then as pairs, by a model that is released under the task's
name; what they rate is a row for kto alone.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.files import read_json, read_jsonl, write_json
from tests import tiny
from tests.flows import project
from tests.flows.served import client_of, sort, summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # it trains three models and starts vLLM twice
PAIRS = {
    "ingest": {
        "source": "data/harvested/things/pairs",
        "columns": ["prompt", "chosen", "rejected"],
        "json_columns": ["prompt", "chosen", "rejected"],
    },
    "validate": {},
    "prepare": {
        "shape": "preference",
        "validation_share": 0.2,
        "test_share": 0.2,
        "near_duplicate_similarity": 1.0,
        "contamination_similarity": 1.0,
    },
}


@pytest.fixture(scope="module")
def looped(served: Path) -> Iterator[Path]:
    """The served project, with a model that learns from its pairs, and all servers of `make up`."""
    for suite in ("raw", "prepared"):
        write_json(served / f"data/expectations/pairs/{suite}.json", {"expectations": []})
    things = json.loads((served / "params.yaml").read_text())["models"]["things"]
    dpo = {"objective": {"kind": "dpo", "beta": 0.1}, "learning_rate": 1.0e-3, "num_train_epochs": 4}
    row = {
        **things,
        "parent": "things",
        "dataset": "preferred_toys",
        "released_as": "things",
        "train": {**tiny.TRAIN, **dpo},
        "gate": {**things["gate"], "parent": "not_worse", "max_drop": 0.2},
    }
    project.change(
        served,
        datasets__pairs=PAIRS,
        retests={"preferred_toys": {"dataset": "pairs", "tested_on": "toys", "contamination_similarity": 1.0}},
        models__preferred=row,
        retrain={"min_labelled": 10, "min_pairs": 12, "cooldown": 0, "max_share_of_key": 1.0},
    )
    project.run(served, "tasks.serve.local", "up")
    yield served
    project.run(served, "tasks.serve.local", "down")


def test_corrections_make_pairs_that_a_model_learns_and_that_is_tried_promoted_and_taken_back(looped: Path) -> None:
    client = client_of(looped)
    rows = [
        {
            **row,
            "thing": f"a {row['colour']} {word}",
            "reply": f"Carry this {word} to the {row['colour']} room, please.",
        }
        for word in ("sofa", "violin", "ladder", "bucket", "carpet", "anvil", "trumpet", "compass")
        for row in tiny.things(0, 4)
    ]
    for row in rows:
        request = sort(client, row)["request_id"]
        right = {column: row[column] for column in ("colour", "mood", "reply")}
        client.post("/feedback", json={"request_id": request, "correction": right}).raise_for_status()
    client.post("/feedback", json={"request_id": sort(client, rows[0])["request_id"], "thumb": "up"}).raise_for_status()
    before = targets(looped)["champion"]["version"]
    printed = project.run(looped, "flows.retrain", "things")
    assert "things: 32 harvested" in printed and "things: 32 pairs" in printed and "things: 1 ratings" in printed
    assert "things: it is trained up to preferred" in printed and "things: canary: version" in printed
    pairs = read_jsonl(looped / "data/harvested/things/pairs/harvested-0001.jsonl")
    assert len(pairs) == 32 and pairs[0]["prompt"][0] == {"role": "system", "content": tiny.PREPARE.system}
    assert read_json(looped / "reports/preferred_toys/retest.json")["test"] == len(
        read_jsonl(looped / "data/prepared/toys/test.jsonl")
    )
    assert [row["label"] for row in read_jsonl(looped / "data/harvested/things/ratings/ratings-0001.jsonl")] == ["good"]
    made = summary(looped, "preferred")
    assert made["registry"]["name"] == "things" and made["gate"]["passed"]
    version, asked = made["registry"]["version"], lambda: {sort(client, row)["version"] for row in rows}
    assert wait(looped, version, asked) == {before, version}  # each on a server of its own: their bases differ
    assert "things" in project.run(looped, "flows.pipeline", "preferred")  # nothing is left to do
    project.run(looped, "tasks.steps.release", "rollback", "preferred")
    assert version in wait(looped, before, asked)  # it answers until the other one's server has started
    client.close()


def wait(folder: Path, version: str, ask: Callable[[], set[str]], seconds: float = 240) -> set[str]:
    """Ask until `version` is the routed champion; return the versions that answered meanwhile."""
    end, answered = time.monotonic() + seconds, set[str]()
    while targets(folder)["champion"]["version"] != version:
        assert time.monotonic() < end, project.run(folder, "tasks.retrain.show_decisions", "things")
        answered |= ask()
    return answered
