"""Where the time of `make pipeline` goes, from the summary of the last run: seconds by stage, and the share of training
and evaluation.

`.venv/bin/python bench/pipeline_time.py [model]` after a run from an empty cache; the last line is JSON.
"""

import json
import sys
from pathlib import Path

COUNTED = ("train", "baseline", "predict", "evaluate")


def main() -> None:
    """Read reports/<model>/summary.json and add up."""
    model = sys.argv[1] if len(sys.argv) > 1 else "triage"
    stages = json.loads(Path(f"reports/{model}/summary.json").read_text(encoding="utf-8"))["stages"]
    for entry in stages:
        print(f"{entry['name']:<28} {entry['state']:<7} {entry['seconds']:>7.1f}")
    total = sum(entry["seconds"] for entry in stages)
    counted = sum(entry["seconds"] for entry in stages if entry["name"].partition("@")[0] in COUNTED)
    print(
        json.dumps(
            {
                "seconds": round(total, 1),
                "training_and_evaluation_share": round(counted / total, 2),
                "cached": sum(entry["state"] == "cached" for entry in stages),
            }
        )
    )


if __name__ == "__main__":
    main()
