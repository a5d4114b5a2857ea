"""A training on answers of its own whose answers fit neither its batches nor its rows is refused before any work."""

import pytest

from tests.tasks import own_params

RUBRIC = {"scored": {"dataset": "tickets", "rewards": [{"kind": "valid"}]}}


@pytest.fixture(autouse=True)
def _rows(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_params.write_rows(own_params.ROWS)


def refusal(objective: dict, **train: object) -> str:
    section = {"objective": objective, "tuner": {"kind": "lora"}, **train}
    return own_params.refusal(rubrics=RUBRIC, models__mine__dataset="scored", models__mine__train=section)


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_groups_must_divide_the_answers_of_a_step(kind: str) -> None:
    assert refusal({"kind": kind, "num_generations": 6}, gradient_accumulation_steps=2) == (
        "models.mine.train.objective.num_generations is 6, and a step learns from 16 answers, its "
        "per_device_train_batch_size × gradient_accumulation_steps, which are no whole groups; use 12 answers, for "
        "example."
    )


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_an_answer_must_leave_room_for_a_prompt(kind: str) -> None:
    words = refusal({"kind": kind, "max_completion_length": 64}, max_length=64)
    assert words.startswith("models.mine.train.objective.max_completion_length is 64, and train.max_length")
    assert "raise max_length" in words


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_what_earns_a_reward_must_be_said(kind: str) -> None:
    section = {"objective": {"kind": kind}, "tuner": {"kind": "lora"}}
    words = own_params.refusal(models__mine__train=section)
    assert words.startswith(f"models.mine.train.objective.kind is {kind}, which learns from a reward, and nothing")


def test_a_group_of_one_is_refused() -> None:
    section = {"objective": {"kind": "grpo", "num_generations": 1}, "tuner": {"kind": "lora"}}
    with pytest.raises(Exception, match="num_generations"):
        own_params.changed(models__mine__train=section)
