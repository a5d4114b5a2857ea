"""Layers are told from a model's structure, whatever its architecture calls them, and are numbered from the output."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.errors import ParamsError
from tasks.section import parse
from tasks.stages.train.params import Train
from tasks.weights.layer_groups import Layered, by_depth, groups, problem
from tests import tiny

pytestmark = pytest.mark.slow  # torch is loaded

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 2}
WIDE = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2, "vocab_size": 40}


def llama(**more: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(vocab_size=40, num_key_value_heads=2, **SMALL, **more))


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=40, n_layer=2, n_embd=16, n_head=2))


def bert() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(vocab_size=40, **SMALL))


def vit() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, **SMALL))


def t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(T5Config(num_layers=3, num_decoder_layers=2, **WIDE))


def xlm() -> Any:
    from transformers import XLMConfig, XLMForSequenceClassification

    return XLMForSequenceClassification(XLMConfig(vocab_size=40, emb_dim=16, n_layers=2, n_heads=2))


def body_with_heads() -> Any:
    """A module that is none of transformers': an encoder, and heads of two layers each beside it."""
    from torch import nn
    from transformers import BertConfig, BertModel

    made = nn.Module()
    made.body = BertModel(BertConfig(vocab_size=40, **SMALL), add_pooling_layer=False)
    made.heads = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 3)) for _ in range(3))
    return made


# What the names of each group begin with, from the output down.
EXPECTED: dict[str, tuple[Callable[[], Any], list[set[str]]]] = {
    "Llama": (
        lambda: llama(tie_word_embeddings=False),
        [{"model.norm", "lm_head"}, {"model.layers.1"}, {"model.layers.0"}, {"model.embed_tokens"}],
    ),
    "Llama, tied": (
        lambda: llama(tie_word_embeddings=True),
        [{"model.norm"}, {"model.layers.1"}, {"model.layers.0"}, {"model.embed_tokens"}],
    ),
    "GPT-2": (
        gpt2,
        [{"transformer.ln_f"}, {"transformer.h.1"}, {"transformer.h.0"}, {"transformer.wte", "transformer.wpe"}],
    ),
    "Bert": (
        bert,
        [{"classifier", "bert.pooler"}, {"bert.encoder.layer.1"}, {"bert.encoder.layer.0"}, {"bert.embeddings"}],
    ),
    "ViT": (vit, [{"classifier", "vit.layernorm"}, {"vit.layers.1"}, {"vit.layers.0"}, {"vit.embeddings"}]),
    "T5": (
        t5,
        [
            {"encoder.final_layer_norm", "decoder.final_layer_norm"},
            {"encoder.block.2", "decoder.block.1"},
            {"encoder.block.1", "decoder.block.0"},
            {"encoder.block.0"},
            {"shared"},
        ],
    ),
    "XLM": (
        xlm,
        [
            {"sequence_summary"},
            *(
                {f"transformer.{part}.{i}" for part in ("attentions", "layer_norm1", "ffns", "layer_norm2")}
                for i in (1, 0)
            ),
            {"transformer.position_embeddings", "transformer.embeddings", "transformer.layer_norm_emb"},
        ],
    ),
    "a body with heads": (
        body_with_heads,
        [{"heads"}, {"body.encoder.layer.1"}, {"body.encoder.layer.0"}, {"body.embeddings"}],
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_weight_is_in_the_group_of_its_layer(name: str) -> None:
    make, expected = EXPECTED[name]
    model = make()
    found = by_depth(model)
    assert len(found) == len(expected)
    for names, starts in zip(found, expected, strict=True):
        assert {next((start for start in starts if name.startswith(f"{start}.")), name) for name in names} == starts
    assert sorted(name for names in found for name in names) == sorted(name for name, _ in model.named_parameters())


def test_rates_fall_and_turns_come_from_the_output_down() -> None:
    made = groups(Layered(layer_decay=0.5, gradual_unfreezing=True), bert())
    assert [(group.rate, group.first_epoch) for group in made] == [(1, 0), (0.5, 1), (0.25, 2), (0.125, 3)]
    assert [group.first_epoch for group in groups(Layered(layer_decay=0.5), bert())] == [0, 0, 0, 0]
    assert {group.rate for group in groups(Layered(gradual_unfreezing=True), bert())} == {1.0}


def test_norms_that_stand_alone_above_the_last_layer_do_not_learn_alone() -> None:
    made = groups(Layered(layer_decay=0.5, gradual_unfreezing=True), llama(tie_word_embeddings=True))
    assert [(group.rate, group.first_epoch) for group in made] == [(1, 0), (0.5, 0), (0.25, 1), (0.125, 2)]


def test_where_nothing_is_asked_there_are_no_groups_and_any_model_will_do() -> None:
    from torch import nn

    from tasks.tuners import full, lora

    plain = nn.Sequential(nn.Linear(2, 2))
    assert groups(full.Params(kind="full"), plain) == groups(lora.Params(kind="lora"), plain) == ()
    assert problem(full.Params(kind="full"), plain) is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"layer_decay": 0.9},
            "layer_decay works by layer, and no layers were recognised in a Sequential; leave it out",
        ),
        (
            {"layer_decay": 0.9, "gradual_unfreezing": True},
            "gradual_unfreezing works by layer, and no layers were recognised in a Sequential; leave it out",
        ),
    ],
)
def test_a_model_without_layers_is_refused_in_a_sentence(settings: dict[str, Any], words: str) -> None:
    from torch import nn

    from tasks.tuners import full

    model = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([nn.Conv1d(2, 2, 3), nn.Conv1d(2, 2, 3)]))
    assert full.problem(full.Params(kind="full", **settings), model) == words


@pytest.mark.parametrize(
    ("tuner", "words"),
    [
        (
            {"kind": "full", "layer_decay": 0.0},
            "tuner.layer_decay is 0.0; it should be greater than 0 and at most 1 (factor on the learning rate for each "
            "layer further from the output).",
        ),
        ({"kind": "full", "layer_decay": 1.5}, "tuner.layer_decay is 1.5; it should be greater than 0 and at most 1"),
        ({"kind": "full", "gradual_unfreezing": 1}, "tuner.gradual_unfreezing is 1; it should be true or false"),
        ({"kind": "lora", "layer_decay": 0.9}, "tuner.layer_decay is not a known key"),
        ({"kind": "ia3", "gradual_unfreezing": True}, "tuner.gradual_unfreezing is not a known key"),
    ],
)
def test_a_setting_that_does_not_fit_is_one_sentence(tuner: dict[str, Any], words: str) -> None:
    with pytest.raises(ParamsError) as stopped:
        parse(Train, {**tiny.KINDS, "tuner": tuner}, "models.m.train")
    assert str(stopped.value).startswith(f"params.yaml: models.m.train.{words}")
