"""Answers to one prompt that are read together have the log-probabilities and gradients that each has by itself."""

import math
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tasks.dataset import compared
from tasks.dataset.encoded import Batch, left_padded
from tasks.models import fast_lora, lm
from tasks.models.fast_lora import attention, flat, head
from tasks.stages import reference
from tasks.stages.train.fit import make_trainer
from tasks.stages.train.params import Train
from tasks.tuners import bottleneck
from tests import tiny
from tests.tasks.test_fast_lora import LLAMA, PREFIX, assert_same, distance, model_of, outcome

pytestmark = pytest.mark.slow  # torch is loaded

END = 2  # which pads too
# Of each pair: the lengths of its prompt after the prefix, of its answers, and of what both answers begin with.
PAIRS = {
    "of several lengths": [(9, 7, 12, 0), (20, 3, 5, 0), (4, 11, 6, 0)],
    "with an answer of one token": [(9, 1, 12, 0), (20, 6, 1, 0)],
    "as long as one another": [(9, 7, 7, 0), (12, 4, 4, 0)],
    "whose answers begin alike": [(9, 7, 12, 5), (20, 6, 6, 3)],
    "one of which is the other's beginning": [(9, 7, 12, 6), (3, 9, 4, 3)],
    "by itself": [(9, 7, 12, 0)],
}


def pairs(of: list[tuple[int, int, int, int]], prefix: list[int] = PREFIX) -> list[dict[str, Any]]:
    """The chosen answers, then the rejected ones, as rows."""
    chance = torch.Generator().manual_seed(1)

    def words(length: int) -> list[int]:
        return torch.randint(3, 300, (length,), generator=chance).tolist()

    chosen, rejected = [], []
    for prompt_length, first, second, alike in of:
        prompt, beginning = [*prefix, *words(prompt_length)], words(alike)
        for rows, length in ((chosen, first), (rejected, second)):
            answer = [*beginning, *words(length - alike - 1), END]
            rows.append({"id": "", "input_ids": prompt + answer, "prompt_length": len(prompt)})
    return chosen + rejected


def batches(rows: list[dict[str, Any]], prefix: list[int] = PREFIX) -> tuple[Batch, Batch]:
    """(whole rows as transformers reads them, rows less their prefix as the core does)."""
    return left_padded(rows, END), {**left_padded(rows, END, len(prefix)), "prefix": prefix}


def summed(values: torch.Tensor) -> torch.Tensor:
    """A loss that weighs each answer differently."""
    return (values * torch.linspace(-1, 2, len(values))).sum()


def preferred(values: torch.Tensor) -> torch.Tensor:
    """A mean over pairs, as dpo's."""
    chosen, rejected = values.chunk(2)
    return -torch.nn.functional.logsigmoid(0.3 * (chosen - rejected) - 1).mean()


def both(model: Any, rows: list[dict[str, Any]], prefix: list[int] = PREFIX, loss: Any = preferred) -> tuple:
    """(values, loss and gradients by transformers for whole rows; by the core)."""
    core = fast_lora.of(model)
    assert core is not None
    ends = []
    for way, batch in zip((model, core), batches(rows, prefix), strict=True):
        values = lm.answer_log_probabilities(way, batch)
        ends.append({"values": values.detach(), **outcome(model, loss(values))})
    return tuple(ends)


@pytest.mark.parametrize("loss", [preferred, summed])
@pytest.mark.parametrize("kind", PAIRS)
def test_values_and_gradients_are_transformers_own_for_pairs(kind, loss):
    assert_same(*both(model_of(), pairs(PAIRS[kind]), loss=loss))


def test_values_and_gradients_are_transformers_own_without_a_prefix_and_for_rated_rows():
    rows = pairs(PAIRS["of several lengths"], [])
    assert_same(*both(model_of(), rows, [], summed))
    assert_same(*both(model_of(), [*rows[:3], *pairs([(5, 4, 8, 0)], [])], [], summed))  # prompts of one row


def test_values_and_gradients_are_transformers_own_for_several_answers_to_a_prompt():
    rows = pairs(PAIRS["of several lengths"])
    more = [{**row, "input_ids": [*row["input_ids"][:-2], 7, 8, END]} for row in rows]
    assert_same(*both(model_of(), [*rows, *more], loss=summed))


def test_equal_answers_are_read_once_and_have_their_value_each():
    rows = pairs([(9, 7, 12, 0), (4, 5, 5, 0)])
    rows[3] = rows[1]
    wanted, found = both(model_of(), rows, loss=summed)
    assert_same(wanted, found)
    assert found["values"][1] == found["values"][3]


def test_more_answer_tokens_than_logits_are_made_of_at_once_change_nothing(monkeypatch):
    monkeypatch.setattr(head, "PART", 7)
    assert_same(*both(model_of(), pairs(PAIRS["whose answers begin alike"]), loss=summed))


def test_answers_that_saw_each_other_would_be_seen(monkeypatch):
    whole = flat._mask

    def causal(lengths: tuple[int, ...], past: int, dtype: torch.dtype) -> torch.Tensor:
        return whole([sum(lengths)], past, dtype)

    monkeypatch.setattr(flat, "_mask", causal)
    wanted, found = both(model_of(), pairs(PAIRS["of several lengths"]))
    assert distance(found["values"][:3], wanted["values"][:3]) < 1e-5  # the first answers have nothing before them
    assert distance(found["values"][3:], wanted["values"][3:]) > 1e-3
    with pytest.raises(AssertionError):
        assert_same(wanted, found)


