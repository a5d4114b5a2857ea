"""QLoRA beside LoRA on the shipped language model: memory, time, and labels of held-out tickets with intervals; and the
arithmetic for models of 7 and 8 G parameters.

`.venv/bin/python bench/quantised.py --out FOLDER` makes a copy of the project there; a stage that is done is not done
again. All are judged on the base in full precision, which is what is served. Memory is measured in processes of their
own (bench/quantised_memory.py) and compared with bench/quantised_arithmetic.py. `--quick` tries all of it on a few
rows. The last line is the table as JSON.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import quantised_arithmetic as arithmetic
from bench import stage_runs
from bench import tickets_project as project
from bench.ranks import DATASET, SYSTEM
from tasks.files import read_json

RANK = 16
LORA = {"r": RANK, "lora_alpha": 32, "lora_dropout": 0.0}
TUNERS: dict[str, dict[str, Any]] = {
    "lora": {"kind": "lora", **LORA},
    "qlora": {"kind": "qlora", "bits": 4, "quant_type": "nf4", "double_quant": True, **LORA},
    "qlora_8_bits": {"kind": "qlora", "bits": 8, **LORA},
}
MEASURE = str(stage_runs.ROOT / "bench/quantised_memory.py")
TOKENS = 2048  # of the row whose activations are told


def main() -> None:
    """Do what has not been done, and print the table."""
    options = _options()
    shipped = stage_runs.shipped()
    user = shipped["datasets"]["support_tickets"]["prepare"]["user"]
    epochs = 0.5 if options.quick else options.epochs
    params = {
        "bases": {project.BASE: shipped["bases"][project.BASE]},
        "datasets": {DATASET: project.dataset(shipped, user, project.LABELS, SYSTEM)},
        "models": {
            name: project.row(DATASET, tuner, learning_rate=options.rate, num_train_epochs=epochs)
            for name, tuner in TUNERS.items()
        },
    }
    stage_runs.make(options.out, params, project.COPIED)
    os.chdir(options.out)
    project.prepare(DATASET, options.quick)
    steps = ["--steps", "2" if options.quick else "6"]
    for name in TUNERS:
        _tune(name)
        stage_runs.process(f"memory@{name}", [MEASURE, name, *steps])
    stage_runs.process("memory@lora_plain", [MEASURE, "lora", "--plain", *steps])
    print(json.dumps(table(options.rate, epochs)), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the copy; outside the checkout")
    parser.add_argument("--rate", type=float, default=2.0e-3)
    parser.add_argument("--epochs", type=float, default=0.5)
    parser.add_argument("--quick", action="store_true", help="a few rows")
    return parser.parse_args()


def _tune(name: str) -> None:
    """Train and ask a model; the parent is asked once."""
    stage_runs.run("baseline@lora")
    parents = Path("reports") / name / "baseline"
    if not parents.exists():
        shutil.copytree("reports/lora/baseline", parents)
    for stage in ("train", "predict"):
        stage_runs.run(f"{stage}@{name}")


def table(rate: float, epochs: float) -> dict[str, Any]:
    """What came of all tuners, of the parent, and what larger models would need."""
    given = {name: project.answers(_file(name, "predict"), DATASET) for name in TUNERS}
    shape = arithmetic.of_config(read_json(Path("models") / project.BASE / "weights/config.json"))
    return {
        "rows": len(given["lora"]),
        "learning_rate": rate,
        "epochs": epochs,
        "parent": project.quality(project.answers(_file("lora", "baseline"), DATASET)),
        "tuners": {
            name: {
                **project.quality(ours),
                **({} if name == "lora" else {"lead_over_lora": project.lead(ours, given["lora"])}),
                **project.training(name),
                "memory_mib": stage_runs.last_line(f"memory@{name}"),
                "weights_by_arithmetic_mib": _by_arithmetic(shape, name),
            }
            for name, ours in given.items()
        },
        "lora_by_transformers_own_pass_memory_mib": stage_runs.last_line("memory@lora_plain"),
        f"by_arithmetic_gib_{TOKENS}_tokens": {
            "llama_2_7b": arithmetic.table(arithmetic.LLAMA_2_7B, RANK, TOKENS),
            "llama_3.1_8b": arithmetic.table(arithmetic.LLAMA_31_8B, RANK, TOKENS),
        },
    }


def _file(name: str, who: str) -> Path:
    return Path("reports") / name / who / "predictions.jsonl"


def _by_arithmetic(shape: arithmetic.Shape, name: str) -> float:
    """Frozen weights and adapters, as `weights` of the measurement counts them."""
    parts = arithmetic.memory(shape, name, RANK)
    return round(parts["frozen"] + parts["adapter"] * 4 / arithmetic.ADAPTER_BYTES, 1)


if __name__ == "__main__":
    main()
