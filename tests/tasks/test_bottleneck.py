"""Bottleneck adapters compute what the papers' formulas say, begin as the parent, and are saved and loaded whole."""

import pytest
import torch
from torch import nn

from tasks import tuners
from tasks.files import sha256
from tasks.stages.train.fit import make_model
from tasks.stages.train.params import Train
from tests import tiny
from tests.sentences import Says

pytestmark = pytest.mark.slow  # torch is loaded

NO_MLP = Says("kind is bottleneck", "no mlp", "use lora")

SIZE, SCALING = 6, 1.5
PLACEMENTS = ("houlsby", "parallel")
ROWS = torch.arange(3, 27).view(2, 12)


def settings(placement: str, **changes: object) -> Train:
    tuner = {"kind": "bottleneck", "placement": placement, "size": SIZE, "scaling": SCALING, **changes}
    return Train(**{**tiny.TRAIN, "tuner": tuner, "bf16": False})


@pytest.fixture
def parent(base) -> nn.Module:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


@pytest.fixture(params=PLACEMENTS)
def placement(request) -> str:
    return request.param


@pytest.fixture
def model(base, placement) -> nn.Module:
    """In fp32, with adapters that have learnt something."""
    torch.manual_seed(1)
    made = make_model(settings(placement), base, None)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return made


def test_before_training_it_answers_as_the_parent(base, placement, parent):
    made = make_model(settings(placement), base, None)
    with torch.no_grad():
        assert torch.allclose(made(ROWS).logits, parent(ROWS).logits, atol=1e-5)


def formula(model: nn.Module, block: str, x: torch.Tensor) -> torch.Tensor:
    """s (W_up gelu(W_down x + b_down) + b_up), with the weights of the adapter of `block`."""
    weights = dict(model.named_parameters())
    down, below, up, above = (
        weights[f"{block}.bottleneck.{name}"] for name in ("down.weight", "down.bias", "up.weight", "up.bias")
    )
    return SCALING * (nn.functional.gelu(x @ down.T + below) @ up.T + above)


def test_each_layer_computes_the_formula_of_its_paper(model, parent, placement):
    """The parent's own blocks, put together by hand with adapters: Houlsby et al. 2019, figure 2; He et al. 2022,
    table 1 (parallel adapter, on the MLP).
    """
    frame = parent.model
    with torch.no_grad():
        h = frame.embed_tokens(ROWS)
        places = frame.rotary_emb(h, torch.arange(ROWS.shape[1]).unsqueeze(0))
        causal = torch.full((ROWS.shape[1],) * 2, -torch.inf).triu(1)[None, None]
        for number, layer in enumerate(frame.layers):
            name = f"model.layers.{number}"
            a = layer.self_attn(
                hidden_states=layer.input_layernorm(h), position_embeddings=places, attention_mask=causal
            )[0]
            h = h + (a + formula(model, f"{name}.self_attn", a) if placement == "houlsby" else a)
            x = layer.post_attention_layernorm(h)
            m = layer.mlp(x)
            h = h + m + formula(model, f"{name}.mlp", m if placement == "houlsby" else x)
        by_hand = parent.lm_head(frame.norm(h))
        assert torch.allclose(model(ROWS).logits, by_hand, atol=1e-4)
        assert not torch.allclose(by_hand, parent(ROWS).logits, atol=1e-1)


def test_only_the_adapters_learn_and_there_are_as_many_as_the_paper_has(model, placement):
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(".bottleneck." in name for name in learning)
    assert len(learning) == 2 * 4 * (2 if placement == "houlsby" else 1)  # layers, tensors, blocks
    count = sum(weight.numel() for name, weight in model.named_parameters() if name in learning)
    assert count == len(learning) // 4 * (
        2 * 64 * SIZE + 64 + SIZE
    )  # 2 m d + d + m each (section 2.1 of Houlsby et al.)


def test_left_out_it_is_the_parent_again(model, parent):
    with torch.no_grad():
        with model.disable_adapter():
            assert torch.allclose(model(ROWS).logits, parent(ROWS).logits, atol=1e-5)
        assert not torch.allclose(model(ROWS).logits, parent(ROWS).logits, atol=1e-1)


