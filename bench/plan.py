"""What a plan says of a training beside what the training comes to: tokens, memory and time.

`.venv/bin/python bench/plan.py [--steps 60] [--only triage,labels_lora]` in a checkout whose `make pipeline` has ended,
on a machine with nothing else to do. It trains the two shipped rows and two others, each for at most so many steps in a
folder of its own; the last line is JSON. Tokens are to be exact, memory within 15 %, time within 25 %.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from tasks import paths
from tasks.files import read_json, read_jsonl
from tasks.plan import memory, result
from tasks.stage import load_yaml

ROOT = Path(__file__).parent.parent
MEMORY, TIME = 0.15, 0.25  # how far off a plan may be
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {  # name: (shipped row, what is different)
    "triage_full": (
        "triage",
        {"tuner": {"kind": "full"}, "learning_rate": 2.0e-5, "gradient_accumulation_steps": 2, "max_length": 384},
    ),
    "labels_lora": ("triage_labels", {"tuner": {"kind": "lora"}, "learning_rate": 1.0e-3}),
}


def main() -> None:
    """Plan and train each row, and print how far the plan was off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", default="", help="names of rows, with commas between")
    options = parser.parse_args()
    shipped = load_yaml(ROOT / "params.yaml")["models"]
    rows = {name: (shipped[name], {}) for name in ("triage", "triage_labels")}
    rows |= {name: (shipped[like], changes) for name, (like, changes) in OTHERS.items()}
    chosen = [name for name in options.only.split(",") if name] or list(rows)
    compared = {}
    for name in chosen:
        row, changes = rows[name]
        compared[name] = _compared(name, row, _short({**row["train"], **changes}, row["dataset"], options.steps))
        print(f"{name:<16} {compared[name]}", flush=True)
    print(
        json.dumps(
            {
                "tokens_exact": all(line["tokens"] == line["planned_tokens"] for line in compared.values()),
                "memory_within_15": all(abs(line["memory_off"]) <= MEMORY for line in compared.values()),
                "time_within_25": all(abs(line["time_off"]) <= TIME for line in compared.values()),
                "load": round(os.getloadavg()[0], 1),
                "rows": compared,
            }
        )
    )


def _short(train: dict[str, Any], dataset: str, steps: int) -> dict[str, Any]:
    """The section with at most so many steps, to the end of which it trains."""
    count = len(read_jsonl(ROOT / paths.prepared(dataset) / "train.jsonl"))
    a_step = train["per_device_train_batch_size"] * train.get("gradient_accumulation_steps", 1)
    epochs = min(train["num_train_epochs"], steps * a_step / count)
    return {**train, "num_train_epochs": epochs, "load_best_model_at_end": False}


def _compared(name: str, row: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    """A dry run, then the run, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="anneal-bench-plan-") as folder:
        place = Path(folder)
        (place / "params.yaml").write_text(json.dumps({"models": {name: {**row, "train": train}}}))
        given = {"parent": ROOT / paths.weights(row["parent"]), "prepared": ROOT / paths.prepared(row["dataset"])}
        planned = result.of_json(_run("tasks.plan.dry_run", name, place, **given).splitlines()[-1])
        _run("tasks.stages.train", name, place, **given, out=place / "trained", report=place / "report")
        timing, metrics = read_json(place / "report/timing.json"), read_json(place / "report/metrics.json")
    assert planned.times is not None, planned.advice
    gib = planned.peak / memory.GIB
    return {
        "steps": metrics["steps"],
        "planned_tokens": planned.amounts.tokens,
        "tokens": metrics["tokens"],
        "planned_gib": round(gib, 2),
        "gib": timing["memory_gib"],
        "memory_off": round(gib / timing["memory_gib"] - 1, 3),
        "planned_seconds": round(planned.times.total, 1),
        "seconds": timing["seconds"],
        "time_off": round(planned.times.total / timing["seconds"] - 1, 3),
        "before_seconds": timing.get("planned_seconds"),  # what the training itself expected before its first step
        "before_gib": timing.get("planned_memory_gib"),
    }


def _run(module: str, name: str, place: Path, **options: Path) -> str:
    """What a program of the project prints, which must succeed."""
    words = [sys.executable, "-m", module, name]
    words += [text for option, path in options.items() for text in (f"--{option}", str(path))]
    words += ["--checkpoints", str(place / "checkpoints" / name)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=place, env=environment, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"{module} {name} failed")
    return done.stdout


if __name__ == "__main__":
    main()
