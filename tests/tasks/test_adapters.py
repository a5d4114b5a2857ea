"""LoRA's options: what does not fit the layers is a sentence, and whatever it starts from, what is kept is plain LoRA
on the unchanged parent, which answers as the model that was trained.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks import tuners
from tasks.files import read_json, read_jsonl
from tasks.preflight import serving
from tasks.tuners import lora
from tests import tiny
from tests.tasks.own_params import changed

pytestmark = pytest.mark.slow  # each test trains, or loads a model

OPTIONS: dict[str, dict[str, Any]] = {
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa, fast": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
    "pissa in all ways": {
        "init_lora_weights": "pissa",
        "use_rslora": True,
        "lora_dropout": 0.1,
        "rank_pattern": {"down_proj": 4, "layers.1.self_attn.q_proj": 16},
        "alpha_pattern": {"up_proj": 8},
    },
}


def settings(**options: object) -> lora.Params:
    return lora.Params(**{"kind": "lora", "r": 8, "lora_alpha": 16, **options})  # type: ignore[arg-type]


def model_on(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


@pytest.fixture(params=OPTIONS, scope="module")
def trained(
    request: pytest.FixtureRequest, base: Path, few: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    tuner = settings(**OPTIONS[request.param]).model_dump()
    yield tiny.train_in(
        tmp_path_factory.mktemp("options"), base, few, tuner=tuner, learning_rate=3.0e-3, num_train_epochs=10
    )


def test_the_loss_falls_and_what_is_kept_answers_as_what_was_trained(
    trained: SimpleNamespace, base: Path, few: Path
) -> None:
    from tasks.weights.merge import merged_model
    from tasks.weights.tuned import answer

    metrics = read_json(trained.report / "metrics.json")
    first = float((trained.report / "loss.csv").read_text().splitlines()[1].split(",")[1])
    assert metrics["train_loss"] < 0.7 * first
    kept = answer(base, trained.adapter, read_jsonl(few / "validation.jsonl"), 4, 1, "kept").predictions
    assert tiny.mean_nll(kept) == pytest.approx(metrics["eval_loss"], rel=5e-3)
    _, divergence = merged_model(base, trained.adapter, read_jsonl(few / "test.jsonl"), 0.01)
    assert divergence >= 0


def test_a_server_is_told_of_plain_lora_or_loads_merged_weights(trained: SimpleNamespace) -> None:
    from vllm.lora.peft_helper import PEFTHelper

    params = tuners.settings_of(trained.adapter)
    config = PEFTHelper.from_dict(json.loads((trained.adapter / "adapter_config.json").read_text()))
    assert tuners.is_hot(trained.adapter) is (not config._validate_features()) is (not params.use_dora)
    ranks = [config.r, *config.rank_pattern.values()]
    assert max(ranks) == params.saved_rank


@pytest.mark.parametrize("options", [{"init_lora_weights": "pissa"}, {"init_lora_weights": "olora"}], ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_start_from_the_parent_is_exactly_the_parent_with_the_adapter_on_and_off(
    base: Path, options: dict[str, str], dropout: float
) -> None:
    parent, ids = model_on(base), torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        right = parent(ids).logits
        adapted: Any = lora.attach(settings(lora_dropout=dropout, **options), parent).eval()
        assert torch.allclose(adapted(ids).logits, right, atol=1e-4)
        assert all(layer.abs().sum() > 0 for name, layer in adapted.named_parameters() if "lora_B" in name)
        for weight in (weight for weight in adapted.parameters() if weight.requires_grad):
            weight.add_(0.01)
        assert not torch.allclose(adapted(ids).logits, right, atol=1e-2)
        with adapted.disable_adapter():
            assert torch.equal(adapted(ids).logits, right)


def test_a_start_from_the_parent_learns_by_the_gradients_of_peft(base: Path) -> None:
    from peft import LoraConfig, get_peft_model

    ids, gradients = torch.arange(3, 40).unsqueeze(0), []
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights="pissa")
    for adapted in (
        get_peft_model(model_on(base), config),
        lora.attach(settings(init_lora_weights="pissa"), model_on(base)),
    ):
        adapted(input_ids=ids, labels=ids).loss.backward()
        gradients.append({name: w.grad for name, w in adapted.named_parameters() if w.requires_grad})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient is not None and gradient.abs().sum() > 0
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"r": 64},
            "r is 64, and model.layers.0.self_attn.k_proj has only 64 inputs and 32 outputs: a rank above 32 adds "
            "nothing there; lower it, or name fewer layers in target_modules",
        ),
        ({"r": 64, "target_modules": ["q_proj", "gate_proj"]}, None),
        ({"r": 64, "rank_pattern": {"[kv]_proj": 32}}, None),
        (
            {"rank_pattern": {"v_proj": 33}},
            "rank_pattern.v_proj is 33, and model.layers.0.self_attn.v_proj has only 64 inputs and 32 outputs: a rank "
            "above 32 adds nothing there; lower it, or name fewer layers in target_modules",
        ),
        (
            {"alpha_pattern": {"vproj": 3}},
            "alpha_pattern names `vproj`, which is not a layer that gets an adapter",
        ),
        (
            {"target_modules": ["q_proj"], "rank_pattern": {"v_proj": 3}},
            "rank_pattern names `v_proj`, which is not a layer that gets an adapter",
        ),
        (
            {"init_lora_weights": "pissa", "use_dora": True},
            "use_dora cannot be combined with init_lora_weights: pissa; leave one of them out",
        ),
        (
            {"init_lora_weights": "olora", "target_modules": ["embed_tokens", "q_proj"]},
            "init_lora_weights is olora, which is for linear layers, and model.embed_tokens is not one; leave it out",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_the_layers_is_a_sentence(base: Path, options: dict[str, Any], words: str | None) -> None:
    from tasks.weights.targets import without_weights

    assert lora.problem(settings(**options), without_weights(base)) == words


def test_a_server_must_allow_twice_the_rank_of_what_starts_from_the_parent() -> None:
    tuner = {"kind": "lora", "r": 16, "init_lora_weights": "pissa"}
    params = changed(models__mine__train__tuner=tuner, deploy__serve="adapter")
    (words,) = serving.problems(params, "mine")
    assert "train.tuner.r is 16, kept as an adapter of rank 32, and the server takes ranks up to" in words
