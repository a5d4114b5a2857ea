"""A tuned model before the gate: its reports, the champion that it is compared with, and the verdict."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.params import Model
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.package import Package
from tasks.stages.predict.params import Predict
from tasks.stages.train.params import Train
from tasks.steps.champion import gate_verdict
from tasks.steps.gate import Gate, GateVerdict
from tasks.versions import promotion, registry
from tests import tiny
from tests.tasks.promoting import promote

NAME = "things"
GATE = Gate(minimum={"valid": 0.9}, compare_on="colour_accuracy", max_drop=0.02)
MODEL = Model(
    parent="tiny",
    dataset="toys",
    train=Train(**tiny.KINDS),
    predict=Predict(**tiny.PREDICT),
    evaluate=Evaluate(**tiny.EVALUATE),
    package=Package(),
    gate=GATE,
)


def verdict(place: SimpleNamespace, params: Gate = GATE) -> GateVerdict:
    """What the gate says of the tuned model beside its parent and the champion."""
    alone = params.model_copy(update={"must_beat": []})  # the toy's labels are told by any method
    return gate_verdict(NAME, MODEL.model_copy(update={"gate": alone}), place.weights, place.reports, place.adapter)


def enthrone(place: SimpleNamespace, tmp_path, predictions: list[dict], **facts: str) -> registry.Version:
    """Make a champion with the tuned adapter, another hash and these predictions."""
    adapter, evaluate = (
        shutil.copytree(place.adapter, tmp_path / "champion" / "adapter"),
        tmp_path / "champion" / "evaluate",
    )
    write_json(
        adapter / "artifact.json", {**read_json(adapter / "artifact.json"), "artifact_sha256": "another", **facts}
    )
    write_jsonl(evaluate / "predictions.jsonl", predictions)
    promote(promotion.register(NAME, adapter, evaluate, {}, {}))
    return registry.read(NAME).at("champion")


def tuned(place: SimpleNamespace) -> list[dict]:
    """The predictions of the tuned model."""
    return read_jsonl(place.reports / "predict" / "predictions.jsonl")


def without_answers(predictions: list[dict], right: int) -> list[dict]:
    """The predictions, of which only the first `right` keep their text."""
    return [row if i < right else {**row, "text": "?"} for i, row in enumerate(predictions)]


def reports(evaluated: Path, adapter: Path, weights: Path, copy: Path) -> SimpleNamespace:
    """The reports of the tuned model, copied to be written to, and what gate_verdict() is given."""
    return SimpleNamespace(weights=weights, reports=shutil.copytree(evaluated, copy), adapter=adapter)


def watch_answers(patch: pytest.MonkeyPatch) -> list[str]:
    """The `what` of each time that a model is loaded and asked, and how many rows; filled as it happens."""
    import tasks.weights.tuned

    real, calls = tasks.weights.tuned.answer, []

    def answer(*given: object, **settings: object) -> object:
        calls.append(f"{given[-1]}, {len(given[2])} rows")
        return real(*given, **settings)

    patch.setattr(tasks.weights.tuned, "answer", answer)
    return calls
