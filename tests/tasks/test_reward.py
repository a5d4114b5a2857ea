"""Reward models: a planted preference is learnt on a base that writes and on an encoder; the loss is the one that
paper and pencil give; scores do not depend on padding or company; several heads say how far they agree.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import objectives
from tasks.dialogues import choices
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.models import dialogue_reader
from tasks.stages.package import Package, package
from tasks.weights import tuned
from tests import rewards, sequences, tiny

pytestmark = pytest.mark.slow  # it trains

REWARD = objectives.kinds.load("tasks.objectives", "reward")
PARAMS = REWARD.Params(kind="reward")
TRAIN = {
    "objective": {"kind": "reward", "ensemble": 3},
    "tuner": {"kind": "full"},
    "learning_rate": 1.0e-3,
    "num_train_epochs": 4,
    "max_length": 200,
    "bf16": False,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return rewards.write_prepared(tmp_path_factory.mktemp("prepared"), 96)


@pytest.fixture(scope="module", params=["base", "encoder"])
def parent(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def made(parent, prepared, tmp_path_factory) -> SimpleNamespace:
    return tiny.train_in(tmp_path_factory.mktemp("made"), parent, prepared, **TRAIN)


@pytest.fixture(scope="module")
def predictions(made, parent, prepared) -> list[dict]:
    return tuned.answer(parent, made.adapter, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions


def test_a_planted_preference_is_learnt(predictions, prepared):
    rows = read_jsonl(prepared / "test.jsonl")
    assert [row["id"] for row in predictions] == [row["id"] for row in rows]
    right = [json.loads(row["text"])["better"] == choices.better(row) for row in predictions]
    assert sum(right) >= 15
    assert {choices.better(row) for row in rows} == set(choices.PAIR)


def test_the_probability_is_the_sigmoid_of_the_difference(predictions):
    for row in predictions:
        first, second = json.loads(row["text"])["scores"]
        shares = row["probabilities"]["better"]
        assert shares["first"] == pytest.approx(1 / (1 + math.exp(second - first)), abs=2e-5)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
        assert row["nll"] == pytest.approx(-math.log(shares[choices.better(row)]), abs=1e-3) and row["tokens"] == 1
        assert len(json.loads(row["text"])["spreads"]) == 2
