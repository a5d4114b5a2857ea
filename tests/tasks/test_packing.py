"""A packed row holds whole examples, each token is trained on once, and no example sees another."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import packing
from tasks.dialogues.chat import cut
from tasks.objectives import pretrain, sft
from tasks.stages.train.fit import make_model
from tasks.stages.train.params import Train
from tests import texts, tiny

pytestmark = pytest.mark.slow  # torch is loaded

PRETRAIN = {**tiny.TRAIN, "objective": {"kind": "pretrain"}, "bf16": False}


def example(name: str, ids: list[int], prompt_length: int = 1) -> dict:
    return {"id": name, "input_ids": ids, "prompt_length": prompt_length}


@given(st.lists(st.integers(1, 90), max_size=30), st.integers(8, 40))
def test_each_token_is_trained_on_once_whatever_the_lengths(lengths: list[int], max_length: int) -> None:
    whole = [example(str(i), [i * 100 + k for k in range(length)]) for i, length in enumerate(lengths)]
    rows = packing.pack([piece for text in whole for piece in cut(text, max_length)], max_length)
    assert all(0 < len(row["input_ids"]) <= max_length for row in rows)
    trained = [token for row in rows for token, on in zip(row["input_ids"], packing.trained_on(row), strict=True) if on]
    assert sorted(trained) == sorted(token for text in whole for token in text["input_ids"][1:])
    for row in rows:  # what is trained on stands behind what precedes it in its own text
        for part in row["examples"]:
            assert all(after == before + 1 for before, after in pairwise(part["input_ids"]))


@given(st.lists(st.integers(1, 64), min_size=1, max_size=60))
def test_no_two_rows_could_be_one(lengths: list[int]) -> None:
    rows = packing.pack([example(str(i), [i] * length) for i, length in enumerate(lengths)], 64)
    filled = sorted(len(row["input_ids"]) for row in rows)
    assert sum(filled) == sum(lengths)
    assert all(one + other > 64 for one, other in pairwise(filled)) or len(filled) == 1


def test_an_example_longer_than_a_row_is_no_row() -> None:
    with pytest.raises(ValueError, match="longer than 8 tokens"):
        packing.pack([example("a", [1] * 9)], 8)


@pytest.fixture(params=["lora", "full"])
def model(request: pytest.FixtureRequest, base: Any) -> Any:
    """A model in fp32 whose adapters, if it has some, are not zero."""
    made = make_model(Train(**{**PRETRAIN, "tuner": {"kind": request.param}}), base, None)
    torch.manual_seed(0)
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    return made


@pytest.fixture
def encode(tokenizer: Any) -> Callable[[list[dict]], list[dict]]:
    settings = pretrain.Params(kind="pretrain")
    return lambda rows: [pretrain.encode(settings, tokenizer, row) for row in rows]


def nll(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """(rows, time - 1) of a batch; 0 where nothing is trained."""
    given = {name: batch[name] for name in ("input_ids", "position_ids")}
    logits = model(**given, use_cache=False).logits[:, :-1].float().transpose(1, 2)
    return torch.nn.functional.cross_entropy(logits, batch["labels"][:, 1:], reduction="none")


def test_another_first_text_changes_nothing_in_the_second(model: Any, encode: Any) -> None:
    first, second = encode(texts.rows(0, 2, 1))
    other = {**first, "input_ids": [token + 1 for token in first["input_ids"]]}
    length = len(first["input_ids"])
    found = []
    for one in (first, other):
        packed = {"id": "both", "input_ids": one["input_ids"] + second["input_ids"], "examples": [one, second]}
        found.append(nll(model, packing.collate([packed], 2)))
    assert torch.equal(found[0][:, length:], found[1][:, length:]), "the second text saw the first"
    assert not torch.equal(found[0][:, :length], found[1][:, :length])
    alone = nll(model, packing.collate(packing.pack([second], 256), 2))
    assert torch.allclose(found[0][:, length:], alone, atol=1e-5)


def test_the_loss_and_its_gradients_are_those_of_each_text_alone(model: Any, encode: Any) -> None:
    encoded = encode(texts.rows(0, 9))
    rows = packing.pack(encoded, 96)
    assert 1 < len(rows) < len(encoded)
    outcomes = []
    for batch in (packing.collate(rows, 2), *(packing.collate(packing.pack([text], 96), 2) for text in encoded)):
        model.zero_grad()
        count = torch.tensor(sum(len(text["input_ids"]) - 1 for text in encoded))
        value = packing.loss(model, batch, count)
        value.backward()
        gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])
        outcomes.append((value.item(), gradient))
    (packed, ours), *alone = outcomes
    assert packed == pytest.approx(sum(value for value, _ in alone), rel=1e-5)
    plain = sum(gradient for _, gradient in alone)
    assert (ours - plain).norm() < 1e-4 * plain.norm()
    assert packing.loss(model, packing.collate(rows, 2), None).item() == pytest.approx(packed, rel=1e-5)


@pytest.mark.parametrize("weights", [{}, {"colour": 3.0, "reply": 0.25}])
def test_packed_dialogues_have_the_loss_and_gradients_of_padded_ones(
    model: Any, tokenizer: Any, weights: dict[str, float]
) -> None:
    outcomes = []
    for is_packed in (False, True):
        params = sft.Params(kind="sft", packing=is_packed, weights=weights)
        encoded = [sft.encode(params, tokenizer, row) for row in tiny.prepared_rows(0, 9)]
        rows, left_out = sft.arrange(params, encoded, 256)
        assert (len(rows) < 9, left_out) == (is_packed, 0)
        assert sum(sum(sft.trained_on(row)) for row in rows) == sum(sum(sft.trained_on(row)) for row in encoded)
        model.zero_grad()
        value = sft.loss(params, model, sft.collate(rows, 2), None)
        value.backward()
        gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])
        outcomes.append((value.item(), gradient))
    (padded, plain), (packed, ours) = outcomes
    assert packed == pytest.approx(padded, rel=1e-5) and (ours - plain).norm() < 1e-4 * plain.norm()


def test_another_first_dialogue_changes_nothing_in_the_second(model: Any, tokenizer: Any) -> None:
    params = sft.Params(kind="sft", packing=True)
    first, second = (sft.encode(params, tokenizer, row) for row in tiny.prepared_rows(0, 2))
    other = {**first, "input_ids": [token + 1 for token in first["input_ids"]]}
    packed = [packing.pack([one, second], 256)[0] for one in (first, other)]
    before, after = (nll(model, sft.collate([row], 2)) for row in packed)
    length = len(packed[0]["examples"][0]["input_ids"])
    place = slice(length, None) if packed[0]["examples"][1] is second else slice(0, length - 1)
    assert before[:, place].any() and torch.equal(before[:, place], after[:, place])
