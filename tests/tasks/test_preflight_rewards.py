"""What params.yaml says of reward models is checked before any work: the shape, the measure, the tuner, the server."""

from pathlib import Path

import pytest

from tasks.files import write_jsonl
from tasks.preflight import defaults, objective_fits, pairs
from tests import rewards
from tests.tasks import own_params


def params(place: Path, shape: str, objective: str, tuner: str = "lora") -> object:
    source = place / "pairs.jsonl"
    write_jsonl(source, rewards.pairs(0, 8))
    dataset = {"ingest": {"source": source.as_posix()}, "validate": {}, "prepare": {"shape": shape}}
    return own_params.changed(
        datasets__tickets=dataset,
        models__mine__train={"objective": {"kind": objective}, "tuner": {"kind": tuner}},
    )


@pytest.mark.parametrize(("shape", "objective"), [("preference", "reward"), ("choice", "dpo")])
def test_rows_of_the_other_shape_are_refused_with_the_one_to_write(shape: str, objective: str, tmp_path: Path) -> None:
    (words,) = objective_fits.problems(params(tmp_path, shape, objective), "mine")
    other = "choice" if shape == "preference" else "preference"
    assert f"does not learn from rows of the shape {shape}" in words
    assert words.endswith(f"give it a dataset of the shape {other}, whose columns are the same.")


def test_choices_and_rewards_fit(tmp_path: Path) -> None:
    assert not list(objective_fits.problems(params(tmp_path, "choice", "reward"), "mine"))
    assert defaults.kinds_for({"prepare": {"shape": "choice"}}) == {
        "objective": "{kind: reward}",
        "tuner": "{kind: full}",
    }


def test_tokens_before_a_dialogue_are_refused(tmp_path: Path) -> None:
    (words,) = pairs.problems(params(tmp_path, "choice", "reward", "prompt"), "mine")
    assert "objective.kind is reward, which reads a text as a whole" in words
