"""A fusion computes the paper's formula, learns which of two adapters to use, and is a model like any other."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tasks import tuners
from tasks.errors import AnnealError
from tasks.files import read_json, sha256
from tasks.stages.train.fit import make_model
from tests import tiny
from tests.tasks import matrix
from tests.tasks.bundling import dataset, learnt, settings
from tests.tasks.matrix_checks import learns, package

pytestmark = pytest.mark.slow  # models are trained

PARTS = {
    "first": {"kind": "bottleneck", "size": 8},
    "second": {"kind": "bottleneck", "size": 6, "activation": "relu", "scaling": 1.5},
}
# Tokens by which a row can be told to be of the first or of the second kind.
KINDS = (torch.arange(3, 43).view(4, 10), torch.arange(103, 143).view(4, 10))
BLOCK = "model.layers.1.mlp"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fusion")


@pytest.fixture(scope="module")
def parts(base: Path, place: Path) -> dict[str, Path]:
    return {name: learnt(base, place / name, seed, **part) for seed, (name, part) in enumerate(PARTS.items())}


@pytest.fixture(scope="module")
def toys(place: Path, parts: dict[str, Path]) -> Path:
    return dataset(place / "data", tiny.write_prepared(place / "toys", 8), **parts)


def fused(base: Path, toys: Path, **tuner: object) -> nn.Module:
    torch.manual_seed(0)
    return make_model(settings(kind="fusion", **tuner), base, None, toys).eval()


def alone(base: Path, folder: Path) -> nn.Module:
    """The parent under one of the adapters."""
    from transformers import AutoModelForCausalLM

    parent = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return tuners.of_folder(folder).load(parent, folder).eval()


def test_a_block_adds_what_the_formula_says(base, parts, toys):
    """Section 3.3.1 of the paper, with V = I + W."""
    model = fused(base, toys)
    fusion, x = model.get_submodule(f"{BLOCK}.fusion"), torch.randn(2, 3, 64)
    with torch.no_grad():
        for weight in (fusion.query.weight, fusion.query.bias, fusion.key.weight, fusion.value.weight):
            weight.add_(0.3 * torch.randn_like(weight))
        added = [alone(base, parts[name]).get_submodule(f"{BLOCK}.bottleneck")(x) for name in PARTS]
        query = x @ fusion.query.weight.T + fusion.query.bias
        scores = torch.stack([(query * (a @ fusion.key.weight.T)).sum(-1) for a in added], -1)
        values = [a @ (torch.eye(64) + fusion.value.weight).T for a in added]
        by_hand = sum(share[..., None] * v for share, v in zip(scores.softmax(-1).unbind(-1), values, strict=True))
        assert torch.allclose(fusion(x), by_hand, atol=1e-4)


def test_it_learns_to_choose_between_two(base, parts, toys):
    """For rows of the first kind the first adapter is right, for those of the second the second: what a model that is
    one of the two answers is learnt, and not told to which of them a row belongs.
    """
    model = fused(base, toys, size=16, values=False)
    with torch.no_grad():
        right = [alone(base, parts[name])(rows).logits for name, rows in zip(PARTS, KINDS, strict=True)]
    chosen = watch(model)
    with torch.no_grad():
        before = [share_of(model, chosen, rows, place) for place, rows in enumerate(KINDS)]
    assert all(0.3 < share < 0.7 for share in before)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=2.0e-2)
    for _ in range(60):
        optimizer.zero_grad()
        losses = [(model(rows).logits - wanted).pow(2).mean() for rows, wanted in zip(KINDS, right, strict=True)]
        sum(losses).backward()
        optimizer.step()
    with torch.no_grad():
        after = [share_of(model, chosen, rows, place) for place, rows in enumerate(KINDS)]
    assert all(share > 0.9 for share in after), after


def watch(model: nn.Module) -> list[torch.Tensor]:
    """A list that each fusion adds its shares to."""
    chosen: list[torch.Tensor] = []
    for module in model.modules():
        if hasattr(module, "shares"):
            module.shares = kept(module.shares, chosen)
    return chosen


def kept(shares, chosen):
    def call(x: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        chosen.append(shares(x, added))
        return chosen[-1]

    return call


def share_of(model: nn.Module, chosen: list[torch.Tensor], rows: torch.Tensor, place: int) -> float:
    """How much the adapter at `place` counts for `rows`, over all blocks."""
    chosen.clear()
    model(rows)
    return torch.stack([share[..., place].mean() for share in chosen]).mean().item()


@pytest.mark.parametrize("placement", ["houlsby", "parallel"])
def test_only_query_key_and_value_learn_and_it_is_the_parent_again(base, place, placement):
    both = {name: {**part, "placement": placement} for name, part in PARTS.items()}
    made = {name: learnt(base, place / f"{placement}-{name}", 1, **part) for name, part in both.items()}
    data = dataset(place / placement, tiny.write_prepared(place / f"{placement}-toys", 8), **made)
    model = fused(base, data)
    names = {name.rpartition(".fusion.")[2] for name, weight in model.named_parameters() if weight.requires_grad}
    assert names == {"query.weight", "query.bias", "key.weight", "value.weight"}
    from transformers import AutoModelForCausalLM

    parent = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        assert not torch.allclose(model(KINDS[0]).logits, parent(KINDS[0]).logits, atol=1e-1)
        with model.disable_adapter():
            assert torch.allclose(model(KINDS[0]).logits, parent(KINDS[0]).logits, atol=1e-5)


def test_what_was_saved_is_whole_without_the_models_that_it_is_made_of(base, toys, tmp_path):
    from transformers import AutoModelForCausalLM

    params, model = settings(kind="fusion", size=4).tuner, fused(base, toys, size=4)
    for name in ("a", "b"):
        tuners.save(params, model, base, tmp_path / name)
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    assert [part["model"] for part in read_json(tmp_path / "a" / "fusion.json")["adapters"]] == [*PARTS]
    parent = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    loaded = tuners.of_folder(tmp_path / "a").load(parent, tmp_path / "a")
    with torch.no_grad():
        assert torch.allclose(loaded(KINDS[0]).logits, model(KINDS[0]).logits, atol=1e-5)
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_adapters_of_other_blocks_stop_in_a_sentence(base, toys, parts, tmp_path):
    from safetensors.torch import load_file, save_file

    other = learnt(base, tmp_path / "other", 1, **PARTS["first"])
    weights = load_file(other / "adapter_model.safetensors")
    save_file(
        {name.replace("layers.1", "layers.7"): value for name, value in weights.items()},
        other / "adapter_model.safetensors",
    )
    data = dataset(tmp_path, tiny.write_prepared(tmp_path / "toys", 8), first=parts["first"], other=other)
    with pytest.raises(AnnealError, match="the adapter of other is for other blocks than the parent's"):
        fused(base, data)


def test_it_resumes_to_the_same_bytes_and_is_packaged(base, parts, tmp_path, monkeypatch, capfd):
    from tasks.stages.train.history import History

    def interrupt(self: object, args: object, state: Any, control: object, **_: object) -> None:
        if state.global_step == 6:
            raise InterruptedError

    data = dataset(tmp_path / "data", matrix.prepared(tmp_path / "rows", "sft", base), **parts)
    train = matrix.settings("sft", "fusion", num_train_epochs=2)
    whole = tiny.train_in(tmp_path / "whole", base, data, **train)
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(History, "on_step_begin", interrupt, raising=False)
        tiny.train_in(tmp_path / "again", base, data, **train)
    again = tiny.train_in(tmp_path / "again", base, data, **train)
    assert "continuing from checkpoint-4" in capfd.readouterr().out
    assert sha256(again.adapter) == sha256(whole.adapter)
    assert learns(whole.report, "")
    package(base, whole.adapter, data, tmp_path)
    assert read_json(tmp_path / "weights" / "source.json")["not_merged"]["kind"] == "fusion"
    assert read_json(tmp_path / "adapter" / "fusion.json")["adapters"][1]["scaling"] == 1.5
