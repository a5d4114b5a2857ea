"""bench/classify_curves.py: which rows a run draws, what its table and its losses by epoch say."""

import json
from pathlib import Path

import pytest

from bench.classify_curves import as_table, line
from bench.curves_drawing import epochs
from bench.curves_project import DATASET, Run, draw
from tasks.files import read_json, read_jsonl, write_json, write_jsonl

CLASSES = ["common", "rare", "rarest"]


def row(number: int, label: str) -> dict:
    """As `prepare` writes it."""
    return {"id": str(number), "messages": [], "answer": json.dumps({"label": label}), "row": {"label": label}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """200 prepared rows, of which one is of the rarest class and three of a rare one."""
    monkeypatch.chdir(tmp_path)
    labels = ["common"] * 196 + ["rare"] * 3 + ["rarest"]
    folder = Path("data/prepared") / DATASET
    write_jsonl(folder / "train.jsonl", [row(i, label) for i, label in enumerate(labels)])
    write_jsonl(folder / "validation.jsonl", [row(200 + i, "common") for i in range(40)])
    write_jsonl(folder / "test.jsonl", [row(300 + i, "rarest") for i in range(5)])
    write_json(folder / "format.json", {"answer": ["label"], "classes": {}})
    return tmp_path


def test_a_draw_knows_all_classes_and_follows_from_its_seed(project: Path) -> None:
    drawn = [("40", 1.0e-4, 1), ("40", 1.0e-4, 2), ("all", 1.0e-4, 1)]
    for of in drawn:
        draw(Run(*of))
    first, second, every = (read_jsonl(Run(*of).prepared / "train.jsonl") for of in drawn)
    assert {r["row"]["label"] for r in first} == {r["row"]["label"] for r in second} == set(CLASSES)
    assert len({r["id"] for r in first}) == len(first) == 40 and len({r["id"] for r in every}) == 200
    assert {r["id"] for r in first} != {r["id"] for r in second}
    prepared = Run("40", 1.0e-3, 1).prepared  # of another rate: the same rows
    assert len(read_jsonl(prepared / "validation.jsonl")) == 5 and len(read_jsonl(prepared / "test.jsonl")) == 5
    assert read_json(prepared / "format.json")["classes"]["label"]["rarest"] == 1 / 40


@pytest.mark.parametrize("size", ["2", "201"])
def test_a_size_that_cannot_be_drawn_is_refused(project: Path, size: str) -> None:
    with pytest.raises(SystemExit, match="too few|prepare left 200"):
        draw(Run(size, 1.0e-4, 1))


def test_a_line_tells_seeds_from_test_rows() -> None:
    found = [
        {"rows": 40, "test_rows": 100, "accuracy": share, "macro_f1": share, "seconds": 2.0} for share in (0.8, 0.9)
    ]
    made = line("40", "tuned at 0.0001", found)
    assert made["accuracy"] == 0.85 and (made["lowest"], made["highest"]) == (0.8, 0.9)
    assert made["interval"] == pytest.approx([0.7672, 0.9069], abs=1e-4)  # Wilson, 85 of 100
    assert "| 40 | tuned at 0.0001 | 2 | 85.0% | 80.0% to 90.0% | 76.7% to 90.7% | 85.0% | 2 |" in as_table([made])


def test_losses_by_epoch_are_means_of_its_steps(tmp_path: Path) -> None:
    file = tmp_path / "loss.csv"
    file.write_text("step,loss,eval_loss,learning_rate\n1,4.0,,\n5,2.0,,\n6,,1.5,\n10,1.0,,\n12,,1.2,\n")
    assert epochs(file) == ([(1.0, 3.0), (2.0, 1.0)], [(1.0, 1.5), (2.0, 1.2)])
