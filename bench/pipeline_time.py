"""How long a second `make pipeline` takes, beside `dvc repro` with nothing to do; and where the time of the last run
with something to do went, if that was the last one.

`.venv/bin/python bench/pipeline_time.py [model] [--repeat 5]` in a checkout whose `make pipeline` has ended, once with
and once without `make up`; the last line is JSON. Both are started in turns; what is compared is the median.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

COUNTED = ("train", "baseline", "predict", "evaluate")


def main() -> None:
    """Print the stages of the last run, then what second runs took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="triage")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    summary = Path(f"reports/{options.model}/summary.json")
    last = _stages(json.loads(summary.read_text(encoding="utf-8"))["stages"])
    dvc, make = [sys.executable, "-m", "dvc", "repro", f"package@{options.model}"], ["make", "pipeline"]
    seconds: dict[str, list[float]] = {"dvc_repro": [], "make_pipeline": []}
    for _ in range(options.repeat):
        seconds["dvc_repro"].append(_timed(dvc))
        seconds["make_pipeline"].append(_timed([*make, f"MODEL={options.model}"]))
    stages = json.loads(summary.read_text(encoding="utf-8"))["stages"]
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    result = {
        "last_run": last,
        "cached": sum(entry["state"] == "cached" for entry in stages),
        "of": len(stages),
        "load_before": round(os.getloadavg()[0], 1),
        **{f"{name}_median": round(value, 2) for name, value in median.items()},
        **{f"{name}_least": round(min(taken), 2) for name, taken in seconds.items()},
        "ratio": round(median["make_pipeline"] / median["dvc_repro"], 2),
    }
    print(json.dumps(result))


def _stages(stages: list[dict]) -> dict[str, float]:
    """Print the seconds of each stage; their sum, and the share of training and evaluation."""
    for entry in stages:
        print(f"{entry['name']:<28} {entry['state']:<7} {entry['seconds']:>7.1f}")
    total = sum(entry["seconds"] for entry in stages)
    counted = sum(entry["seconds"] for entry in stages if entry["name"].partition("@")[0] in COUNTED)
    return {
        "seconds": round(total, 1),
        "training_and_evaluation_share": round(counted / total, 2) if total else 0.0,
    }


def _timed(words: list[str]) -> float:
    """The seconds of a command, which must succeed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.monotonic()
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
