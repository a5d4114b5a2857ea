"""Tokens a second, peak memory and losses of a training on a CPU, by how many prepared products oneDNN and torch keep.

`.venv/bin/python bench/kept_products.py` in a checkout where `make plan MODEL=triage` has been run (or the model of
`--model`) trains a tenth of an epoch of it with each number, about two minutes each, in folders that are removed; the
last line is JSON. What is measured stands in tasks/environment.py: ONEDNN_PRIMITIVE_CACHE_CAPACITY.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("1024", "64")  # the first is what both libraries do unasked
NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
WORK = """
import json, sys
from pathlib import Path
from tasks import environment
environment.apply()
from tasks import params as settings, paths
from tasks.files import read_json
from tasks.plan import memory
from tasks.stages.train.__main__ import train
name, share, place = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
row = settings.load(Path("params.yaml")).models[name]
section = row.train.model_copy(update={"num_train_epochs": share})
weights, prepared = paths.weights(row.parent), paths.prepared(row.dataset)
train(section, weights, prepared, place / "checkpoints", place / "adapter", place / "report")
figures = {**read_json(place / "report/metrics.json"), **read_json(place / "report/timing.json")}
told = {name: figures[name] for name in ("tokens_per_second", "eval_loss", "train_loss")}
print(json.dumps({**told, "peak_mib": round(memory.peak() / 2**20)}))
"""


def main() -> None:
    """A process for each number, each a training from the start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="triage", help="a row of `models` in params.yaml")
    parser.add_argument("--epochs", default="0.1")
    parser.add_argument("--kept", nargs="+", default=list(KEPT))
    options = parser.parse_args()
    figures = {}
    for kept in options.kept:
        with tempfile.TemporaryDirectory() as place:
            environment = os.environ | dict.fromkeys(NAMES, kept)
            environment |= {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}
            words = [sys.executable, "-c", WORK, options.model, options.epochs, place]
            done = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        figures[kept] = json.loads(done.stdout.splitlines()[-1])
        print(f"{kept} kept: {figures[kept]}", file=sys.stderr, flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
