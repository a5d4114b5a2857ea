"""A dataset whose answers a reward model scores, alone or beside a rubric; and PPO that learns from it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks import rewards
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl, sha256
from tasks.models import classifier, encoder, reward
from tasks.preflight import rubrics
from tasks.stages.reward_model import RewardModelRow, reward_model
from tests import encoders, tiny
from tests.tasks import matrix, own_params

pytestmark = pytest.mark.slow  # a model is loaded


@pytest.fixture(scope="module")
def liked(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A reward model of two heads that has learnt nothing: what `package` would write of it."""
    place = tmp_path_factory.mktemp("liked")
    weights = encoders.make_base(place / "weights")
    torch.manual_seed(3)
    model = reward.build(encoder.load_body(weights), 2, "mean")
    (place / "adapter").mkdir()
    classifier.save(model, "reward", place / "adapter")
    return SimpleNamespace(weights=weights, adapter=place / "adapter")


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    return tiny.write_prepared(tmp_path / "toys", 8)


def made(toys: Path, liked: SimpleNamespace, **changes: Any) -> Path:
    section = RewardModelRow(**{"dataset": "toys", "model": "liked", **changes})
    reward_model(section, toys, liked.weights, liked.adapter, toys.parent / "out", toys.parent / "report.json")
    return toys.parent / "out"


def test_answers_are_scored_by_the_model_in_the_folder_of_the_dataset(toys: Path, liked: SimpleNamespace) -> None:
    folder = made(toys, liked, weight=0.5, caution=2.0)
    rows = read_jsonl(folder / "test.jsonl")[:2]
    scores = rewards.load(folder).score(rows, ["one", "another answer"])
    alone = reward.load(folder / "reward_models/liked").score(rows, ["one", "another answer"])
    wanted = [each.mean - 2 * each.spread for each in alone]
    assert scores.parts == {"liked": pytest.approx(wanted)} and all(each.spread > 0 for each in alone)
    assert scores.total == pytest.approx([0.5 * value for value in wanted])
    for name in ("train", "validation", "test"):
        lines = read_jsonl(folder / f"{name}.jsonl")
        assert {line.pop("rubric") for line in lines} == {sha256(folder / rewards.FILE)}
        assert lines == read_jsonl(toys / f"{name}.jsonl")
    assert read_json(toys.parent / "report.json")["rows"] == 8


def test_after_a_rubric_both_are_weighted(toys: Path, liked: SimpleNamespace) -> None:
    matrix.with_rubric(toys, [{"kind": "valid", "weight": 3.0}], [{"kind": "repetition"}])
    rubric = rewards.load(made(toys, liked, weight=0.25))
    rows = read_jsonl(toys / "test.jsonl")[:1]
    total, parts, held_out = rubric.score(rows, [rows[0]["answer"]])
    assert list(parts) == ["valid", "liked"] and rubric.weights == {"valid": 3.0, "liked": 0.25}
    assert total == pytest.approx([3 + 0.25 * parts["liked"][0]]) and held_out == {"repetition": [1.0]}


def test_a_model_that_changed_after_its_rows_were_written_is_refused(toys: Path, liked: SimpleNamespace) -> None:
    folder = made(toys, liked)
    (folder / "reward_models/liked/head.json").write_text(json.dumps({}))
    with pytest.raises(AnnealError, match="reward_models/liked has changed since .*rubric.json was written"):
        rewards.load(folder)


def test_what_is_no_reward_model_is_refused(toys: Path, liked: SimpleNamespace, tmp_path: Path) -> None:
    head = read_json(liked.adapter / "head.json")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/head.json").write_text(json.dumps({**head, "kind": "classify"}))
    (tmp_path / "other/head.safetensors").write_bytes((liked.adapter / "head.safetensors").read_bytes())
    with pytest.raises(AnnealError, match=r"holds no reward model; name a row of models whose objective is {kind"):
        made(toys, SimpleNamespace(weights=liked.weights, adapter=tmp_path / "other"))
    assert not (toys.parent / "out").exists()


def test_ppo_learns_from_a_reward_model(base: Path, toys: Path, liked: SimpleNamespace, tmp_path: Path) -> None:
    train = {**matrix.settings("ppo", "lora"), "num_train_epochs": 8, "eval_steps": 1.0}
    ran = matrix.run(tmp_path / "run", base, made(toys, liked), train)
    header = (ran.report / "loss.csv").read_text().splitlines()[0].split(",")
    assert {"reward/liked", "reward", "eval_reward/liked"} <= {*header}


SCORER = {**own_params.VALUE["models"]["mine"], "dataset": "pairs"}
SCORER["train"] = {"objective": {"kind": "reward"}, "tuner": {"kind": "lora"}}
PAIRS = {"ingest": {"source": "pairs.jsonl"}, "validate": {}, "prepare": {"shape": "choice"}}


def rewarded(**changes: Any) -> Any:
    value = {
        "models__liked": SCORER,
        "datasets__pairs": PAIRS,
        "reward_models": {"rewarded": {"dataset": "tickets", "model": "liked", **changes}},
        "models__mine__dataset": "rewarded",
        "models__mine__train": {"objective": {"kind": "ppo"}, "tuner": {"kind": "lora"}},
    }
    return own_params.changed(**value)


def test_a_reward_model_is_trained_before_what_it_rewards_and_is_reward_enough() -> None:
    from tasks.params import needed

    params = rewarded()
    assert needed(params, ["mine"]) == ["liked", "mine"] and params.main_dataset("mine") == "tickets"
    assert list(rubrics.problems(params, "mine")) == []


def test_a_model_of_another_objective_and_one_that_does_not_exist_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"reward_models.rewarded.model is 'like', .*did you mean `liked`"):
        rewarded(model="like")
    plain = own_params.changed(
        models__plain=own_params.VALUE["models"]["mine"],
        reward_models={"rewarded": {"dataset": "tickets", "model": "plain"}},
        models__mine__dataset="rewarded",
    )
    (words,) = rubrics.problems(plain, "mine")
    assert words == (
        "reward_models.rewarded.model is plain, whose objective is sft; name a model that scores answers "
        "(objective.kind reward)."
    )
