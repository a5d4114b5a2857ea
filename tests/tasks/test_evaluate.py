"""evaluate scores the answers of parent and tuned model in seconds, and writes all that DVC was told, with labels or
without.
"""

import time
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, write_json, write_jsonl
from tasks.formats.answer import format_of
from tasks.stages.evaluate.__main__ import contest
from tasks.stages.evaluate.params import Evaluate

LABEL = "Category (L1)"
KINDS = ("billing", "refund", "shipping")


def make(folder: Path, answer: list[str] | str, rows: int = 30) -> Path:
    """Prepared rows and the answers of both models: the tuned model errs on every fifth row, the parent says nothing
    of use.
    """
    form, written = format_of(answer), {"train": range(rows, 2 * rows), "test": range(rows)}
    table = {i: {"id": f"r{i}", LABEL: KINDS[i % 3], "reply": f"It is number {i}."} for i in range(2 * rows)}
    for split, places in written.items():
        write_jsonl(
            folder / f"prepared/{split}.jsonl",
            [{"id": table[i]["id"], "answer": form.write(table[i]), "row": table[i]} for i in places],
        )
    write_json(folder / "prepared/format.json", {"answer": answer})
    for who in ("parent", "tuned"):
        said = [
            form.write(table[i] if i % 5 else {**table[i], LABEL: "shipping", "reply": "no"})
            if who == "tuned"
            else "Sure!"
            for i in range(rows)
        ]
        answers = [
            {
                "id": table[i]["id"],
                "answer": form.write(table[i]),
                "row": table[i],
                "text": said[i],
                "nll": 3.0 + i % 4,
                "tokens": 5,
            }
            for i in range(rows)
        ]
        write_jsonl(folder / who / "predictions.jsonl", answers)
    return folder


def run(folder: Path, **params: object) -> dict:
    """The metrics that `evaluate` writes."""
    contest(
        Evaluate(**params),
        folder / "prepared",
        {"parent": folder / "parent", "tuned": folder / "tuned"},
        folder / "out",
    )
    return read_json(folder / "out/metrics.json")


def test_a_label_whose_name_no_tracker_takes_is_measured_under_a_clean_name(tmp_path: Path) -> None:
    metrics = run(make(tmp_path, [LABEL, "reply"]), labels=[LABEL], bootstrap_resamples=100)
    assert metrics["tuned"]["Category_L1_accuracy"] == pytest.approx(26 / 30)  # of six rows that say shipping, two are
    assert metrics["parent"]["Category_L1_accuracy"] == metrics["parent"]["valid"] == 0 and metrics["rows"] == 30
    for plots in ("confusion", "per_class_f1"):
        assert [file.name for file in (tmp_path / "out" / plots).iterdir()] == ["Category_L1.csv"]
    assert (tmp_path / "out/confusion/Category_L1.csv").read_text().splitlines()[:2] == [
        "actual,predicted",
        "billing,shipping",
    ]
    facts = read_json(tmp_path / "out/measures.json")
    assert facts["classes"] == {LABEL: sorted(KINDS)} and facts["measures"]["perplexity"] == {
        "unit": "choices per token",
        "higher_is_better": False,
        "kind": "ratio",
    }


@pytest.mark.parametrize("answer", ["{{ reply }}", "{{ row['Category (L1)'] }} / {{ reply }}", "{{ reply | upper }}"])
def test_without_labels_the_folders_of_the_plots_are_there_and_empty(tmp_path: Path, answer: str) -> None:
    metrics = run(make(tmp_path, answer), bootstrap_resamples=100)
    assert metrics["tuned"]["exact_match"] == pytest.approx(24 / 30) and metrics["tuned"]["valid"] == 1
    assert all(
        (tmp_path / "out" / plots).is_dir() and not list((tmp_path / "out" / plots).iterdir())
        for plots in ("confusion", "per_class_f1")
    )


def test_the_confidence_that_was_set_stands_beside_the_intervals(tmp_path: Path) -> None:
    make(tmp_path, "{{ reply }}")
    widths = []
    for confidence in (0.8, 0.95):
        run(tmp_path, confidence=confidence, bootstrap_resamples=100)
        intervals = read_json(tmp_path / "out/intervals.json")
        assert intervals["confidence"] == confidence
        widths.append(intervals["tuned"]["exact_match"][1] - intervals["tuned"]["exact_match"][0])
    assert widths[0] < widths[1]


def test_a_thousand_rows_are_scored_in_seconds(tmp_path: Path) -> None:
    make(tmp_path, [LABEL, "reply"], rows=1000)
    began = time.process_time()
    run(tmp_path, labels=[LABEL])
    assert time.process_time() - began < 10


def test_answers_to_other_rows_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "{{ reply }}", rows=20)
    make(tmp_path / "other", "{{ reply }}", rows=10)
    with pytest.raises(AnnealError, match="the parent's answers are for other rows than the tuned model's"):
        contest(
            Evaluate(),
            tmp_path / "prepared",
            {"parent": tmp_path / "other/parent", "tuned": tmp_path / "tuned"},
            tmp_path / "out",
        )
