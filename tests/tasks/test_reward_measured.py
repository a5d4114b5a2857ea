"""A reward model on held-out pairs is measured like a classifier, beside rivals that know how answers differ."""

import json
from pathlib import Path

import pytest

from tasks import objectives
from tasks.comparison import pairwise
from tasks.dialogues import choices
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.preflight import labels
from tasks.stages.baseline import baseline
from tasks.stages.evaluate.__main__ import contest
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.few_shot import few_shot
from tasks.stages.predict.params import Predict
from tasks.stages.probe import Probe, probe
from tests import rewards, tiny


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return rewards.write_prepared(tmp_path / "prepared", 96, 32)


def probed(encoder: Path, prepared: Path, place: Path) -> list[dict]:
    probe(Probe(), encoder, prepared, place / "probe", place / "commonest")
    return read_jsonl(place / "probe" / "predictions.jsonl")


@pytest.mark.slow
def test_it_is_measured_beside_the_commonest_place_and_a_probe_on_differences(prepared, base, encoder, tmp_path):
    from tasks.weights import tuned

    train = {
        "objective": {"kind": "reward"},
        "tuner": {"kind": "full"},
        "learning_rate": 1.0e-3,
        "num_train_epochs": 3,
        "max_length": 200,
        "bf16": False,
    }
    made = tiny.train_in(tmp_path / "made", base, prepared, **train)
    rows = read_jsonl(prepared / "test.jsonl")
    write_jsonl(
        tmp_path / "tuned" / "predictions.jsonl", tuned.answer(base, made.adapter, rows, 8, 8, "tuned").predictions
    )
    baseline(Predict(), base, prepared, tmp_path / "parent")
    few_shot(Predict(), base, prepared, tmp_path / "few_shot")
    assert read_json(tmp_path / "few_shot" / "timing.json")["reason"].endswith("examples of rows that are choice")
    probed(encoder, prepared, tmp_path)
    folders = {who: tmp_path / who for who in ("parent", "probe", "commonest", "tuned")}
    params = Evaluate(labels=["better"], bootstrap_resamples=100)
    contest(params, prepared, folders, tmp_path / "out")
    metrics = read_json(tmp_path / "out" / "metrics.json")
    assert metrics["tuned"].keys() >= {f"better_{name}" for name in ("accuracy", "log_loss", "brier", "ece", "auroc")}
    assert metrics["tuned"]["valid"] == metrics["parent"]["valid"] == 1
    assert metrics["tuned"]["better_accuracy"] > 0.9 > 0.75 > metrics["commonest"]["better_accuracy"] > 0.25
    assert metrics["tuned"]["better_log_loss"] < metrics["parent"]["better_log_loss"]
    assert not {"perplexity", "exact_match"} & metrics["tuned"].keys()
    leads = read_json(tmp_path / "out" / "leads.json")["contests"]
    assert "better_accuracy" in {lead["measure"] for lead in leads}


@pytest.mark.slow
def test_the_probe_sees_how_the_answers_differ(prepared, encoder, tmp_path):
    rows = probed(encoder, prepared, tmp_path)
    right = [json.loads(row["text"])["better"] == choices.better(row) for row in rows]
    assert sum(right) > 0.8 * len(right)


def test_a_probe_is_blind_to_the_places() -> None:
    import numpy as np

    features = pairwise.differences(np.eye(4), ["a", "bb", "ccc", "dddd"])
    assert features.shape == (2, 5) and features[0, -1] < 0
    both = pairwise.both_ways(features)
    assert (both[:2] == -both[2:]).all()
    assert pairwise.exchanged(["first", "second"]) == ["first", "second", "second", "first"]


def test_the_longer_answer_is_told_by_its_length_alone() -> None:
    import numpy as np

    from tasks.models import logistic

    texts = [*("x" * n for n in range(1, 21)), *("x" * 10 for _ in range(20))]
    labels = ["first" if n > 10 else "second" for n in range(1, 21)]
    features = pairwise.both_ways(pairwise.differences(np.zeros((40, 1)), texts))
    classifier = logistic.fit(features, pairwise.exchanged(labels))
    assert (classifier.predict(features[:20]) == np.array(labels)).mean() > 0.9


def test_what_is_measured_follows_from_the_shape() -> None:
    dataset = {"ingest": {"source": "pairs.jsonl"}, "prepare": {"shape": "choice"}}
    assert labels.measured(dataset) == {"labels": ["better"]}
    assert objectives.kinds.load("tasks.objectives", "reward").eats == {"choice"}
