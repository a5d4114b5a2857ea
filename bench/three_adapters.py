"""Three adapters of one base behind one server, beside three servers with merged weights: how long a swap and a first
token take, how many tokens a second they write, and in how much memory.

`.venv/bin/python bench/three_adapters.py --out FOLDER` makes a project in FOLDER with the three small sets of
data/seed/three_adapters.md, trains a LoRA on each (about three minutes each on two cores; a stage that is done is not
done again), serves them with the program of a slot, checks that each answers as transformers did, and measures; then
it writes FOLDER/three_adapters.json and .svg, and prints the figures as one line of JSON. `--quick` tries all of it in
few steps, in a folder of its own; `--steps serve,draw` leaves the training out. Servers get the same requests, each
asked once (no server can remember its prompt), and write the same number of tokens. The three servers take about 11 GiB
on a CPU. Memory is of processes, so figures of a GPU lack its own.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
ROOT = Path(__file__).resolve().parents[1]

from bench import three_adapters_project as project  # noqa: E402
from bench.preferences import run  # noqa: E402
from bench.three_adapters_drawing import draw  # noqa: E402
from bench.three_adapters_measures import measure  # noqa: E402
from tasks.files import read_json, write_json, write_text  # noqa: E402

STEPS = ("train", "serve", "draw")


def main() -> None:
    """Do the steps that were asked for, and print the figures."""
    options = _options()
    out, steps = options.out.resolve(), options.steps.split(",")
    _make(out, 0.1 if options.quick else options.epochs)
    os.chdir(out)
    if "train" in steps:
        _train()
    if "serve" in steps:
        write_json(Path("three_adapters.json"), measure(options))
    if not Path("three_adapters.json").exists():  # only trained so far
        return
    figures = read_json(Path("three_adapters.json"))
    if "draw" in steps:
        write_text(Path("three_adapters.svg"), draw(figures))
    print(json.dumps(figures), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the project; outside the checkout")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--epochs", type=float, default=3, help="of each training")
    parser.add_argument("--clients", type=int, default=6, help="that ask at the same time")
    parser.add_argument("--tokens", type=int, default=64, help="of each measured answer")
    parser.add_argument("--requests", type=int, default=30, help="of a measurement, a multiple of 3")
    parser.add_argument("--reloads", type=int, default=10, help="adapters that are unloaded and loaded again")
    parser.add_argument("--checked", type=int, default=8, help="answers of each task compared with transformers'")
    parser.add_argument("--quick", action="store_true", help="few steps and requests, to try it")
    options = parser.parse_args()
    if options.quick:
        options.tokens, options.requests, options.clients, options.reloads, options.checked = 8, 6, 3, 2, 2
    return options


def _make(out: Path, epochs: float) -> None:
    """The project, with rows of its own; what is there is kept."""
    from ruamel.yaml import YAML

    out.mkdir(parents=True, exist_ok=True)
    for name in (*(f"data/seed/{task.source}" for task in project.TASKS.values()), "model_cards"):
        if not (out / name).exists():
            shutil.copytree(ROOT / name, out / name)
    yaml, path = YAML(typ="safe"), out / "params.yaml"
    if not path.exists():
        shipped = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        with path.open("w", encoding="utf-8") as file:
            YAML().dump(project.params(shipped, epochs), file)
    trained = {
        row["train"]["num_train_epochs"] for row in yaml.load(path.read_text(encoding="utf-8"))["models"].values()
    }
    if trained != {epochs}:
        raise SystemExit(f"{path} is for {trained} epochs, not {epochs}: name another folder, or the same --epochs.")


def _train() -> None:
    """From rows to packaged adapters, with the answers that the servers' are checked against."""
    from tasks.preflight import checks

    for name in project.TASKS:
        checks.ready(name, lambda line: print(line, file=sys.stderr))
    run(f"base@{project.BASE}")
    for name, task in project.TASKS.items():
        for stage in ("ingest", "validate", "prepare"):
            run(f"{stage}@{task.source}")
        for stage in ("train", "baseline", "predict", "evaluate", "package"):
            run(f"{stage}@{name}")


if __name__ == "__main__":
    main()