def test_what_was_saved_is_the_same_bytes_and_answers_as_what_was_trained(model, parent, base, placement, tmp_path):
    params = settings(placement).tuner
    for name in ("a", "b"):
        tuners.save(params, model, base, tmp_path / name)
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    assert {file.name for file in (tmp_path / "a").iterdir()} == {"adapter_model.safetensors", "tuner.json"}
    loaded = tuners.of_folder(tmp_path / "a").load(parent, tmp_path / "a")
    assert not any(weight.requires_grad for weight in loaded.parameters())
    with torch.no_grad():
        assert torch.allclose(loaded(ROWS).logits, model(ROWS).logits, atol=1e-5)


def test_adapters_of_other_blocks_are_not_loaded_in_part(model, parent, base, placement, tmp_path):
    tuners.save(settings(placement).tuner, model, base, tmp_path / "a")
    other = settings(next(name for name in PLACEMENTS if name != placement)).tuner
    (tmp_path / "a" / "tuner.json").write_text(other.model_dump_json())
    with pytest.raises(KeyError, match="other blocks"):
        tuners.of_folder(tmp_path / "a").load(parent, tmp_path / "a")


def test_in_bf16_the_adapters_stay_in_fp32_and_the_answer_is_in_bf16(base):
    from transformers import AutoModelForCausalLM

    parent = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    params = settings("houlsby").tuner
    model = tuners.of(params).attach(params, parent)
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    assert model(ROWS).logits.dtype == torch.bfloat16


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "falcon", "bloom", "opt"])
def test_blocks_of_other_families_are_known_or_refused(family):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50, "pad_token_id": 0}
    for name, value in {**sizes, "word_embed_proj_dim": 32, "ffn_dim": 64, "intermediate_size": 64}.items():
        if hasattr(config, name):
            setattr(config, name, value)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    params = settings("houlsby", size=4).tuner
    if words := tuners.of(params).problem(params, model):
        assert words == NO_MLP
        assert family == "opt"  # its two layers stand among the others
        return
    before = model(ROWS).logits
    made = tuners.of(params).attach(params, model)
    adapters = [module for name, module in made.named_modules() if name.endswith(".bottleneck")]
    assert len(adapters) == 4 and torch.allclose(made(ROWS).logits, before, atol=1e-5)
    for adapter in adapters:
        nn.init.normal_(adapter.up.weight)
    made(ROWS).logits.sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for a in adapters for weight in a.parameters())


def test_a_network_wider_than_the_base_is_refused(base):
    from tasks.weights.targets import without_weights

    params = settings("houlsby", size=65).tuner
    assert tuners.of(params).problem(params, without_weights(base)) == "size is 65, and the base is 64 wide; lower it."


def test_in_berts_layers_it_stands_before_the_residual_of_both_blocks(tmp_path):
    """Houlsby et al. 2019, figure 2: theirs was BERT."""
    from transformers import AutoModel

    from tests import encoders

    weights = encoders.make_base(tmp_path / "weights")
    bert = AutoModel.from_pretrained(weights, dtype=torch.float32).eval()
    made = tuners.of(settings("houlsby").tuner).attach(settings("houlsby").tuner, bert)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if ".bottleneck." in name:
                weight.add_(0.1 * torch.randn_like(weight))
        layer, x = made.encoder.layer[1], torch.randn(2, 3, 64)
        for block, name, width in (
            (layer.output, "encoder.layer.1.output.dense", 128),
            (layer.attention.output, "encoder.layer.1.attention.output.dense", 64),
        ):
            h = torch.randn(2, 3, width)
            with made.disable_adapter():
                m = block.dense(h)
            by_hand = block.LayerNorm(m + formula(made, name, m) + x)
            assert torch.allclose(block(h, x), by_hand, atol=1e-5)
    learning = [name for name, weight in made.named_parameters() if weight.requires_grad]
    assert len(learning) == 2 * 4 * 2 and all(".bottleneck." in name for name in learning)
    words = tuners.of(settings("parallel").tuner).problem(settings("parallel").tuner, bert)
    assert words == NO_MLP
