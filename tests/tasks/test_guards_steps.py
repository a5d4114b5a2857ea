"""Trouble that is planted in the steps of a training never reaches the weights, and the guard says what it did."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256
from tests.tasks.stopping import Stopped
from tests.tiny import train_in as run

pytestmark = pytest.mark.slow  # each test trains

# 40 steps, a checkpoint every 5; whoever counts as bad is what the tests plant.
CHANGES = {"num_train_epochs": 20, "eval_steps": 0.125, "load_best_model_at_end": False, "learning_rate": 3.0e-3}
EVERY = 5


@contextmanager
def planted(change: Callable[[object, int], object], stop: int | None = None):
    """`change` the loss of each step, counted from 1, before its gradient is computed; stop before a step."""
    from tasks.stages.train.history import History
    from tasks.stages.train.trainer import ObjectiveTrainer

    plain = ObjectiveTrainer.compute_loss

    def compute_loss(self, model, inputs, *args, **kwargs):
        loss = plain(self, model, inputs, *args, **kwargs)
        return change(loss, self.state.global_step + 1) if self.model.training else loss

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == stop:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectiveTrainer, "compute_loss", compute_loss)
        patch.setattr(History, "on_step_begin", on_step_begin)
        yield


def audit(made) -> list[tuple]:
    return [(line["step"], line["guard"], line["action"]) for line in read_json(made.report / "guards.json")]


def finite(folder: Path) -> bool:
    from safetensors.torch import load_file

    return all(
        bool(weight.isfinite().all()) for file in folder.glob("*.safetensors") for weight in load_file(file).values()
    )


def nan_at(*steps: int) -> Callable:
    return lambda loss, step: loss * float("nan") if step in steps else loss


def spike_at(*steps: int) -> Callable:
    return lambda loss, step: loss * 0 + 50 if step in steps else loss


def test_a_batch_whose_loss_is_nan_is_skipped_and_never_reaches_the_weights(base, few, tmp_path):
    with planted(nan_at(7, 22)):
        made = run(tmp_path, base, few, **CHANGES)
    assert audit(made) == [(7, "finite", "skip"), (22, "finite", "skip")]
    assert finite(made.adapter) and read_json(made.report / "metrics.json")["steps"] == 40
    assert 0 < read_json(made.report / "metrics.json")["train_loss"] < 1


def test_a_spike_is_skipped_and_a_run_of_them_goes_back_to_the_best_weights_at_half_the_rate(base, few, tmp_path):
    with planted(spike_at(20, 28, 29, 30)):
        made = run(tmp_path, base, few, **CHANGES)
    assert audit(made) == [
        (20, "spike", "skip"),
        (28, "spike", "skip"),
        (29, "spike", "skip"),
        (30, "spike", "back"),
    ]
    last = read_json(made.report / "guards.json")[-1]["words"]
    assert "back to the best weights, of step 25, at 0.5 times the learning rate" in last
    rates = [float(line.split(",")[3] or 0) for line in (made.report / "loss.csv").read_text().splitlines()[1:]]
    assert max(rates[-2:]) < 0.5 * CHANGES["learning_rate"] * 0.2  # cosine, and halved


def test_a_run_that_was_killed_after_going_back_ends_in_the_same_bytes(base, few, tmp_path):
    trouble = spike_at(20, 22, 23, 24, 33)
    with planted(trouble):
        whole = run(tmp_path / "whole", base, few, **CHANGES)
    for stop in (23, 27):
        place = tmp_path / str(stop)
        with planted(trouble, stop), pytest.raises(Stopped):
            run(place, base, few, **CHANGES)
        with planted(trouble):
            made = run(place, base, few, **CHANGES)
        assert sha256(made.adapter) == sha256(whole.adapter)
        for name in ("guards.json", "loss.csv"):
            assert (made.report / name).read_bytes() == (whole.report / name).read_bytes()


def test_what_never_gets_better_ends_in_a_sentence(base, few, tmp_path):
    with (
        planted(nan_at(*range(12, 40))),
        pytest.raises(
            AnnealError, match=r"loss is nan at step 17: lower learning_rate .*went back to better weights 1 times"
        ),
    ):
        run(tmp_path, base, few, **CHANGES)
    assert not (tmp_path / "trained").exists()
    with planted(nan_at(1, 2)), pytest.raises(AnnealError, match="none of the 2 steps had a finite loss"):
        run(tmp_path / "short", base, few, **{**CHANGES, "num_train_epochs": 1})


def test_a_rate_that_is_too_high_is_halved_from_the_best_weights(base, few, tmp_path):
    """The loss is what a diverged run has, until the rate is lower."""
    with planted(lambda loss, step: loss * 0 + 30 if 8 <= step < 30 else loss):
        made = run(tmp_path, base, few, **{**CHANGES, "guards": {"spike": None}})
    lines = read_json(made.report / "guards.json")
    assert [(line["guard"], line["action"]) for line in lines if line["guard"] == "rate"] == [("rate", "back")]


def test_a_tuner_that_no_gradient_reaches_stops_the_training(base, few, tmp_path):
    import torch

    with (
        planted(lambda loss, step: loss.detach()),
        pytest.raises(AnnealError, match="loss does not depend on any weight"),
    ):
        run(tmp_path / "detached", base, few, **CHANGES)
    with (
        planted(lambda loss, step: loss * 0),
        pytest.raises(AnnealError, match="no gradient reached any of the 28 tuned"),
    ):
        run(tmp_path / "nothing", base, few, **CHANGES)
    assert torch.is_grad_enabled()


def test_a_run_that_learns_by_heart_says_so(base, few, tmp_path):
    """Each training row gets a reply of its own, which nothing in its prompt foretells."""
    import random
    import shutil

    from tasks.files import write_jsonl

    by_heart, words = shutil.copytree(few, tmp_path / "rows"), "north east south west up down left right".split()
    draws = random.Random(7)
    for name in ("train", "validation"):
        rows = read_jsonl(few / f"{name}.jsonl")
        told = [" ".join(draws.choice(words) for _ in range(3)) for _ in rows]
        answers = [row["answer"].rpartition(': "')[0] + f': "{reply}"}}' for row, reply in zip(rows, told, strict=True)]
        write_jsonl(
            by_heart / f"{name}.jsonl", [{**row, "answer": text} for row, text in zip(rows, answers, strict=True)]
        )
    changes = {
        "num_train_epochs": 100,
        "load_best_model_at_end": False,
        "eval_steps": 0.1,
        "guards": {"forgotten": 1.01},
    }
    made = run(tmp_path, base, by_heart, **changes)
    guards = {line["guard"]: line["words"] for line in read_json(made.report / "guards.json")}
    assert {"overfitting", "memorising", "forgetting"} <= guards.keys()
    metrics = read_json(made.report / "metrics.json")
    assert metrics["memorised"] > 0.9 and metrics["memorised_validation"] == 0
    assert metrics["general_perplexity"] > 1.01 * metrics["general_perplexity_before"]


def test_a_run_that_learns_its_task_is_not_called_memorised(trained):
    assert not [line for line in read_json(trained.report / "guards.json") if line["guard"] != "forgetting"]
    assert read_json(trained.report / "metrics.json")["memorised_validation"] > 0.9
