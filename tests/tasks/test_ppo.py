"""PPO earns a reward whose optimum is known, goes on after kill -9 as if nothing had happened, and leaves a plain
tuned model behind.
"""

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256
from tasks.models import policy
from tests import tiny
from tests.tasks import matrix

pytestmark = pytest.mark.slow  # it trains

REWARDS = [{"kind": "pattern", "pattern": "e"}]  # a base of noise earns it in every second answer; at best, in all
HELD_OUT = [{"kind": "repetition", "n": 1, "name": "distinct"}]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.write_prepared(tmp_path_factory.mktemp("rows") / "toys", 32)
    return matrix.with_rubric(folder, REWARDS, HELD_OUT)


def settings(**objective: object) -> dict:
    train = matrix.settings("ppo", "lora", num_train_epochs=32, eval_steps=0.25)
    return {**train, "objective": {**train["objective"], **objective}, "learning_rate": 1.0e-2}


@pytest.fixture(scope="module")
def learnt(base: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return matrix.run(tmp_path_factory.mktemp("learnt"), base, rows, settings())


def curves(report: Path) -> list[dict[str, float]]:
    with (report / "loss.csv").open() as file:
        return [{name: float(value) for name, value in line.items() if value} for line in csv.DictReader(file)]


def test_a_reward_whose_optimum_is_1_is_earned_nearly_always(learnt: SimpleNamespace) -> None:
    lines = curves(learnt.report)
    rewards = [line["reward"] for line in lines]
    assert len(rewards) == 32 and sum(rewards[:3]) / 3 < 0.6 and sum(rewards[-5:]) / 5 > 0.9
    assert [line["eval_reward"] for line in lines if "eval_reward" in line][-1] == 1
    metrics = read_json(learnt.report / "metrics.json")
    assert metrics["eval_loss"] == -1 and metrics["steps"] == 64


def test_each_step_that_writes_answers_logs_what_they_came_to(learnt: SimpleNamespace) -> None:
    lines = curves(learnt.report)
    figures = {"reward", "reward/pattern", "held_out", "held_out/distinct", "kl", "kl_coef", "entropy", "length"}
    figures |= {"unfinished", "repetition", "policy_loss", "value_loss", "clip_share", "loss", "learning_rate"}
    assert [line["step"] for line in lines] == list(range(2, 65, 2))
    for line in lines:
        assert figures <= line.keys() and all(math.isfinite(value) for value in line.values())
        assert line["reward"] == line["reward/pattern"] and 0 < line["length"] <= 4
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-5)  # it begins at its parent,
    assert lines[-1]["kl"] > 0.1  # and leaves it


def test_what_is_saved_is_a_plain_tuned_model(learnt: SimpleNamespace) -> None:
    from safetensors import safe_open

    assert not (learnt.adapter / "head.json").exists()
    with safe_open(min(learnt.adapter.glob("*.safetensors")), "pt") as file:
        assert all("lora_" in name for name in file.keys())  # noqa: SIM118 (it is no dict)


@pytest.mark.parametrize("step", [3, 13], ids=["before the first checkpoint", "in the middle of a set of answers"])
def test_a_killed_run_ends_in_the_same_bytes(step: int, base: Path, rows: Path, tmp_path: Path, capfd) -> None:
    train = {**settings(target_kl=0.1), "num_train_epochs": 8, "eval_steps": 0.25}  # 8 sets of answers, 2 steps each
    whole = matrix.run(tmp_path / "whole", base, rows, train)
    matrix.killed(tmp_path / "killed", base, rows, train, step)
    capfd.readouterr()
    again = matrix.run(tmp_path / "killed", base, rows, train)
    assert ("continuing from checkpoint-12" in capfd.readouterr().out) == (step == 13)
    assert sha256(again.adapter) == sha256(whole.adapter)
    assert curves(again.report) == curves(whole.report)


