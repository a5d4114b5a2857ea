"""All tuners at equal budget, each at the rate that short trials found for it: quality on held-out tickets, share of
the weights that is trained, tokens a second, memory and size; and whether LoRA is within half a point of full tuning.

`.venv/bin/python bench/tuners.py --out FOLDER` makes a copy of the project there; what is done is not done again. Two
parts: the shipped language model writes two labels of a ticket from its subject (short rows, so that eight tuners fit
into the time of one usual training), and the shipped encoder tells three labels of the whole ticket (`frozen` needs a
head). Both train 300 steps, batches of 4 and 8. `--parts llm`, `--only lora` limit it; `--quick` tries all of it on a
few rows. The last line is the table as JSON.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import stage_runs, tuner_trials
from bench import tickets_project as project
from tasks.files import read_json, read_jsonl

TRIALS = str(stage_runs.ROOT / "bench/tuner_trials.py")
SUBJECTS = "Label the support ticket. Answer with JSON: category, intent."
VIRTUAL = {"num_virtual_tokens": 16}
RANK = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0}
HALF = 0.5  # points


@dataclass(frozen=True)
class Part:
    """A base, what it learns, and its tuners with the rates that their trials begin with."""

    base: str
    dataset: str
    labels: tuple[str, ...]
    batch: int
    train: Mapping[str, Any]
    tuners: Mapping[str, tuple[dict[str, Any], float]]


PARTS = {
    "llm": Part(
        "smollm2",
        "ticket_subjects",
        ("category", "intent"),
        4,
        {"objective": {"kind": "sft"}},
        {
            "full": ({"kind": "full"}, 1.0e-4),
            "lora": ({"kind": "lora", **RANK}, 2.0e-3),
            "qlora": ({"kind": "qlora", **RANK}, 2.0e-3),
            "bottleneck": ({"kind": "bottleneck", "size": 32}, 1.0e-3),
            "ia3": ({"kind": "ia3"}, 1.0e-2),
            "prefix": ({"kind": "prefix", **VIRTUAL}, 1.0e-2),
            "p_tuning": ({"kind": "p_tuning", **VIRTUAL}, 1.0e-3),
            "prompt": ({"kind": "prompt", **VIRTUAL}, 1.0e-2),
        },
    ),
    "encoder": Part(
        "minilm",
        "ticket_labels",
        project.LABELS,
        8,
        {"objective": {"kind": "classify", "head_learning_rate": 2.0e-3, "label_smoothing": 0.1}, "dropout": 0.0},
        {
            "full": ({"kind": "full"}, 1.0e-4),
            "lora": ({"kind": "lora", **RANK}, 1.0e-3),
            "bottleneck": ({"kind": "bottleneck", "size": 32}, 1.0e-3),
            "ia3": ({"kind": "ia3"}, 5.0e-3),
            "frozen": ({"kind": "frozen"}, 5.0e-3),
        },
    ),
}


def main() -> None:
    """Do what has not been done, and print the table."""
    options = _options()
    steps, trial_steps, most = (4, 2, 1) if options.quick else (options.steps, options.trial_steps, options.most)
    stage_runs.make(options.out, _params({}, options.parts, steps), project.COPIED)
    os.chdir(options.out)
    rates: dict[str, float] = {}
    for name in options.parts:
        part = PARTS[name]
        project.prepare(part.dataset, options.quick, part.base)
        rows = [f"{name}_{tuner}" for tuner in _of(part, options.only)]
        stage_runs.make(Path(), _params(rates, options.parts, steps), ())
        stage_runs.run(f"baseline@{rows[0]}")
        searched = ["--steps", str(trial_steps), "--most", str(most)]
        stage_runs.process(f"trials@{'-'.join(rows)}", [TRIALS, *rows, *searched])
        rates |= {row: trials(row)["rate"] for row in rows}
        stage_runs.make(Path(), _params(rates, options.parts, steps), ())
        for row in rows:
            for stage in ("train", "predict"):
                stage_runs.run(f"{stage}@{row}")
    print(json.dumps({name: table(name, _of(PARTS[name], options.only)) for name in options.parts}), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the copy; outside the checkout")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--only", default="", help="tuners whose names hold this word")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--trial-steps", type=int, default=100)  # after 30, LoRA's best is three times too high
    parser.add_argument("--most", type=int, default=tuner_trials.MOST, help="trials of a tuner")
    parser.add_argument("--quick", action="store_true", help="a few rows and steps")
    return parser.parse_args()


def _of(part: Part, only: str) -> list[str]:
    return [name for name in part.tuners if only in name]


def _params(rates: Mapping[str, float], parts: list[str], steps: int) -> dict[str, Any]:
    """params.yaml, with the rates that are known by now."""
    shipped = stage_runs.shipped()
    subjects = project.dataset(shipped, "{{ subject }}", PARTS["llm"].labels, SUBJECTS)
    datasets = {"ticket_subjects": subjects, "ticket_labels": shipped["datasets"]["ticket_labels"]}
    models = {
        f"{name}_{tuner}": _row(PARTS[name], settings, rates.get(f"{name}_{tuner}", start), steps)
        for name in parts
        for tuner, (settings, start) in PARTS[name].tuners.items()
    }
    used = [PARTS[name] for name in parts]
    return {
        "bases": {part.base: shipped["bases"][part.base] for part in used},
        "datasets": {part.dataset: datasets[part.dataset] for part in used},
        "models": models,
    }


def _row(part: Part, tuner: Mapping[str, Any], rate: float, steps: int) -> dict[str, Any]:
    """A row of `models`; before its rows are prepared it trains a step."""
    row = project.row(part.dataset, tuner, part.labels, **part.train)
    file = Path("data/prepared") / part.dataset / "train.jsonl"
    rows = len(read_jsonl(file)) if file.exists() else part.batch
    share = tuner_trials.epochs(steps, rows, part.batch)
    train = {**row["train"], "per_device_train_batch_size": part.batch, "num_train_epochs": share}
    return {**row, "parent": part.base, "train": tuner_trials.at_rate(train, rate)}


def trials(row: str) -> dict[str, Any]:
    """What the trials of a row found."""
    told: dict[str, Any] = read_json(tuner_trials.file_of(row))
    return told


def table(name: str, tuners: list[str]) -> dict[str, Any]:
    """What came of the tuners of a part."""
    part = PARTS[name]
    given = {tuner: _answers(name, tuner, "predict") for tuner in tuners}
    whole = project.parameters(Path("models") / part.base / "weights")
    full = given.get("full")
    rows = {}
    for tuner, ours in given.items():
        training = project.training(f"{name}_{tuner}")
        rows[tuner] = {
            **project.quality(ours, part.labels),
            **({"lead_over_full": project.lead(ours, full, part.labels)} if full and ours is not full else {}),
            "trained_share": round(training["trained_parameters"] / whole, 6),
            **training,
            "trials": trials(f"{name}_{tuner}"),
        }
    parent = project.quality(_answers(name, tuners[0], "baseline"), part.labels)
    verdict = (
        {"lora_and_full": within(rows["lora"]["lead_over_full"]["points"])} if {"lora", "full"} <= set(rows) else {}
    )
    return {"rows": len(next(iter(given.values()))), "parent": parent, "tuners": rows, **verdict}


def within(lead: Mapping[str, Any]) -> str:
    """Whether a lead is within half a point, and whether the rows suffice to say so."""
    (low, high), apart = lead["interval"], abs(lead["mean"])
    words = "within" if apart <= HALF else "not within"
    certain = (low >= -HALF and high <= HALF) or low > HALF or high < -HALF
    so_much = "" if certain else ", which so few rows do not settle"
    return f"{words} half a point: {lead['mean']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}){so_much}"


def _answers(name: str, tuner: str, who: str) -> list[Any]:
    file = Path("reports") / f"{name}_{tuner}" / who / "predictions.jsonl"
    return project.answers(file, PARTS[name].dataset)


if __name__ == "__main__":
    main()
