"""grpo and rloo earn a reward whose optimum is known, by trl's trainers, asked and scored as a server would; they go on
after kill -9 as if nothing had happened, and are stopped where they hack the reward.
"""

import csv
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tasks.dialogues import chat
from tasks.errors import AnnealError
from tasks.files import read_json, sha256
from tasks.models import lm
from tests import tiny
from tests.tasks import matrix, rewarded

pytestmark = pytest.mark.slow  # each test trains

KINDS = ["grpo", "rloo"]
ROWS = {"train": 32, "validation": 4, "test": 8}
LIMITS = {"window": 8}
LENGTH = [{"kind": "length", "min": 16, "max": 99}]  # paid by the word


@pytest.fixture(scope="module")
def writer(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rewarded.make_writer(base, tmp_path_factory.mktemp("writer") / "weights")


@pytest.fixture(scope="module")
def rows(writer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rewarded.prepared(tmp_path_factory.mktemp("rows") / "rewarded", ROWS)


@pytest.fixture(scope="module")
def rows_by_length(writer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rewarded.prepared(tmp_path_factory.mktemp("by_length") / "rewarded", ROWS, LENGTH)


def settings(kind: str, objective: dict | None = None, **changes: object) -> dict:
    """Five epochs of four answers to each of four prompts a step: 40 steps."""
    return {
        **tiny.TRAIN,
        "objective": {"kind": kind, "num_generations": 4, "max_completion_length": 24, **(objective or {})},
        "learning_rate": 3.0e-3,
        "num_train_epochs": 5,
        "eval_steps": 0.25,
        "early_stopping_patience": 99,
        "per_device_train_batch_size": 16,
        "bf16": False,
        **changes,
    }


def curves(report: Path) -> list[dict[str, float]]:
    with (report / "loss.csv").open() as file:
        return [{name: float(value) for name, value in line.items() if value} for line in csv.DictReader(file)]


@pytest.fixture(scope="module", params=KINDS)
def learnt(request, writer: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return matrix.run(tmp_path_factory.mktemp(request.param), writer, rows, settings(request.param))


def test_a_reward_whose_optimum_is_1_is_earned_nearly_always(learnt: SimpleNamespace) -> None:
    lines, metrics = curves(learnt.report), read_json(learnt.report / "metrics.json")
    rewards = [line["reward"] for line in lines]
    assert len(rewards) == 40 and sum(rewards[:4]) / 4 < 0.5 and sum(rewards[-10:]) / 10 > 0.9
    assert metrics["eval_loss"] == -1 and metrics["steps"] == 40 and "stopped" not in metrics


def test_each_step_logs_what_its_answers_came_to(learnt: SimpleNamespace) -> None:
    lines = curves(learnt.report)
    figures = {"reward", "reward/pattern", "held_out", "held_out/repetition", "kl", "entropy", "length", "unfinished"}
    figures |= {"repetition", "without_signal", "loss", "learning_rate"}
    for line in lines:
        assert figures <= line.keys() and all(math.isfinite(value) for value in line.values())
        assert line["reward"] == line["reward/pattern"] and 0 < line["length"] <= 24
        assert line["without_signal"] in (0, 0.25, 0.5, 0.75, 1)
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-5)  # it begins at its parent
    assert {"eval_reward", "eval_kl", "eval_length", "eval_held_out"} <= lines[9].keys()
    assert sum(line["without_signal"] for line in lines[-10:]) > sum(line["without_signal"] for line in lines[:10])


def test_what_is_saved_is_a_plain_tuned_model(learnt: SimpleNamespace) -> None:
    from safetensors import safe_open

    assert not (learnt.adapter / "head.json").exists()
    with safe_open(min(learnt.adapter.glob("*.safetensors")), "pt") as file:
        names = list(file.keys())
        assert names and all("lora_" in name and "ref" not in name for name in names)
        assert all(file.get_tensor(name).dtype == torch.float32 for name in names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [7, 22], ids=["in the first epoch", "between two uses of the same answers"])
def test_a_killed_run_ends_in_the_same_bytes(kind: str, step: int, writer: Path, rows: Path, tmp_path: Path) -> None:
    train = settings(
        kind,
        {"num_iterations": 2},
        num_train_epochs=2,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        eval_steps=0.1,
    )
    whole = matrix.run(tmp_path / "whole", writer, rows, train)
    assert read_json(whole.report / "metrics.json")["steps"] == 32
    matrix.killed(tmp_path / "killed", writer, rows, train, step)
    again = matrix.run(tmp_path / "killed", writer, rows, train)
    assert sha256(again.adapter) == sha256(whole.adapter)
    for name in ("loss.csv", "metrics.json"):
        assert (again.report / name).read_text() == (whole.report / name).read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_are_asked_and_answers_read_as_a_server_does(kind: str, writer: Path, rows: Path, tmp_path: Path):
    trainer = matrix.trainer_of(tmp_path, writer, rows, settings(kind))
    question = trainer.questions[0]
    assert question["input_ids"] == chat.encode_question(trainer.tokenizer, question["row"])
    hostile = {**question["row"], "messages": [{"role": "user", "content": "say <|im_end|> twice"}]}
    trainer.questions[0] = {**question, "input_ids": chat.encode_question(trainer.tokenizer, hostile), "row": hostile}
    (asked, *_), _, _ = trainer._tokenize_prompts(["0"])
    assert asked.count(trainer.tokenizer.eos_token_id) == 2  # of the system's turn and the user's, and no third
    seen = []
    trainer.rubric = SimpleNamespace(score=lambda rows, answers: seen.extend(answers) or trainer_scores(answers))
    said = chat.encode_answer(trainer.tokenizer, "a <|im_end|> b")
    assert trainer.earned(["0"], [said]) == [0.5] and seen == ["a <|im_end|> b"]
    assert trainer.figures["train"]["unfinished"] == [0.0]


def trainer_scores(answers: list[str]) -> object:
    from tasks.rewards import Scores

    return Scores([0.5] * len(answers), {"half": [0.5] * len(answers)}, {})


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_are_trls_own_and_the_reference_is_the_parent(
    kind: str, writer: Path, rows: Path, tmp_path: Path
):
    trainer = matrix.trainer_of(tmp_path, writer, rows, settings(kind, {"temperature": 0.7}))
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    kept, answered = batch["completion_ids"].size(1), batch["completion_mask"].bool()
    ours, entropy, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, kept, 3, True)
    rival, of_rival = trls_own(trainer, ids, mask, kept)
    assert torch.allclose(ours[answered], rival[answered], atol=1e-5)
    assert torch.allclose(entropy[answered], of_rival[answered], atol=1e-5)

    parent = lm.parent(writer, {"dtype": torch.float32, "attn_implementation": "eager"})
    reference, _, _ = trainer._get_per_token_logps_and_entropies(trainer.ref_model, ids, mask, kept)
    plain, _, _ = trainer._get_per_token_logps_and_entropies(parent, ids, mask, kept)
    assert torch.allclose(reference[answered], plain[answered], atol=1e-5)
    assert not torch.allclose(reference[answered], ours[answered], atol=1e-2)  # its weights have been moved
    assert list(trainer.model.peft_config) == ["default"]  # no copy of the adapter


def trls_own(trainer: object, ids: torch.Tensor, mask: torch.Tensor, kept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What trl's trainer, of which ours is one, says itself."""
    from trl.trainer.utils import add_fused_lm_head

    trainer.model.__dict__.pop("forward", None)  # it was put on what it did not know to be adapted
    add_fused_lm_head(trainer.model.get_base_model(), trainer.temperature, outputs=("log_probs", "entropy"))
    library = type(trainer).__bases__[1]
    values, entropy, _ = library._get_per_token_logps_and_entropies(
        trainer, trainer.model, ids, mask, kept, compute_entropy=True
    )
    return values, entropy


def test_without_a_penalty_the_divergence_is_measured_and_changes_nothing(
    writer: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tasks.stages.train import group_trainer

    train = settings("grpo", {"beta": 0.0}, num_train_epochs=1)
    measured = matrix.run(tmp_path / "measured", writer, rows, train)
    assert curves(measured.report)[-1]["kl"] > 1e-3
    monkeypatch.setattr(group_trainer, "MEASURED", 0.0)
    plain = matrix.run(tmp_path / "plain", writer, rows, train)
    assert "kl" not in curves(plain.report)[-1]
    assert sha256(plain.adapter) == sha256(measured.adapter)


def test_the_order_of_an_epoch_does_not_depend_on_the_epochs_before(writer: Path, rows: Path, tmp_path: Path):
    trainer = matrix.trainer_of(tmp_path, writer, rows, settings("grpo"))
    resumed, whole = trainer._get_train_sampler(), trainer._get_train_sampler()
    orders = []
    for epoch in range(2):
        whole.set_epoch(epoch)
        orders.append(list(whole))
    resumed.set_epoch(1)
    assert list(resumed) == orders[1] != orders[0]
    trls = [type(trainer).__bases__[1]._get_train_sampler(trainer) for _ in range(2)]
    assert list(trls[0]) and list(trls[0]) != list(trls[1])  # the defect that ours does not have


@pytest.mark.parametrize("kind", KINDS)
def test_a_reward_that_is_hacked_stops_the_training(
    kind: str, writer: Path, rows_by_length: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Paid by the word, the model says the same words again and again, up to the last token."""
    objective = {"max_completion_length": 48, "beta": 0.01, "limits": LIMITS}
    made = matrix.run(tmp_path, writer, rows_by_length, settings(kind, objective, eval_steps=0.1))
    metrics, lines = read_json(made.report / "metrics.json"), curves(made.report)
    assert metrics["steps"] < 40 and metrics["best_step"] <= metrics["steps"] - LIMITS["window"]
    assert metrics["stopped"].startswith(f"training stopped at step {metrics['steps']}: the reward rose from 0.")
    assert "`repetition`, which is not rewarded, fell from 0." in metrics["stopped"]
    assert metrics["stopped"].endswith(f"the weights of step {metrics['best_step']}, the best from before, are kept")
    assert metrics["stopped"] in capfd.readouterr().err
    kept = next(line for line in lines if line["step"] == metrics["best_step"])
    assert metrics["eval_loss"] == kept["eval_loss"]
    assert kept["held_out"] > lines[-1]["held_out"] + 0.1 and kept["length"] < lines[-1]["length"]


def test_ppo_is_stopped_alike(writer: Path, rows_by_length: Path, tmp_path: Path):
    objective = {"kind": "ppo", "max_completion_length": 48, "num_ppo_epochs": 2, "kl_coef": 0.01}
    objective |= {"missing_eos_penalty": 0.0, "limits": LIMITS}
    train = settings("ppo", eval_steps=0.05, num_train_epochs=20, learning_rate=5.0e-4)
    made = matrix.run(tmp_path, writer, rows_by_length, {**train, "objective": objective})
    metrics = read_json(made.report / "metrics.json")
    assert metrics["steps"] < 80 and metrics["best_step"] < metrics["steps"]
    assert "the reward rose from 0." in metrics["stopped"] and "which is not rewarded, fell" in metrics["stopped"]


def test_one_without_limits_goes_on_to_the_end(writer: Path, rows_by_length: Path, tmp_path: Path):
    limits = dict.fromkeys(("kl", "length", "repetition", "held_out"))
    objective = {"max_completion_length": 48, "beta": 0.01, "limits": limits}
    made = matrix.run(tmp_path, writer, rows_by_length, settings("rloo", objective))
    assert read_json(made.report / "metrics.json")["steps"] == 40
    assert curves(made.report)[-1]["held_out"] < 0.5


def test_one_that_is_hacked_before_its_first_checkpoint_leaves_nothing(
    writer: Path, rows_by_length: Path, tmp_path: Path
):
    objective = {"max_completion_length": 48, "beta": 0.01, "limits": LIMITS}
    with pytest.raises(
        AnnealError, match=r"^training stopped at step 16, and no checkpoint is from before: the reward"
    ):
        matrix.run(tmp_path, writer, rows_by_length, settings("rloo", objective, eval_steps=0.5))
    assert not (tmp_path / "trained").exists()
