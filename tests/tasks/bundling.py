"""Adapters as if models had learnt them, and datasets that bring them."""

from pathlib import Path
from typing import Any

from tasks import tuners
from tasks.section import parse
from tasks.stages.bundle import Bundle, bundle
from tasks.stages.train.params import Train
from tests import tiny


def settings(**tuner: Any) -> Train:
    """A training with this tuner, in fp32."""
    return parse(Train, {**tiny.TRAIN, "tuner": tuner, "bf16": False}, "")


def learnt(base: Path, folder: Path, seed: int, **tuner: Any) -> Path:
    """What a model with this tuner would have `trained`: its weights are noise."""
    import torch

    from tasks.stages.train.fit import make_model

    params = settings(**tuner)
    model = make_model(params, base, None)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.copy_(0.1 * torch.randn_like(weight))
    folder.mkdir(parents=True)
    tuners.save(params.tuner, model, base, folder)
    return folder


def dataset(place: Path, prepared: Path, **parts: Path) -> Path:
    """A dataset that brings what these models learnt."""
    for name, trained in parts.items():
        row = Bundle(dataset=prepared.name, model=name)
        bundle(row, prepared, trained, place / f"with_{name}", place / f"{name}.json")
        prepared = place / f"with_{name}"
    return prepared
