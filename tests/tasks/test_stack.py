"""An adapter that stands on another model's reads what that adds, learns alone, and is kept whole with it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tasks import tuners
from tasks.errors import AnnealError
from tasks.files import read_json, sha256
from tasks.stages.train.fit import make_model
from tests import tiny
from tests.tasks import matrix
from tests.tasks.bundling import dataset, learnt, settings
from tests.tasks.matrix_checks import learns, package
from tests.tasks.stopping import broken

pytestmark = pytest.mark.slow  # models are loaded

ROWS = torch.arange(3, 43).view(4, 10)
LOWER = {"kind": "bottleneck", "size": 6, "activation": "relu", "scaling": 1.5}
UPPER = {"kind": "stack", "size": 4, "activation": "tanh", "scaling": 0.5}
FILE, BLOCK = "adapter_model.safetensors", "model.layers.1.mlp"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_prepared(tmp_path_factory.mktemp("stack") / "toys", 8)


@pytest.fixture(scope="module", params=["houlsby", "parallel"])
def lower(request: Any, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What another model has learnt."""
    return learnt(base, tmp_path_factory.mktemp("lower") / "trained", 1, **LOWER, placement=request.param)


def stacked(base: Path, toys: Path, place: Path, lower: Path) -> nn.Module:
    torch.manual_seed(0)
    return make_model(settings(**UPPER), base, None, dataset(place, toys, lower=lower)).eval()


def parent_of(base: Path) -> nn.Module:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


def moved(model: nn.Module) -> nn.Module:
    """`model` as if its upper adapters had learnt something."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    return model


def test_it_begins_as_the_lower_model_and_is_the_parent_without_both(base, toys, lower, tmp_path):
    model, below = stacked(base, toys, tmp_path, lower), tuners.of_folder(lower).load(parent_of(base), lower).eval()
    with torch.no_grad():
        assert torch.allclose(model(ROWS).logits, below(ROWS).logits, atol=1e-5)
        parents = parent_of(base)(ROWS).logits
        assert not torch.allclose(moved(model)(ROWS).logits, parents, atol=0.1)
        with model.disable_adapter():
            assert torch.allclose(model(ROWS).logits, parents, atol=1e-5)


def test_the_upper_adapter_reads_what_the_lower_one_has_added(base, toys, lower, tmp_path):
    """h ← h + lower, then h ← h + s up(tanh(down h)); a parallel one below reads what the block reads."""
    model, x = moved(stacked(base, toys, tmp_path, lower)), torch.randn(2, 3, 64)
    block, weights = model.get_submodule(BLOCK), dict(model.get_submodule(f"{BLOCK}.stack").named_parameters())
    saved = load_file(lower / FILE)
    with torch.no_grad(), model.disable_adapter():
        plain = block(x)
    with torch.no_grad():
        read = plain if tuners.settings_of(lower).placement == "houlsby" else x
        w = {key.removeprefix(f"{BLOCK}.bottleneck."): value for key, value in saved.items() if BLOCK in key}
        low = (read @ w["down.weight"].T + w["down.bias"]).relu()
        h = plain + 1.5 * (low @ w["up.weight"].T + w["up.bias"])
        low = (h @ weights["1.down.weight"].T + weights["1.down.bias"]).tanh()
        by_hand = h + 0.5 * (low @ weights["1.up.weight"].T + weights["1.up.bias"])
        assert torch.allclose(block(x), by_hand, atol=1e-4)


def test_what_was_saved_is_whole_without_the_lower_model(base, toys, lower, tmp_path):
    part = shutil.copytree(lower, tmp_path / "lower")
    params, model = settings(**UPPER).tuner, moved(stacked(base, toys, tmp_path / "data", part))
    for name in ("a", "b"):
        tuners.save(params, model, base, tmp_path / name)
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    shutil.rmtree(part)
    shutil.rmtree(tmp_path / "data")
    loaded = tuners.of_folder(tmp_path / "a").load(parent_of(base), tmp_path / "a")
    with torch.no_grad():
        assert torch.allclose(loaded(ROWS).logits, model(ROWS).logits, atol=1e-5)
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_the_upper_adapter_learns_and_the_lower_one_does_not_change(base, lower, tmp_path):
    """A run that was stopped ends in the same bytes, and both are packaged."""
    data = dataset(tmp_path / "data", matrix.prepared(tmp_path / "rows", "sft", base), lower=lower)
    train = {**matrix.settings("sft", "stack", weight_decay=0.1), "tuner": UPPER}
    whole = tiny.train_in(tmp_path / "whole", base, data, **train)
    broken(tmp_path / "again", base, data, 12, **train)
    assert sha256(tiny.train_in(tmp_path / "again", base, data, **train).adapter) == sha256(whole.adapter)
    assert learns(whole.report, "")
    saved, before = load_file(whole.adapter / FILE), load_file(lower / FILE)
    below = {key.replace(".stack.0.", ".bottleneck."): value for key, value in saved.items() if ".stack.0." in key}
    assert below.keys() == before.keys() and all(torch.equal(below[key], before[key]) for key in before)
    above = {key: value for key, value in saved.items() if ".stack.1." in key}
    assert len(above) + len(below) == len(saved) and all(value.any() for value in above.values())
    assert read_json(whole.report / "metrics.json")["trainable_parameters"] == sum(v.numel() for v in above.values())
    package(base, whole.adapter, data, tmp_path)
    assert read_json(tmp_path / "weights" / "source.json")["not_merged"]["kind"] == "stack"
    assert read_json(tmp_path / "adapter" / "stack.json")["model"] == "lower"


def test_what_does_not_fit_stops_in_a_sentence(base, toys, tmp_path):
    with pytest.raises(AnnealError, match="does not bring the adapter of a model; build it as rows of bundles"):
        make_model(settings(**UPPER), base, None, toys)
    other = learnt(base, tmp_path / "other", 1, **LOWER)
    weights = load_file(other / FILE)
    save_file({name.replace("layers.1", "layers.7"): value for name, value in weights.items()}, other / FILE)
    with pytest.raises(AnnealError, match="the adapter of other is for other blocks than the parent's"):
        make_model(settings(**UPPER), base, None, dataset(tmp_path, toys, other=other))
    with pytest.raises(AnnealError, match="brings those of other, first; use fusion, or a dataset with one"):
        two = dataset(tmp_path / "two", toys, other=other, first=learnt(base, tmp_path / "first", 1, **LOWER))
        make_model(settings(**UPPER), base, None, two)
    with pytest.raises(AnnealError, match=r"tuner.size is 65, and the base is 64 wide; lower it"):
        make_model(settings(kind="stack", size=65), base, None, toys)
