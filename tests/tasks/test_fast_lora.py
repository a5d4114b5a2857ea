"""The short way of training gives the loss and every gradient of transformers' own, and knows what it can take."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

from tasks import objectives
from tasks.dataset.encoded import left_padded
from tasks.models import fast_lora
from tasks.models.fast_lora import attention, flat, head
from tasks.objectives import dpo, sft
from tasks.weights import lora

pytestmark = pytest.mark.slow  # torch is loaded

SIZES = {"vocab_size": 300, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "head_dim": 16}
HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2}
LLAMA = LlamaConfig(**SIZES, **HEADS)
PREFIX = [5, 6, 7, 8, 9]
ROWS = [(17, 9), (30, 20), (23, 8), (40, 12)]  # tokens of a row and of its prompt


def model_of(config: Any = LLAMA, dtype: torch.dtype = torch.float32, **adapter: Any) -> Any:
    """A peft model with random weights, whose adapters are not zero."""
    torch.manual_seed(0)
    parent = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(dtype)
    settings = {"r": 4, "lora_alpha": 12, "target_modules": "all-linear", **adapter}
    model = get_peft_model(parent, LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, mean=1, std=0.2)
        if "lora_B" in name or "lora_bias" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model


def rows(weights: bool = False) -> list[dict[str, Any]]:
    """Rows that begin with PREFIX, whose lengths differ."""
    chance = torch.Generator().manual_seed(1)
    return [
        {
            "input_ids": [*PREFIX, *torch.randint(0, 300, (length - len(PREFIX),), generator=chance).tolist()],
            "prompt_length": prompt,
            **({"weights": torch.rand(length - prompt, generator=chance).tolist()} if weights else {}),
        }
        for length, prompt in ROWS
    ]


def outcome(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The loss and all its gradients, by name."""
    model.zero_grad()
    loss.backward()
    learnt = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(gradient is not None for gradient in learnt.values())
    return {"loss": loss.detach(), **{name: gradient.clone() for name, gradient in learnt.items()}}


def both(model: Any, objective: Any = sft, params: Any = None, prefix: list[int] = PREFIX, **made: Any) -> tuple:
    """(what transformers gives for whole rows, what the short way gives for rows less their prefix)."""
    encoded = made.get("encoded", rows())
    params = params or objective.Params(kind=objective.__name__.rpartition(".")[2])
    whole, short = objective.collate(encoded, 2), objective.collate(encoded, 2, len(prefix))
    wanted = outcome(model, objective.loss(params, model, {**whole, "use_cache": False}, made.get("items")))
    way = fast_lora.of(model)
    assert way is not None
    return wanted, outcome(model, objective.loss(params, way, {**short, "prefix": prefix}, made.get("items")))


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found.double() - wanted.double()).norm() / wanted.double().norm()).item()


