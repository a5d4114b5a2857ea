"""The files of a run without its stages: a model that answers everything rightly, whose parent answers nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import fingerprint
from flows.steps import Steps
from tasks.files import write_json, write_jsonl
from tasks.stages.evaluate.__main__ import evaluate
from tasks.stages.evaluate.params import Evaluate
from tasks.steps.gate import Gate
from tests import tiny
from tests.tasks import serving
from tests.tasks.serving import BASE, TASK, World

ARTIFACT = {
    "artifact_sha256": "a" * 64,
    "base_sha256": BASE,
    "template_sha256": "t" * 64,
    "parts": {"adapter_model.safetensors": "p"},
}
GATE = Gate(minimum={"valid": 0.9}, compare_on="colour_accuracy", must_beat=[])


@contextmanager
def world(folder: Path, patch: pytest.MonkeyPatch, port: int) -> Iterator[World]:
    """The files of a run whose model answers everything rightly and whose parent nothing."""
    with serving.world(folder, patch, port) as made:
        model = made.params.models[TASK].model_copy(
            update={"dataset": "toys", "gate": GATE, "evaluate": Evaluate(**tiny.EVALUATE)}
        )
        made.params = made.params.model_copy(update={"models": {TASK: model}})
        patch.setattr(fingerprint, "commit", lambda: "c" * 40)
        Path("params.yaml").write_text("models: {}\n")
        tiny.write_prepared(Path("data/prepared/toys"), 16)
        answered("predict", right=True)
        answered("baseline", right=False)
        reports = Path(f"reports/{TASK}")
        evaluate(model.evaluate, Path("data/prepared/toys"), reports, reports / "evaluate")
        adapter = Path(f"models/{TASK}/adapter")
        write_jsonl(adapter / "adapter_model.safetensors", [{"weights": "two"}])
        write_json(adapter / "format.json", {"system": "", "user": tiny.PREPARE.user, "answer": tiny.PREPARE.answer})
        write_json(adapter / "artifact.json", ARTIFACT)
        write_json(Path(f"models/{model.parent}/weights/source.json"), {"weights_sha256": BASE})
        yield made


def answered(part: str, right: bool) -> None:
    """Write the answers of a contestant: all right, or none."""
    rows = [json.loads(line) for line in Path("data/prepared/toys/test.jsonl").read_text().splitlines()]
    told = [
        {
            **row,
            "text": row["answer"] if right else "?",
            "nll": 1.0 if right else 9.0,
            "tokens": 4,
            "token_ids": [1],
            "finished": True,
        }
        for row in rows
    ]
    write_jsonl(Path(f"reports/{TASK}/{part}/predictions.jsonl"), told)


def run(world: World) -> Steps:
    """Gate and register what lies there."""
    made = Steps(world.params, TASK)
    made.gate()
    made.register()
    return made


def report(made: Steps) -> None:
    """Write the summary of a run, and how long its answers took."""
    for part in ("predict", "baseline"):
        write_json(Path(f"reports/{TASK}/{part}/timing.json"), {"seconds_per_answer": 1.0})
    write_json(Path(f"reports/{TASK}/summary.json"), made.summarise())