def test_an_answer_that_stood_after_the_other_would_be_seen():
    rows = pairs(PAIRS["of several lengths"])
    model, (_, batch) = model_of(), batches(rows)
    core = fast_lora.of(model)
    right = lm.answer_log_probabilities(core, batch)
    batch["position_ids"][3:] += 7
    assert distance(lm.answer_log_probabilities(core, batch)[3:].detach(), right[3:].detach()) > 1e-3


def test_a_prompt_that_carried_no_gradient_would_be_seen(monkeypatch):
    whole, rows = attention.backward, pairs([(20, 7, 12, 0)])
    prompt = slice(len(PREFIX), len(PREFIX) + 20)

    def without(grad: Any, states: Any, weights: Any, spans: Any) -> Any:
        of_q, of_k, of_v = whole(grad, states, weights, spans)
        of_k[:, prompt], of_v[:, prompt] = 0, 0
        return of_q, of_k, of_v

    monkeypatch.setattr(attention, "backward", without)
    wanted, found = both(model_of(), rows, loss=summed)
    assert distance(found["values"], wanted["values"]) < 1e-5
    assert max(distance(found[name], wanted[name]) for name in wanted) > 1e-2


def test_a_pair_is_read_as_its_prompt_and_two_answers():
    rows = pairs([(9, 7, 12, 5), (20, 6, 6, 0)])
    batch = left_padded(rows, END, len(PREFIX))
    groups = flat.of_one_prompt(batch, len(PREFIX))
    assert groups == [flat.Group((0, 2), 9 + 5), flat.Group((1, 3), 20)]
    made = flat.flatten(batch, PREFIX, torch.float32, groups)
    assert len(made.ids) == len(PREFIX) + (9 + 7 + 12 - 5) + (20 + 6 + 6)
    for row, encoded in enumerate(rows):
        own = made.places[row, -(len(encoded["input_ids"]) - len(PREFIX)) :]
        assert made.ids[own].tolist() == encoded["input_ids"][len(PREFIX) :]
        assert made.positions[own].tolist() == list(range(len(PREFIX), len(encoded["input_ids"])))


def test_a_batch_with_rows_of_other_prompts_leaves_the_values_of_a_pair_as_they_are_bit_by_bit():
    """So values that were stored once cancel the first ones of a training, whatever its batches are."""
    model = model_of(dtype=torch.bfloat16)
    core, rows = fast_lora.of(model), pairs(PAIRS["of several lengths"])
    with torch.no_grad():
        together = lm.answer_log_probabilities(core, batches(rows)[1])
        for number in range(3):
            alone = lm.answer_log_probabilities(core, batches([rows[number], rows[number + 3]])[1])
            assert torch.equal(alone, together[[number, number + 3]])


def test_a_frozen_model_gives_the_same_values_bit_by_bit_as_one_whose_adapter_is_still_nothing():
    model = model_of(dtype=torch.bfloat16)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.zeros_(weight)
    plain = AutoModelForCausalLM.from_config(LLAMA, attn_implementation="eager").to(torch.bfloat16)
    names = {name.replace(".base_layer", ""): value for name, value in model.get_base_model().state_dict().items()}
    plain.load_state_dict({name: value for name, value in names.items() if "lora" not in name})
    frozen = fast_lora.of(plain.requires_grad_(False))
    assert frozen is not None
    _, batch = batches(pairs(PAIRS["of several lengths"]))
    with torch.no_grad():
        values = lm.answer_log_probabilities(frozen, batch)
        assert torch.equal(values, lm.answer_log_probabilities(fast_lora.of(model), batch)) and values.isfinite().all()


@pytest.mark.parametrize("bf16", [True, False])
def test_stored_references_cancel_the_first_losses_whatever_the_batches(base, tokenizer, tmp_path, bf16):
    """ln 2, although they were read in other batches, and before it was known what all prompts begin with."""
    rows = [{**row, "rejected": row["answer"] * (1 + i % 2) + "!"} for i, row in enumerate(tiny.prepared_rows(0, 12))]
    section = reference.Reference(dataset="pairs", model="base", bf16=bf16)
    encoded = [compared.pair(tokenizer, row) for row in rows]
    values = reference.log_probabilities(reference._load(section, base), encoded, tokenizer.pad_token_id)
    for row, of_row in zip(encoded, values, strict=True):
        row["reference"] = of_row
    settings = Train(**{**tiny.TRAIN, "objective": {"kind": "dpo"}, "bf16": bf16})
    trainer, _ = make_trainer(settings, base, tokenizer, {"train": encoded, "validation": encoded}, tmp_path)
    assert trainer.core and len(trainer.prefix) > 10
    for start in range(0, 12, 3):
        batch = compared.collate(encoded[start : start + 3], tokenizer.pad_token_id, len(trainer.prefix))
        assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(math.log(2), abs=1e-5)
    batch["reference"] = batch["reference"].flip(0)
    assert abs(trainer.compute_loss(trainer.model, batch).item() - math.log(2)) > 1e-1


def test_a_frozen_model_with_adapters_on_its_blocks_is_left_to_transformers():
    plain = AutoModelForCausalLM.from_config(LLAMA).requires_grad_(False)
    assert fast_lora.of(plain)
    adapted = bottleneck.attach(bottleneck.Params(kind="bottleneck"), plain).requires_grad_(False)
    assert fast_lora.of(adapted) is None
