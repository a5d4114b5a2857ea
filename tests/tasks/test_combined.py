"""Adapters of several models are made one as peft's formulas say, and the result is a model like any other."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks import tuners
from tasks.dataset import bundled
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256
from tasks.stages.train.fit import make_model
from tests import tiny
from tests.tasks.bundling import dataset, learnt, settings
from tests.tasks.matrix_checks import package

pytestmark = pytest.mark.slow  # models are loaded

LAYER = "model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("combined")


@pytest.fixture(scope="module")
def adapters(base: Path, place: Path) -> dict[str, Path]:
    """name: what was trained."""
    return {
        "first": learnt(base, place / "first", 1, kind="lora", r=4, lora_alpha=8),
        "second": learnt(base, place / "second", 2, kind="lora", r=4, lora_alpha=4),
        "wide": learnt(base, place / "wide", 3, kind="lora", r=8, lora_alpha=8),
        "stable": learnt(base, place / "stable", 4, kind="lora", r=4, lora_alpha=8, use_rslora=True),
    }


@pytest.fixture(scope="module")
def toys(place: Path) -> Path:
    return tiny.write_prepared(place / "toys", 8)


def matrices(folder: Path) -> tuple[torch.Tensor, torch.Tensor, float]:
    """(A, B, scale) of one layer, as they are on disk."""
    from safetensors.torch import load_file

    weights, config = load_file(folder / "adapter_model.safetensors"), read_json(folder / "adapter_config.json")
    a, b = (weights[f"base_model.model.{LAYER}.lora_{side}.weight"] for side in "AB")
    return a, b, config["lora_alpha"] / (math.sqrt(config["r"]) if config["use_rslora"] else config["r"])


def update(folder: Path) -> torch.Tensor:
    a, b, scale = matrices(folder)
    return scale * b @ a


def combined(base: Path, place: Path, toys: Path, parts: dict[str, Path], **tuner: Any) -> Path:
    """The folder of the one adapter."""
    import tempfile

    params = settings(kind="combined", **tuner)
    torch.manual_seed(0)
    folder = Path(tempfile.mkdtemp(dir=place))
    model = make_model(params, base, None, dataset(folder / "data", toys, **parts))
    (folder / "trained").mkdir()
    tuners.save(params.tuner, model, base, folder / "trained")
    return folder / "trained"


def two(adapters: dict[str, Path], *names: str) -> dict[str, Path]:
    return {name: adapters[name] for name in names}


@pytest.mark.parametrize(
    ("names", "tuner"),
    [
        (("first", "second"), {"combination_type": "cat", "r": 8}),
        (("first", "wide"), {"combination_type": "svd", "r": 12}),  # of unequal ranks: the sum has rank 12
        (("first", "stable"), {"combination_type": "svd", "r": 8}),
        (("stable", "first"), {"combination_type": "cat", "r": 8}),
    ],
)
def test_the_updates_are_added_by_their_weights(base, place, toys, adapters, names, tuner):
    weights = dict(zip(names, (0.7, -0.4), strict=True))
    made = combined(base, place, toys, two(adapters, *names), weights=weights, **tuner)
    wanted = sum(factor * update(adapters[name]) for name, factor in weights.items())
    assert torch.allclose(update(made), wanted, atol=1e-5)
    assert (
        tuners.settings_of(made).saved_rank
        == matrices(made)[0].shape[0]
        == read_json(made / "adapter_config.json")["r"]
    )


def test_in_bf16_nothing_of_the_matrices_is_rounded(base, place, toys, adapters):
    parts = two(adapters, "first", "second")
    data = dataset(place / "rounded", toys, **parts)
    params = settings(kind="combined", combination_type="cat", r=8).model_copy(update={"bf16": True})
    tuners.save(params.tuner, make_model(params, base, None, data), base, place / "rounded")
    wanted = (update(adapters["first"]) + update(adapters["second"])) / 2
    assert torch.allclose(update(place / "rounded"), wanted, atol=1e-6)


def test_a_lower_rank_is_the_best_approximation(base, place, toys, adapters):
    made = combined(base, place, toys, two(adapters, "first", "wide"), r=8)
    whole = (update(adapters["first"]) + update(adapters["wide"])) / 2  # by default all count the same
    lost = torch.linalg.svdvals(whole)[8:].norm()
    assert torch.isclose((update(made) - whole).norm(), lost, rtol=1e-3) and lost > 0


def test_linear_adds_the_matrices_and_so_has_mixed_terms(base, place, toys, adapters):
    made = combined(base, place, toys, two(adapters, "first", "second"), combination_type="linear", r=4)
    a, b, _ = zip(*(matrices(adapters[name]) for name in ("first", "second")), strict=True)
    factors = [math.sqrt(0.5 * matrices(adapters[name])[2]) for name in ("first", "second")]
    by_hand = sum(f * m for f, m in zip(factors, b, strict=True)) @ sum(f * m for f, m in zip(factors, a, strict=True))
    assert torch.allclose(update(made), by_hand, atol=1e-5)


def test_ties_keeps_the_largest_values_of_the_sign_of_most(base, place, toys, adapters):
    made = combined(
        base, place, toys, two(adapters, "first", "second"), combination_type="ties_svd", r=64, density=0.25
    )
    kept = []
    for name in ("first", "second"):
        values = update(adapters[name])
        least = values.abs().flatten().topk(int(0.25 * values.numel())).values[-1]
        kept.append(values * (values.abs() >= least))
    sign = torch.where(sum(kept) >= 0, 1.0, -1.0)
    agree = [values.sign() == sign for values in kept]
    total = sum(0.5 * values * same for values, same in zip(kept, agree, strict=True))
    assert torch.allclose(update(made), total / sum(same.float() for same in agree).clamp(min=1), atol=1e-5)


@pytest.mark.parametrize("kind", ["ties", "dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd"])
def test_equal_settings_are_equal_bytes(base, place, toys, adapters, kind):
    parts = two(adapters, "first", "second")
    made = [combined(base, place, toys, parts, combination_type=kind, r=4, density=0.5) for _ in range(2)]
    assert sha256(made[0]) == sha256(made[1]) and update(made[0]).any()


def test_it_is_trained_packaged_and_loaded_as_any_model(base, toys, adapters, tmp_path, capsys):
    data = dataset(tmp_path / "data", toys, **two(adapters, "first", "second"))
    tuner = {"kind": "combined", "combination_type": "cat", "r": 8}
    made = tiny.train_in(tmp_path, base, data, tuner=tuner, bf16=False)
    figures = read_json(made.report / "metrics.json")
    assert figures["steps"] == 0 and figures["trainable_parameters"] == 0
    assert f"validation loss {figures['eval_loss']:.4f}" in capsys.readouterr().err
    assert (made.report / "loss.csv").read_text().startswith("step,loss,eval_loss,")
    package(base, made.adapter, data, tmp_path)
    assert read_json(tmp_path / "adapter" / "artifact.json")["tuner"]["weights"] == {}
    assert (tmp_path / "weights" / "model.safetensors").exists() and tuners.is_hot(tmp_path / "adapter")
    assert {path.name for path in (tmp_path / "adapter").iterdir() if path.is_dir()} == set()


def test_a_dataset_lists_what_it_brings_and_its_rows_name_the_list(toys, adapters, tmp_path):
    data = dataset(tmp_path, toys, **two(adapters, "second", "first"))
    assert {name: sha256(folder) for name, folder in bundled.read(data).items()} == {
        name: sha256(adapters[name]) for name in ("second", "first")
    }
    assert [*bundled.read(data)] == ["second", "first"]
    for name in ("train", "validation", "test"):
        rows = read_jsonl(data / f"{name}.jsonl")
        assert {row.pop("bundle") for row in rows} == {sha256(data / bundled.FILE)}
        assert rows == read_jsonl(toys / f"{name}.jsonl")
    assert read_json(tmp_path / "first.json")["adapters"] == 2


def test_what_does_not_fit_stops_in_a_sentence(base, toys, adapters, tmp_path):
    data = dataset(tmp_path, toys, **two(adapters, "first", "second"))
    with pytest.raises(AnnealError, match="brings the adapter of first already"):
        dataset(tmp_path / "again", data, first=adapters["first"])
    with pytest.raises(AnnealError, match="does not bring the adapters of two models"):
        make_model(settings(kind="combined"), base, None, tmp_path / "with_first")
    other = tiny.make_base(tmp_path / "other")
    with pytest.raises(AnnealError, match="the adapter of first was trained on .* retrain it"):
        make_model(settings(kind="combined"), other, None, data)
    (data / bundled.FOLDER / "second" / "adapter_config.json").write_text("{}")
    with pytest.raises(AnnealError, match="is not the adapter that was added"):
        make_model(settings(kind="combined"), base, None, data)
