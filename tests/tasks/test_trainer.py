"""Leaving out what all prompts share changes neither the loss nor its gradients, and batches weigh by their tokens."""

from typing import Any

import pytest
import torch

from tasks import objectives
from tasks.dataset.encoded import left_padded, shared_prefix
from tasks.dialogues import dialogue
from tasks.dialogues.chat import encode
from tasks.stages.train.fit import make_trainer
from tasks.stages.train.params import Train
from tasks.stages.train.trainer import EpochOrder
from tests import tiny

pytestmark = pytest.mark.slow  # torch is loaded

LONG = "and this answer is much longer than the others are "


@pytest.fixture(params=["core", "plain"])
def trainer(base, tokenizer, tmp_path, request) -> Any:
    """A ObjectiveTrainer in fp32 over rows of different lengths, whose adapters are not zero; by the short way of
    tasks/models/fast_lora, and by transformers'.
    """
    rows = [
        encode(tokenizer, {**row, "answer": row["answer"] + LONG * (i % 3)})
        for i, row in enumerate(tiny.prepared_rows(0, 8))
    ]
    made, _ = make_trainer(
        Train(**{**tiny.TRAIN, "bf16": False}), base, tokenizer, {"train": rows, "validation": rows}, tmp_path
    )
    torch.manual_seed(0)
    for name, weight in made.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    assert made.core
    made.core = made.core if request.param == "core" else None
    return made


def outcome(
    trainer: Any, rows: list[dict], prefix: list[int], num_items: int | None = None, **changes: Any
) -> tuple[float, torch.Tensor]:
    """(loss, all LoRA gradients in a row) of `rows` with `prefix` left out of them."""
    trainer.prefix = prefix
    trainer.model.zero_grad()
    batch = left_padded(rows, trainer.processing_class.pad_token_id if trainer.processing_class else 2, len(prefix))
    loss = trainer.compute_loss(trainer.model, {**batch, **changes}, num_items_in_batch=num_items)
    loss.backward()
    return loss.item(), torch.cat(
        [weight.grad.flatten() for weight in trainer.model.parameters() if weight.requires_grad]
    )


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found - wanted).norm() / wanted.norm()).item()


def test_loss_and_gradients_are_those_of_whole_rows(trainer):
    rows = trainer.train_dataset
    prefix = trainer.prefix
    assert len(prefix) == len(shared_prefix(rows)) > 10
    wanted, gradient = outcome(trainer, rows, [])
    found, ours = outcome(trainer, rows, prefix)
    assert found == pytest.approx(wanted, rel=1e-5)
    assert distance(ours, gradient) < 1e-4


