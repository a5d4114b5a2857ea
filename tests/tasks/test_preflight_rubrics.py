"""What does not fit in `rubrics` is refused before any work, in one sentence."""

from typing import Any

import pytest

from tasks.errors import ParamsError
from tasks.preflight import rubrics
from tests.tasks import own_params

LABELS = {"kind": "labels", "columns": ["category"]}


@pytest.fixture(autouse=True)
def _rows(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_params.write_rows(own_params.ROWS)


def scored(**changes: Any) -> dict[str, Any]:
    return {
        "rubrics": {"scored": {"dataset": "tickets", "rewards": [LABELS], **changes}},
        "models__mine__dataset": "scored",
    }


def test_a_rubric_that_fits_is_a_dataset_like_others() -> None:
    params = own_params.changed(**scored())
    assert params.sources("scored") == ["tickets"] and params.main_dataset("mine") == "tickets"
    assert list(rubrics.problems(params, "mine")) == []


@pytest.mark.parametrize("key", ["rewards", "held_out"])
def test_a_column_that_answers_do_not_have_is_refused(key: str) -> None:
    wrong = {"kind": "length", "max": 9, "column": "replies"}
    assert own_params.refusal(**scored(**{key: [wrong]})) == (
        f"rubrics.scored.{key}.0 reads the column `replies`, which the answers of datasets.tickets do not have; did "
        "you mean `reply`?"
    )


def test_rows_that_are_no_prompts_are_refused() -> None:
    prepare = {"shape": "text", "text": "body"}
    objective = {"objective": {"kind": "pretrain"}, "tuner": {"kind": "lora"}}
    words = own_params.refusal(
        **scored(rewards=[{"kind": "valid"}]), datasets__tickets__prepare=prepare, models__mine__train=objective
    )
    assert words.startswith("rubrics.scored.dataset is tickets, whose rows are of the shape text: no prompts with")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "tickts"}, "rubrics.scored.dataset is 'tickts', which is not a row of datasets"),
        ({"dataset": "scored"}, "these rows build on each other in a cycle: scored → scored; break it."),
    ],
)
def test_a_dataset_that_does_not_exist_or_is_itself_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        own_params.changed(**scored(**changes))


def test_a_name_used_twice_is_refused() -> None:
    rubric = {"tickets": {"dataset": "tickets", "rewards": [LABELS]}}
    with pytest.raises(ParamsError, match="`tickets` is both a rubric and another row"):
        own_params.changed(rubrics=rubric)


def test_a_training_by_reward_without_a_reward_is_refused_with_what_to_write() -> None:
    train = {"objective": {"kind": "ppo"}, "tuner": {"kind": "lora"}}
    assert own_params.refusal(models__mine__train=train) == (
        "models.mine.train.objective.kind is ppo, which learns from a reward, and nothing rewards answers to tickets; "
        "write `rubrics: {mine_rubric: {dataset: tickets, rewards: [{kind: valid}]}}` and `dataset: mine_rubric`."
    )
    params = own_params.changed(**scored(), models__mine__train=train)
    assert list(rubrics.problems(params, "mine")) == []


def test_an_answer_that_leaves_no_room_for_a_prompt_is_refused() -> None:
    train = {"objective": {"kind": "ppo", "max_completion_length": 512}, "tuner": {"kind": "lora"}}
    words = own_params.refusal(**scored(), models__mine__train=train)
    assert words.startswith("models.mine.train.objective.max_completion_length is 512, and train.max_length, which is")


def test_a_mix_of_a_rubric_is_refused_with_what_to_write() -> None:
    mixes = {"mixed": {"dataset": "scored", "other": "tickets"}}
    with pytest.raises(ParamsError, match="write 'tickets', and build that row on this one"):
        own_params.changed(**scored(), mixes=mixes)
