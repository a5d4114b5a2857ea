"""Layers of BERT's kind give the outputs and every gradient of transformers' own in the short way, which knows what it
can take.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    RobertaConfig,
    ViTConfig,
)

from tasks import bottleneck
from tasks.train import dropout, post_norm
from tasks.train.post_norm import halves

pytestmark = pytest.mark.slow  # torch is loaded

SIZES = {"vocab_size": 60, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 3}
DISTIL = {"vocab_size": 60, "dim": 48, "hidden_dim": 80, "n_layers": 2, "n_heads": 3}
BERT = BertConfig(**SIZES)
KNOWN = {
    "BERT": BERT,
    "DistilBERT": DistilBertConfig(**DISTIL),
    "ELECTRA": ElectraConfig(**SIZES, embedding_size=32),
    "RoBERTa": RobertaConfig(**SIZES, pad_token_id=1),
    "BERT without dropout": BertConfig(**SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
    "BERT with dropout of attention alone": BertConfig(**SIZES, hidden_dropout_prob=0.0),
}
LENGTHS = (17, 9, 30)


def model_of(config: Any, attention: str = "eager") -> Any:
    """A body with random weights, none of them zero or one."""
    torch.manual_seed(0)
    model = AutoModel.from_config(config, attn_implementation=attention)
    for weight in model.parameters():
        weight.data += torch.randn(weight.shape) * 0.1
    return model


def batch(is_padded: bool = True) -> dict[str, torch.Tensor]:
    """Rows of several lengths, or all of one."""
    ids = torch.randint(5, 60, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS if is_padded else [max(LENGTHS)] * len(LENGTHS))[:, None]
    return {"input_ids": torch.where(mask, ids, 1), "attention_mask": mask.long()}


def outcome(model: Any, rows: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """The states and all gradients, by name, with the same masks of dropout each time."""
    model.zero_grad()
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        states = model(**rows).last_hidden_state.float()
    asked = torch.randn(states.shape, generator=torch.Generator().manual_seed(2)) * rows["attention_mask"].unsqueeze(-1)
    (states * asked).sum().backward()
    learnt = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return {"states": states.detach() * rows["attention_mask"].unsqueeze(-1), **learnt}


def same_masks(monkeypatch: pytest.MonkeyPatch, lengths: tuple[int, ...] = LENGTHS) -> None:
    """Let transformers' own layers drop by the masks that the short way draws, which has no padding."""

    def drop(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        if not training or not p:
            return x
        whole = torch.ones_like(x)
        if x.dim() == 4:  # (batch, heads, time, time) of attention
            sizes = [x.shape[1] * length**2 for length in lengths]
            parts = dropout.mask((sum(sizes),), p, x.dtype).split(sizes)
            for row, part, length in zip(whole, parts, lengths, strict=True):
                row[:, :length, :length] = part.view(-1, length, length)
        else:
            is_read = torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]
            whole[is_read] = dropout.mask((sum(lengths), x.shape[2]), p, x.dtype)
        return x * whole * dropout.scale(p)

    monkeypatch.setattr(torch.nn.functional, "dropout", drop)


KEY_BIAS = ("key.bias", "k_lin.bias")  # moves all scores of a query alike: its gradient is zero but for rounding


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found.double() - wanted.double()).norm() / wanted.double().norm()).item()


