"""A head learns at a rate of its own, also beside weights that are frozen and layers with theirs."""

from pathlib import Path
from typing import Any

import pytest

from tasks import objectives
from tasks.objectives import classify
from tasks.stages.train.params import Train
from tasks.weights import layer_groups
from tests import encoders, tiny


@pytest.mark.parametrize(
    ("body", "given", "rate"),
    [
        (2.0e-5, None, 4.0e-4),
        (1.0e-4, None, 2.0e-3),
        (5.0e-4, None, 2.0e-3),  # an adapter's rates are ten times those of whole weights, a head's are not
        (1.0e-2, None, 1.0e-2),
        (1.0e-4, 1.0e-3, 1.0e-3),
    ],
)
def test_the_rate_of_a_head_is_twenty_times_its_bodys_and_what_suits_a_linear_layer(
    body: float, given: float | None, rate: float
) -> None:
    settings = classify.Params(kind="classify", head_learning_rate=given)
    assert layer_groups.head_rate(settings, body) == pytest.approx(rate)


def rates(encoder: Path, place: Path, tuner: dict[str, object]) -> dict[str, float]:
    """{weight: the rate that its optimizer begins with, before any warm-up}; every weight that learns is there once."""
    from tasks.stages.train.fit import make_trainer

    train = {**tiny.TRAIN, "objective": {"kind": "classify"}, "tuner": tuner, "learning_rate": 1.0e-4}
    params, rows = Train(**train), encoders.rows(0, 8)
    objective: Any = objectives.of(params.objective)
    processor = objective.processor(params.objective, encoder, rows)
    encoded = [objective.encode(params.objective, processor, row) for row in rows]
    trainer, _ = make_trainer(params, encoder, processor, {"train": encoded, "validation": encoded}, place)
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    groups = trainer.create_optimizer().param_groups
    known = [(names[id(weight)], group["lr"]) for group in groups for weight in group["params"]]
    assert sorted(name for name, _ in known) == sorted(trainer.learnt())
    assert not any(name.startswith("heads.") for name in map(names.get, map(id, groups[0]["params"])))  # a run logs it
    return dict(known)


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_all_else_learns_at_the_rate_of_the_run(tuner: str, encoder: Path, tmp_path: Path) -> None:
    for name, rate in rates(encoder, tmp_path, {"kind": tuner}).items():
        assert rate == pytest.approx(2.0e-3 if name.startswith("heads.") else 1.0e-4), name
        assert name.startswith("heads.") or tuner == "full" or "lora_" in name


@pytest.mark.slow
def test_layers_keep_their_shares(encoder: Path, tmp_path: Path) -> None:
    shares = {"heads.": 20, "body.encoder.layer.1.": 0.5, "body.encoder.layer.0.": 0.25, "body.embeddings.": 0.125}
    known = rates(encoder, tmp_path, {"kind": "full", "layer_decay": 0.5})
    for name, rate in known.items():
        share = next(share for start, share in shares.items() if name.startswith(start))
        assert rate == pytest.approx(share * 1.0e-4), name