def assert_same(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys() and len(wanted) > 4
    far = {name: distance(found[name], wanted[name]) for name in wanted}
    assert max(far.values()) < 5e-5, max(far.items(), key=lambda item: item[1])


ADAPTERS: dict[str, dict[str, Any]] = {
    "all linear layers": {},
    "some of them": {"target_modules": ["q_proj", "v_proj", "up_proj"]},
    "one": {"target_modules": ["down_proj"]},
    "of several ranks and scales": {"rank_pattern": {"k_proj": 7, "up_proj": 2}, "alpha_pattern": {"o_proj": 3}},
    "in one layer of two": {"target_modules": ["k_proj", "down_proj"], "layers_to_transform": [1]},
    "rank-stabilised": {"use_rslora": True},
}
BODIES = {
    "heads that share keys": LLAMA,
    "heads of their own": LlamaConfig(**SIZES, num_attention_heads=3, num_key_value_heads=3),
    "one head of keys": LlamaConfig(**SIZES, num_attention_heads=4, num_key_value_heads=1),
    "longer angles": LlamaConfig(
        **SIZES, **HEADS, rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}
    ),
    "tied words": LlamaConfig(**SIZES, **HEADS, tie_word_embeddings=True),
    "mistral": MistralConfig(**SIZES, **HEADS, sliding_window=None),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_loss_and_gradients_are_transformers_own_with_adapters_on(kind):
    assert_same(*both(model_of(**ADAPTERS[kind])))


@pytest.mark.parametrize("kind", BODIES)
def test_loss_and_gradients_are_transformers_own_for_a_body_with(kind):
    assert_same(*both(model_of(BODIES[kind])))


def test_loss_and_gradients_are_transformers_own_with_a_start_from_the_parent():
    model = model_of(init_lora_weights="pissa")
    lora.start_from_parent(model, "pissa")
    lora.speed_up(model)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    assert_same(*both(model))


def test_loss_and_gradients_are_transformers_own_without_a_prefix_and_for_a_given_number_of_tokens():
    assert_same(*both(model_of(), prefix=[], items=torch.tensor(123)))


def test_loss_and_gradients_are_transformers_own_for_weighted_tokens():
    assert_same(*both(model_of(), encoded=rows(weights=True)))


def test_loss_and_gradients_are_transformers_own_for_preferences():
    pairs = rows()
    encoded = [{**a, "both": [a, b], "reference": [-3.0, -4.0]} for a, b in zip(pairs, pairs[::-1], strict=True)]
    assert_same(*both(model_of(), dpo, encoded=encoded))


def test_more_trained_tokens_than_logits_are_made_of_at_once_change_nothing(monkeypatch):
    monkeypatch.setattr(head, "PART", 7)
    assert_same(*both(model_of()))


def test_a_prefix_that_carried_no_gradient_would_be_seen(monkeypatch):
    whole = attention.backward

    def without(grad: Any, states: Any, weights: Any, spans: Any) -> Any:
        of_q, of_k, of_v = whole(grad, states, weights, spans)
        of_k[:, : len(PREFIX)], of_v[:, : len(PREFIX)] = 0, 0
        return of_q, of_k, of_v

    monkeypatch.setattr(attention, "backward", without)
    wanted, found = both(model_of())
    assert distance(found["loss"], wanted["loss"]) < 1e-6
    assert max(distance(found[name], wanted[name]) for name in wanted) > 1e-2


def test_in_bf16_it_is_as_near_to_the_exact_gradients_as_transformers_is():
    model = model_of(dtype=torch.bfloat16)
    exact = model_of()
    exact.load_state_dict({name: weight.float() for name, weight in model.state_dict().items()})
    right, _ = both(exact)
    lora.speed_up(model)
    plain, ours = both(model)
    for name in right:
        assert distance(ours[name], right[name]) < max(1e-2, 2 * distance(plain[name], right[name])), name


def test_twice_the_same_bytes():
    model = model_of(dtype=torch.bfloat16)
    (_, first), (_, second) = both(model), both(model)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_its_weights_are_the_models_own_and_an_adapter_that_is_off_is_left_out():
    model = model_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    way = fast_lora.of(model)
    assert way and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    batch = {**left_padded(rows(), 2, len(PREFIX)), "prefix": PREFIX}
    with model.disable_adapter(), torch.no_grad():
        assert way(**batch)["loss"].item() == pytest.approx(model(**left_padded(rows(), 2))["loss"].item(), rel=1e-6)
    assert way(**batch)["loss"].item() == pytest.approx(model(**left_padded(rows(), 2))["loss"].item(), rel=1e-6)


UNKNOWN: dict[str, Any] = {
    "DoRA": lambda: model_of(use_dora=True),
    "dropout": lambda: model_of(lora_dropout=0.1),
    "a bias of the adapter": lambda: model_of(
        LlamaConfig(**SIZES, **HEADS, attention_bias=True, mlp_bias=True), lora_bias=True
    ),
    "a bias of the base": lambda: model_of(LlamaConfig(**SIZES, **HEADS, attention_bias=True)),
    "another activation": lambda: model_of(LlamaConfig(**SIZES, **HEADS, hidden_act="gelu")),
    "a window": lambda: model_of(MistralConfig(**SIZES, **HEADS, sliding_window=8)),
    "other layers": lambda: model_of(Qwen2Config(**SIZES, **HEADS)),
    "a head that learns": lambda: model_of(modules_to_save=["lm_head"]),
    "a head under an adapter": lambda: model_of(target_modules=["q_proj", "lm_head"]),
    "all weights": lambda: AutoModelForCausalLM.from_config(LLAMA),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_is_left_to_transformers_with(kind):
    assert fast_lora.of(UNKNOWN[kind]()) is None


def test_packed_rows_are_left_to_transformers():
    model = model_of()
    params = sft.Params(kind="sft", packing=True)
    packed, _ = objectives.of(params).arrange(params, [{**row, "id": "1"} for row in rows()], 128)
    batch = sft.collate(packed, 2)
    way = fast_lora.of(model)
    assert way is not None
    wanted = outcome(model, sft.loss(params, model, dict(batch), None))
    assert_same(wanted, outcome(model, sft.loss(params, way, {**batch, "prefix": []}, None)))


def test_a_flat_batch_holds_each_token_once_and_the_prefix_before_all():
    made = flat.flatten(left_padded(rows(), 2, len(PREFIX)), PREFIX, torch.float32)
    assert made.ids.tolist() == [*PREFIX, *(token for row in rows() for token in row["input_ids"][len(PREFIX) :])]
    assert made.positions.tolist()[: len(PREFIX)] == list(range(len(PREFIX)))
    assert [(span.end - span.start, span.past) for span in made.spans] == [
        (len(PREFIX), 0),
        *((length - len(PREFIX), len(PREFIX)) for length, _ in ROWS),
    ]
