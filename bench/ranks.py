"""LoRA on the shipped language model at ranks 4, 8, 16 and 64, beside the parent as it is: labels of held-out tickets
with intervals, size, time and memory; and whether merged weights answer as the adapter does.

`.venv/bin/python bench/ranks.py --out FOLDER` makes a copy of the project there, trains and asks; a stage that is done
is not done again. lora_alpha is the same for all ranks, since then one rate suits them all (the scale is
lora_alpha / r, so the first steps move the weights alike: Thinking Machines, LoRA Without Regret, 2025). `--quick`
tries all of it on a few rows. The last line is the table as JSON.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import stage_runs
from bench import tickets_project as project
from tasks.files import read_json
from tasks.stages.evaluate.predictions import Prediction

DATASET = "ticket_answers"
SYSTEM = (
    "You triage support tickets. Answer with JSON: category (billing, technical, shipping, refund), intent, "
    "priority (low, normal, high, urgent)."
)
MERGED = """
import sys
from pathlib import Path
from tasks import environment
environment.apply()
from tasks.files import read_jsonl, write_jsonl
from tasks.weights import tuned
name, dataset, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
rows = read_jsonl(Path("data/prepared") / dataset / "test.jsonl")
given = tuned.answer(Path("models") / name / "weights", None, rows, 144, most, "merged")
write_jsonl(Path("reports") / name / "merged/predictions.jsonl", given.predictions)
"""


def main() -> None:
    """Do what has not been done, and print the table."""
    options = _options()
    ranks = [2, 4] if options.quick else options.ranks
    shipped = stage_runs.shipped()
    user = shipped["datasets"]["support_tickets"]["prepare"]["user"]
    params = {
        "bases": {project.BASE: shipped["bases"][project.BASE]},
        "datasets": {DATASET: project.dataset(shipped, user, project.LABELS, SYSTEM)},
        "models": {_name(rank): _row(rank, options) for rank in ranks},
    }
    stage_runs.make(options.out, params, project.COPIED)
    os.chdir(options.out)
    project.prepare(DATASET, options.quick)
    for rank in ranks:
        _tune(_name(rank), first=_name(ranks[0]))
    print(json.dumps(table(ranks, options)), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the copy; outside the checkout")
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 8, 16, 64])
    parser.add_argument("--alpha", type=int, default=32, help="lora_alpha of all ranks")
    parser.add_argument("--rate", type=float, default=2.0e-3)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--quick", action="store_true", help="two small ranks, a few rows")
    return parser.parse_args()


def _name(rank: int) -> str:
    return f"rank_{rank}"


def _row(rank: int, options: argparse.Namespace) -> dict[str, Any]:
    tuner = {"kind": "lora", "r": rank, "lora_alpha": options.alpha, "lora_dropout": 0.0}
    return project.row(DATASET, tuner, learning_rate=options.rate, num_train_epochs=options.epochs)


def _tune(name: str, first: str) -> None:
    """Train, ask, score and package a model, then ask its merged weights; the parent is asked once, for the first."""
    stage_runs.run(f"baseline@{first}")
    parents = Path("reports") / name / "baseline"
    if not parents.exists():
        shutil.copytree(Path("reports") / first / "baseline", parents)
    for stage in ("train", "predict", "evaluate", "package"):
        stage_runs.run(f"{stage}@{name}")
    stage_runs.process(f"merged@{name}", ["-c", MERGED, name, DATASET, "48"])


def table(ranks: Sequence[int], options: argparse.Namespace) -> dict[str, Any]:
    """What came of all ranks, of the parent, and how the ranks differ from the first."""
    given = {rank: project.answers(_file(rank, "predict"), DATASET) for rank in ranks}
    parent = project.answers(_file(ranks[0], "baseline"), DATASET)
    first = given[ranks[0]]
    return {
        "rows": len(parent),
        "lora_alpha": options.alpha,
        "learning_rate": options.rate,
        "parent": project.quality(parent),
        "ranks": {
            str(rank): {
                **project.quality(ours),
                "lead_over_parent": project.lead(ours, parent)["points"],
                **({} if rank == ranks[0] else {f"lead_over_{ranks[0]}": project.lead(ours, first)}),
                **project.training(_name(rank)),
                "merged": _merged(rank, ours),
            }
            for rank, ours in given.items()
        },
    }


def _file(rank: int, who: str) -> Path:
    return Path("reports") / _name(rank) / who / "predictions.jsonl"


def _merged(rank: int, ours: Sequence[Prediction]) -> dict[str, Any]:
    """How far merged weights are from the adapter: answers that are the same letter by letter, those that tell the same
    labels, and the mean KL.
    """
    merged = project.answers(_file(rank, "merged"), DATASET)
    artifact = read_json(Path("models") / _name(rank) / "adapter/artifact.json")
    return {
        "same_answers": sum(answer.text == other.text for answer, other in zip(merged, ours, strict=True)),
        "same_labels": sum(answer.parsed == other.parsed for answer, other in zip(merged, ours, strict=True)),
        "nats_a_token": artifact["divergence"],
        "all_labels": project.quality(merged)["all_labels"],
        "size_mib": project.size_mib(Path("models") / _name(rank) / "weights"),
    }


if __name__ == "__main__":
    main()
