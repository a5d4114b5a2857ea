"""What every pair of an objective and a tuner is held to, but for those that are refused before work
(test_preflight_pairs.py) and those of SAME_BUT_FOR_THE_LOSS: it trains, goes on after kill -9 as if nothing had
happened, and is packaged. test_matrix*.py have the pairs, in files that run beside each other.
"""

import csv
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import kinds, objectives
from tasks.files import read_json, sha256, write_json
from tests.tasks import matrix

# Objectives whose rows, batches and Trainer are another's, to the formula of the loss: tried with lora and full.
SAME_BUT_FOR_THE_LOSS = {"kto": "dpo", "orpo": "dpo", "rloo": "grpo"}
KILLED_AT, LAST_CHECKPOINT = 13, "checkpoint-10"


def pairs(of: Callable[[objectives.Objective], bool]) -> list[object]:
    """The pairs of the objectives that are chosen. `make test` runs each kind once: every tuner with sft, every
    objective with lora.
    """
    chosen = [name for name in kinds.names("tasks.objectives") if of(kinds.load("tasks.objectives", name))]
    return [
        pytest.param(*pair, marks=[] if "sft" in pair or "lora" in pair else [pytest.mark.minutes])
        for pair in itertools.product(chosen, kinds.names("tasks.tuners"))
        if not matrix.refusals(*pair) and not (pair[0] in SAME_BUT_FOR_THE_LOSS and pair[1] not in ("lora", "full"))
    ]


def is_online(objective: objectives.Objective) -> bool:
    """Whether it learns from answers that it writes."""
    return bool(getattr(objective, "online", ""))


def writes(objective: objectives.Objective) -> bool:
    """Whether it makes a model that writes, from rows."""
    return objective.head in objectives.WRITES and not is_online(objective)


def trains_resumes_and_is_packaged(train, base, rows, tmp_path, capfd):
    objective, tuner = train["objective"]["kind"], train["tuner"]["kind"]
    whole = matrix.run(tmp_path / "whole", base, rows[objective], train)
    known = read_json(whole.report / "metrics.json")
    online = getattr(kinds.load("tasks.objectives", objective), "online", "")
    assert known["steps"] == matrix.STEPS
    plan = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("train: "))
    tokens = "" if online else f" {known['tokens']:,} tokens,"
    assert f"rows,{tokens} {known['steps']} steps" in plan
    assert learns(whole.report, online)

    matrix.killed(tmp_path / "killed", base, rows[objective], train, KILLED_AT)
    capfd.readouterr()
    again = matrix.run(tmp_path / "killed", base, rows[objective], train)
    assert f"continuing from {LAST_CHECKPOINT}" in capfd.readouterr().out
    assert sha256(again.adapter) == sha256(whole.adapter)

    package(base, whole.adapter, rows[objective], tmp_path)
    made = tmp_path / "adapter"
    assert read_json(made / "artifact.json")["tuner"] == read_json(made / "tuner.json")
    assert f"| kind | {tuner} |" in (tmp_path / "card.md").read_text()
    source = read_json(tmp_path / "weights" / "source.json")
    if kinds.load("tasks.tuners", tuner).mergeable:
        assert source["weights_sha256"] == sha256(tmp_path / "weights" / "model.safetensors")
    else:
        assert source["not_merged"]["kind"] == tuner and len(list((tmp_path / "weights").iterdir())) == 1


def learns(report: Path, online: str) -> bool:
    """Whether the loss has fallen; or the reward risen, where the model learns from answers of its own: what its loss
    is depends on the answers.
    """
    with (report / "loss.csv").open() as file:
        lines = list(csv.DictReader(file))
    losses = [float(line["loss"]) for line in lines if line["loss"]]
    rewards = [float(line["reward"]) for line in lines if line.get("reward")]
    return sum(rewards[-3:]) > sum(rewards[:3]) if online else losses[-1] < losses[0]


def package(base: Path, trained: Path, prepared: Path, place: Path) -> None:
    from tasks.stages.package import Package
    from tasks.stages.package import package as stage

    figures = {"rows": 8, "tuned": {"valid": 1.0}, "parent": {"valid": 0.5}}
    shares = {"confidence": 0.95, "tuned": {"valid": [0.9, 1.0]}, "parent": {"valid": [0.4, 0.6]}}
    write_json(place / "metrics.json", figures)
    write_json(place / "intervals.json", shares)
    parts = (place / "metrics.json", place / "intervals.json", place / "adapter", place / "weights", place / "card.md")
    stage(Package(max_divergence=0.5), base, trained, prepared, *parts)


def gradients_reach_all_that_learns_and_nothing_else(objective, tuner, bases, rows, place):
    trainer = matrix.trainer_of(place, bases[objective], rows[objective], matrix.settings(objective, tuner))
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    batch = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), 1, trainer.args.device)[0][0]
    trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch)).backward()
    for name, weight in trainer.model.named_parameters():
        assert (weight.grad is not None and bool(weight.grad.any())) == weight.requires_grad, name
    trainer.create_optimizer()
    trainer.optimizer.step()
    for name, weight in trainer.model.named_parameters():
        assert bool((weight != before[name]).any()) == weight.requires_grad, name
