"""Text answers and the shortest rows, by the real DVC: trained, measured, gated, packaged; nothing is asked again
for a new measure.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows import project

pytestmark = pytest.mark.slow

OF_REPLY = [f"reply_{name}" for name in ("rouge_l", "token_f1", "exact_match", "bleu", "chrf")]

JUDGE = """
import json
from pathlib import Path
from tasks import params
from tasks.steps import champion
from tasks.versions import registry
registry.alias = lambda name, which: None
model = params.load().models["things"]
verdict = champion.gate_verdict(
    "things", model, Path("models/tiny/weights"), Path("reports/things"), Path("models/things/adapter")
)
print(json.dumps([verdict.passed, list(verdict.reasons)]))
"""


def judged(folder: Path) -> tuple[bool, list[str]]:
    """The gate's verdict and reasons where the registry has no champion."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", JUDGE], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def measured(folder: Path) -> dict:
    return json.loads((folder / "reports/things/evaluate/metrics.json").read_text())


@pytest.fixture(scope="module")
def minimal(tmp_path_factory: pytest.TempPathFactory, warmed: None) -> Path:
    """A project whose answer is the plain reply, and whose model has nothing but empty sections but for training."""
    folder = project.make(tmp_path_factory.mktemp("text"))
    project.change(
        folder,
        datasets__toys__prepare__answer="{{ reply }}",
        datasets__toys__prepare__system="Say where the thing goes.",
        **{f"models__things__{section}": {} for section in ("predict", "evaluate", "package", "gate")},
    )
    project.change(folder, models__things__package__max_divergence=0.5)
    project.run(folder, "dvc", "repro", "package@things")
    return folder


def test_free_text_without_labels_is_measured_and_packaged(minimal: Path) -> None:
    metrics = measured(minimal)
    assert set(metrics["tuned"]) == {"valid", "exact_match", *OF_REPLY, "perplexity"}
    assert (
        metrics["tuned"]["exact_match"] > metrics["parent"]["exact_match"]
        and metrics["tuned"]["perplexity"] < metrics["parent"]["perplexity"]
    )
    assert (minimal / "models/things/adapter/adapter_model.safetensors").exists()
    assert "# things" in (minimal / "model_cards/things.md").read_text()
    assert list((minimal / "reports/things/evaluate/confusion").iterdir()) == []


def test_the_gate_of_an_empty_section_compares_free_text_on_perplexity(minimal: Path) -> None:
    passed, reasons = judged(minimal)
    examples, parent, *_, probe = reasons
    assert passed and "paired bootstrap p = 0.0001" in parent
    assert examples.startswith("✓ better than the parent with examples on perplexity")
    assert parent.startswith("✓ better than its parent on perplexity")
    assert probe.startswith("✓ the probe has nothing to predict: ")


def test_a_second_repro_runs_nothing_though_plots_are_empty(minimal: Path) -> None:
    shown = project.run(minimal, "dvc", "repro", "package@things")
    assert "Running stage" not in shown
    assert "index.html" in project.run(minimal, "dvc", "plots", "show")


def test_another_measure_asks_no_model_again(minimal: Path) -> None:
    before = (minimal / "params.yaml").read_text()
    project.change(minimal, models__things__evaluate__texts=[])
    try:
        shown = project.run(minimal, "dvc", "repro", "evaluate@things")
    finally:
        (minimal / "params.yaml").write_text(before)
    assert [line.split("'")[1] for line in shown.splitlines() if line.startswith("Running stage")] == [
        "evaluate@things"
    ]
    assert "reply_rouge_l" not in measured(minimal)["tuned"]


@pytest.mark.minutes
def test_a_text_answer_that_is_a_label_has_accuracy(minimal: Path) -> None:
    project.change(
        minimal, datasets__toys__prepare__answer="{{ colour }}", models__things__evaluate={"labels": ["colour"]}
    )
    project.run(minimal, "dvc", "repro", "package@things")
    metrics = measured(minimal)
    assert set(metrics["tuned"]) == {
        "valid",
        *(f"colour_{name}" for name in ("accuracy", "macro_f1", "micro_f1", "mcc")),
        "perplexity",
    }
    assert metrics["tuned"]["colour_accuracy"] > 0.9 and metrics["tuned"]["valid"] == 1
    assert (minimal / "reports/things/evaluate/confusion/colour.csv").read_text().startswith("actual,predicted\n")
    passed, reasons = judged(minimal)
    assert any(words.startswith("✓ better than its parent on colour_accuracy") for words in reasons), reasons
    failed = [words for words in reasons if words.startswith("✗")]
    assert not passed and len(failed) == 1, reasons  # colours are easy: the probe knows them all
    assert failed[0].startswith("✗ not shown better than the probe") and "gate.must_beat" in failed[0]