def test_whole_rows_give_the_mean_over_answer_tokens_that_a_plain_forward_pass_gives(trainer):
    rows = trainer.train_dataset
    nll = []
    with torch.no_grad():
        for row in rows:
            logits = trainer.model(input_ids=torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
            nll += [
                -logits[place - 1, row["input_ids"][place]].item()
                for place in range(row["prompt_length"], len(row["input_ids"]))
            ]
    assert outcome(trainer, rows, [])[0] == pytest.approx(sum(nll) / len(nll), rel=1e-5)


def test_a_prefix_that_carried_no_gradient_or_stood_elsewhere_would_be_seen(trainer, monkeypatch):
    rows, prefix, trainer.core = trainer.train_dataset, trainer.prefix, None  # test_fast_lora.py has the other
    wanted, gradient = outcome(trainer, rows, [])
    places = left_padded(rows, 2, len(prefix))["position_ids"] - len(prefix)
    assert outcome(trainer, rows, prefix, position_ids=places.clamp(min=0))[0] != pytest.approx(wanted, rel=1e-4)
    call = type(trainer.model).forward

    def without_gradient(self: Any, *args: Any, **given: Any) -> Any:
        with torch.set_grad_enabled("labels" in given):
            return call(self, *args, **given)

    monkeypatch.setattr(type(trainer.model), "forward", without_gradient)
    found, ours = outcome(trainer, rows, prefix)
    assert found == pytest.approx(wanted, rel=1e-5) and distance(ours, gradient) > 1e-2


def test_accumulated_batches_weigh_by_their_tokens_not_by_their_rows(trainer):
    rows, prefix = trainer.train_dataset, trainer.prefix
    tokens = sum(len(row["input_ids"]) - row["prompt_length"] for row in rows)
    whole, gradient = outcome(trainer, rows, prefix)
    parts = [outcome(trainer, part, prefix, tokens) for part in (rows[:2], rows[2:])]
    assert sum(loss for loss, _ in parts) == pytest.approx(whole, rel=1e-5)
    assert distance(sum(part for _, part in parts), gradient) < 1e-4


def test_the_order_follows_from_seed_and_epoch_and_keeps_like_lengths_together():
    rows = [{"input_ids": [0] * (i * 37 % 64 + 1)} for i in range(64)]
    order = EpochOrder(4, rows, seed=7)
    first = list(order)
    assert sorted(first) == list(range(64)) and list(order) == first == list(EpochOrder(4, rows, seed=7))
    order.set_epoch(1)
    assert list(order) != first and list(EpochOrder(4, rows, seed=8)) != first
    spread = [
        max(lengths) - min(lengths)
        for i in range(0, 64, 4)
        if (lengths := [len(rows[j]["input_ids"]) for j in first[i : i + 4]])
    ]
    assert sum(spread) / len(spread) < 20  # of 64; in a random order the mean is about 38


@pytest.mark.parametrize("rows", [1, 3, 4, 66, 803])
def test_short_rows_are_not_always_learnt_last_and_the_longest_row_is_in_the_first_batch(rows):
    lengths = [i * 37 % 64 + 1 for i in range(rows)]
    order = EpochOrder(4, [{"input_ids": [0] * length} for length in lengths], seed=7)
    for epoch in range(3):
        order.set_epoch(epoch)
        places = list(order)
        assert sorted(places) == list(range(rows))
        means = [sum(lengths[place] for place in places[i : i + 4]) / 4 for i in range(0, rows - 3, 4)]
        assert max(lengths) in [lengths[place] for place in places[:4]]
        assert len(means) < 3 or means != sorted(means, reverse=True)


WEIGHTS = {"colour": 3.0, "reply": 0.25}


@pytest.mark.parametrize("weights", [{}, WEIGHTS])
def test_batches_that_are_accumulated_train_as_whole_ones_also_at_the_end_of_an_epoch(
    base, tokenizer, tmp_path, weights
):
    """1 x 8, 2 x 4 and 8 x 1 rows of 12: the second step of each epoch has 4."""
    learnt = {}
    for size in (8, 4, 1):
        settings = {
            **tiny.TRAIN,
            "objective": {"kind": "sft", "weights": weights},
            "bf16": False,
            "num_train_epochs": 1,
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": 8 // size,
        }
        params = Train(**settings)
        rows = [objectives.of(params.objective).encode(params.objective, tokenizer, row) for row in long_and_short()]
        torch.manual_seed(0)
        made, _ = make_trainer(params, base, tokenizer, {"train": rows, "validation": rows[:4]}, tmp_path / str(size))
        made.train()
        assert made.state.global_step == 2
        counted = made._get_num_items_in_batch(
            [left_padded(rows[:3], 2), left_padded(rows[3:], 2)], torch.device("cpu")
        )
        assert float(counted) == pytest.approx(sum(sum(dialogue.weights(row)) for row in rows))
        learnt[size] = torch.cat([w.detach().flatten() for w in made.model.parameters() if w.requires_grad])
    assert distance(learnt[4], learnt[8]) < 1e-3 and distance(learnt[1], learnt[8]) < 1e-3


def long_and_short() -> list[dict]:
    """12 rows whose answers differ much in length, so that a mean of means is another mean."""
    rows = tiny.prepared_rows(0, 12)
    return [{**row, "answer": row["answer"].replace("shelf", "shelf " + LONG * (i % 3))} for i, row in enumerate(rows)]


def test_the_weighted_loss_is_the_weighted_mean_of_the_tokens_losses(trainer, tokenizer):
    rows = [dialogue.weigh_columns(tokenizer, row, encode(tokenizer, row), WEIGHTS) for row in tiny.prepared_rows(0, 4)]
    nll = weight = 0.0
    with torch.no_grad():
        for row in rows:
            logits = trainer.model(input_ids=torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
            for place, counts in enumerate(dialogue.weights(row)):
                nll -= counts * logits[place - 1, row["input_ids"][place]].item() if counts else 0.0
                weight += counts
    whole, gradient = outcome(trainer, rows, [])
    assert whole == pytest.approx(nll / weight, rel=1e-5)
    shared, ours = outcome(trainer, rows, shared_prefix(rows))
    assert shared == pytest.approx(whole, rel=1e-5) and distance(ours, gradient) < 1e-4
