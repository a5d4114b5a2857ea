"""A reward model from pairs in a file to ranked answers: through the whole pipeline, behind the gateway, with the
scores of the evaluation.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.dialogues import choices
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tests import rewards
from tests.flows import project
from tests.flows.served import in_production, summary

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its model trained and served
PAIRS = {"ingest": {"source": "data/seed/pairs"}, "validate": {}, "prepare": {"shape": "choice"}}


def make(folder: Path) -> None:
    """Add the rows and the sections to the project in `folder`."""
    write_jsonl(folder / "data/seed/pairs/rows.jsonl", [{**row, "margin": 0.5} for row in rewards.pairs(0, 240)])
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "prompt"}}
    for suite in ("raw", "prepared"):
        write_json(folder / f"data/expectations/pairs/{suite}.json", {"expectations": [rule]})
    like = json.loads((folder / "params.yaml").read_text())["models"]["things"]
    split = {"near_duplicate_similarity": 1.0, "contamination_similarity": 1.0}
    train = {
        "objective": {"kind": "reward", "ensemble": 2},
        "tuner": {"kind": "lora"},
        "learning_rate": 3.0e-3,
        "num_train_epochs": 2,
        "max_length": 200,
        "bf16": False,
    }
    model = {
        **like,
        "dataset": "pairs",
        "train": train,
        "evaluate": {"labels": ["better"], "bootstrap_resamples": 100},
        "gate": {"compare_on": "better_accuracy", "minimum": {"better_accuracy": 0.6}, "must_beat": []},
    }
    project.change(
        folder,
        datasets__pairs={**PAIRS, "prepare": {**PAIRS["prepare"], **split}},
        models__judge=model,
        gateway__requests_per_minute=100_000,
        deploy__serve="auto",
    )


@pytest.fixture(scope="module")
def served(untouched: Path) -> Iterator[Path]:
    """The reward model behind the gateway."""
    make(untouched)
    with in_production(untouched, "judge") as folder:
        yield folder


def test_it_is_measured_registered_and_served_with_the_evaluations_scores(served: Path, client: httpx.Client) -> None:
    metrics = read_json(served / "reports/judge/evaluate/metrics.json")
    assert metrics["tuned"]["better_accuracy"] > 0.9 and metrics["commonest"]["better_accuracy"] < 0.75
    assert {"better_ece", "better_log_loss", "better_brier"} <= metrics["tuned"].keys() and "probe" in metrics
    said = summary(served, "judge")
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["difference"] < 1.0e-3
    for row in read_jsonl(served / "reports/judge/predict/predictions.jsonl")[:6]:
        prompt, answers = choices.split(row["messages"])
        body = {"model": "judge", "prompt": prompt[-1]["content"], "answers": answers}
        ranked = client.post("/rank", json=body).raise_for_status().json()
        assert ranked["scores"] == pytest.approx(choices.figures(row["text"])["scores"], abs=1.0e-3)
        columns = {name: row["row"][name] for name in ("question", "first", "second")}
        told = client.post("/tasks/judge", json={"input": columns}).raise_for_status().json()
        assert told["valid"] and told["result"]["better"] == json.loads(row["text"])["better"]
        assert told["scores"] == pytest.approx(ranked["scores"], abs=1.0e-3)
    assert "scores the answer with each of 2 heads" in (served / "model_cards/judge.md").read_text(encoding="utf-8")


def test_many_answers_are_ranked_the_right_one_first(served: Path, client: httpx.Client) -> None:
    rows = rewards.pairs(0, 40)
    shelves = sorted({row["chosen"] for row in rows})
    right = 0
    for row in rows[:8]:
        answers = [row["chosen"], row["rejected"], "No purple shelf.", "No idea."]
        ranked = client.post("/rank", json={"model": "judge", "prompt": row["prompt"], "answers": answers}).json()
        right += ranked["order"][0] == 0
        assert sorted(ranked["order"]) == [0, 1, 2, 3] and len(ranked["spreads"]) == 4
    assert right >= 6 and len(shelves) == 4