def assert_same(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys() and len(wanted) > 10
    far = {name: distance(found[name], wanted[name]) for name in wanted if not name.endswith(KEY_BIAS)}
    assert max(far.values()) < 5e-6, max(far.items(), key=lambda item: item[1])
    assert all(made[name].norm() < 1e-4 for made in (wanted, found) for name in made if name.endswith(KEY_BIAS))


def both(config: Any, change: Callable[[Any], object] = lambda _: None, **rows: Any) -> tuple:
    """(what transformers' own layers give, what the short way gives)."""
    model = model_of(config)
    change(model)
    wanted = outcome(model, batch(**rows))
    assert post_norm.shorten(model) == 2
    return wanted, outcome(model, batch(**rows))


@pytest.mark.parametrize("kind", KNOWN)
def test_states_and_gradients_are_transformers_own_for(kind, monkeypatch):
    same_masks(monkeypatch)
    assert_same(*both(KNOWN[kind], lambda model: model.train()))


def test_states_and_gradients_are_transformers_own_without_padding(monkeypatch):
    same_masks(monkeypatch, (max(LENGTHS),) * len(LENGTHS))
    assert_same(*both(BERT, lambda model: model.train(), is_padded=False))


def test_nothing_is_dropped_where_nothing_is_learnt():
    assert_same(*both(BERT, lambda model: model.eval()))


def test_a_gradient_of_another_mask_would_be_seen(monkeypatch):
    same_masks(monkeypatch)
    whole = halves._masks
    monkeypatch.setattr(halves, "_masks", lambda rows, *others: [mask.flip(-1) for mask in whole(rows, *others)])
    wanted, found = both(BERT, lambda model: model.train())
    assert distance(found["states"], wanted["states"]) > 1e-3


def test_padding_on_any_side_and_rows_of_nothing_are_not_computed():
    mask = torch.zeros(4, 9, dtype=torch.long)
    mask[0, 4:], mask[1, :6], mask[3, 2:5] = 1, 1, 1
    rows = {"input_ids": torch.arange(5, 41).view(4, 9), "attention_mask": mask}
    model = model_of(BERT).eval()
    wanted = outcome(model, rows)
    assert post_norm.shorten(model) == 2
    assert_same(wanted, outcome(model, rows))


def test_a_mask_that_adds_to_scores_is_left_to_transformers():
    model = model_of(BERT).eval()
    states, bias = torch.randn(2, 5, 48), torch.linspace(-1, 0, 50).view(2, 1, 5, 5)
    layer = model.encoder.layer[0]
    wanted = layer(states, bias)
    post_norm.shorten(model)
    assert torch.equal(layer(states, bias), wanted)


def test_only_the_weights_that_learn_get_gradients(monkeypatch):
    same_masks(monkeypatch)

    def freeze(model: Any) -> None:
        model.train().embeddings.requires_grad_(False)
        for name, weight in model.encoder.layer[0].named_parameters():
            weight.requires_grad_("value.weight" in name or "query.bias" in name or "output.dense.bias" in name)
        model.encoder.layer[1].output.requires_grad_(False)

    wanted, found = both(BERT, freeze)
    assert_same(wanted, found)
    assert sum("layer.0" in name for name in found) == 4


def test_in_bf16_it_is_as_near_to_the_exact_gradients_as_transformers_is(monkeypatch):
    same_masks(monkeypatch)
    right, plain, ours = model_of(BERT).train(), model_of(BERT).train(), model_of(BERT).train()
    assert post_norm.shorten(ours) == 2
    exact = outcome(right, batch())
    near, found = (outcome(model, batch(), torch.bfloat16) for model in (plain, ours))
    for name in exact.keys() - {name for name in exact if name.endswith(KEY_BIAS)}:
        assert distance(found[name], exact[name]) < max(1e-2, 2 * distance(near[name], exact[name])), name


def test_twice_the_same_bytes_and_other_masks_each_time():
    model = model_of(BERT).train()
    post_norm.shorten(model)
    first, second = outcome(model, batch(), torch.bfloat16), outcome(model, batch(), torch.bfloat16)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(model(**batch()).last_hidden_state, model(**batch()).last_hidden_state)


def test_checkpointed_layers_are_computed_again_with_the_masks_that_they_had():
    model = model_of(BERT).train()
    post_norm.shorten(model)
    wanted = outcome(model, batch())
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same(wanted, outcome(model, batch()))


def changed(change: Callable[[Any], object], config: Any = BERT) -> Callable[[], Any]:
    def make() -> Any:
        model = model_of(config)
        for layer in model.encoder.layer:
            change(layer)
        return model

    return make


UNKNOWN: dict[str, Callable[[], Any]] = {
    "another activation": lambda: model_of(BertConfig(**SIZES, hidden_act="relu")),
    "an approximate activation": lambda: model_of(BertConfig(**SIZES, hidden_act="gelu_new")),
    "layers that write": lambda: model_of(BertConfig(**SIZES, is_decoder=True)),
    "chunks": lambda: model_of(BertConfig(**SIZES, chunk_size_feed_forward=4)),
    "another kind of attention": lambda: model_of(BERT, "sdpa"),
    "other layers": lambda: model_of(ModernBertConfig(**SIZES, pad_token_id=0)),
    "pictures": lambda: model_of(
        ViTConfig(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3)
    ),
    "a layer without a bias": changed(
        lambda layer: setattr(layer.output, "dense", torch.nn.Linear(80, 48, bias=False))
    ),
    "a norm of another kind": changed(lambda layer: setattr(layer.output, "LayerNorm", torch.nn.RMSNorm(48))),
    "layers of a subclass": changed(lambda layer: setattr(layer, "__class__", type("Own", (type(layer),), {}))),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_is_left_to_transformers_with(kind):
    assert post_norm.shorten(UNKNOWN[kind]()) == 0


@pytest.mark.parametrize("kind", ["BERT", "DistilBERT"])
@pytest.mark.parametrize("placement", ["houlsby", "parallel"])
def test_a_bottleneck_in_or_beside_a_block_leaves_its_layer_to_transformers(kind, placement):
    model = model_of(KNOWN[kind])
    if bottleneck.missing(model, placement):  # BERT has no block for the MLP
        assert (kind, placement) == ("BERT", "parallel")
    else:
        assert post_norm.shorten(bottleneck.put_on(model, placement, 4, "relu", 1.0)) == 0


def test_a_part_with_another_forward_leaves_its_layer_to_transformers():
    model = model_of(BERT)
    dense = model.encoder.layer[0].output.dense
    dense.forward = lambda x: 2 * x
    assert post_norm.shorten(model) == 1


def test_an_adapter_in_a_layer_leaves_it_to_transformers():
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model_of(BERT), LoraConfig(target_modules=["query"], layers_to_transform=[1]))
    assert post_norm.shorten(model) == 1