def test_the_gradient_of_the_first_step_is_the_policy_gradient(base: Path, rows: Path, tmp_path: Path) -> None:
    """Where nothing has been learnt from the answers yet, each ratio is 1."""
    trainer = matrix.trainer_of(tmp_path, base, rows, settings(vf_coef=0.0))
    (batch,), count = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), 1, trainer.args.device)
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=count)
    told = policy.tell(trainer.model, batch)
    plain = -(told.logp * batch["old_advantages"] * told.mask).sum() / count
    weights = [weight for name, weight in trainer.model.named_parameters() if "lora_" in name]
    ours, theirs = (torch.cat([g.flatten() for g in torch.autograd.grad(each, weights)]) for each in (loss, plain))
    assert ((ours - theirs).norm() / theirs.norm()).item() < 1e-4
    assert trainer.updates[-1]["clip_share"] == 0


def test_values_and_log_probabilities_are_those_of_each_row_alone(base: Path, rows: Path, tmp_path: Path) -> None:
    trainer = matrix.trainer_of(tmp_path, base, rows, settings())
    trainer._write(0)
    (batch,), _ = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), 1, trainer.args.device)
    trainer.model.eval()
    with torch.no_grad():
        for place in range(3):
            ids = batch["input_ids"][place][batch["attention_mask"][place].bool()]
            length = int((batch["labels"][place] != -100).sum())
            logits, values = trainer.model(input_ids=ids[None])
            alone = logits[0].log_softmax(-1)[-length - 1 : -1].gather(-1, ids[-length:, None])[:, 0]
            assert torch.allclose(batch["old_logp"][place, -length:], alone, atol=1e-4)
            assert torch.allclose(batch["old_values"][place, -length:], values[0, -length - 1 : -1], atol=1e-4)


def test_batches_that_are_accumulated_train_as_whole_ones(base: Path, rows: Path, tmp_path: Path) -> None:
    learnt = {}
    for size in (32, 8):
        changes = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 32 // size}
        train = {**settings(), **changes, "num_train_epochs": 2}
        made = matrix.trainer_of(tmp_path / str(size), base, rows, train)
        made.train()
        learnt[size] = torch.cat([weight.flatten() for weight in made.learnt().values()])
    assert ((learnt[8] - learnt[32]).norm() / learnt[32].norm()).item() < 1e-3


def test_an_answer_without_an_end_earns_less(base: Path, rows: Path, tmp_path: Path) -> None:
    trainer = matrix.trainer_of(
        tmp_path, base, rows, settings(missing_eos_penalty=5.0, kl_coef=0.0, normalize_rewards=False)
    )
    for experience in trainer._write(0):
        completion = experience.completion
        ends = completion["input_ids"][-1] == trainer.tokenizer.eos_token_id
        text = trainer.tokenizer.decode(
            completion["input_ids"][completion["prompt_length"] :], skip_special_tokens=True
        )
        wanted = ("e" in text) - (0 if ends else 5)
        advantage = experience.returns[-1] - experience.values[-1]  # the last token has only its own reward
        assert float(advantage + experience.values[-1]) == pytest.approx(wanted, abs=1e-4)


def test_rows_without_a_rubric_are_refused(base: Path, tmp_path: Path) -> None:
    plain = tiny.write_prepared(tmp_path / "toys", 8)
    with pytest.raises(AnnealError, match=r"toys has no rubric, nor a reward model: add a row `rubrics: "):
        matrix.run(tmp_path / "run", base, plain, settings())
    assert read_jsonl(plain / "train.jsonl")


def test_the_labels_page_says_that_prompts_are_only_read(learnt: SimpleNamespace) -> None:
    lengths = (learnt.report / "lengths.csv").read_text().splitlines()
    assert all(line.endswith(",0") for line in lengths[1:]) and len(lengths) == 33
    page = (learnt.report / "xray.html").read_text()
    assert 'class="on"' not in page and "What the model writes after each prompt is learnt" in page
    assert json.loads((learnt.report / "timing.json").read_text())["tokens_per_second"] > 0
