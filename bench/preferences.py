"""Trains the triage model on its own replies, ranked by a written rubric: DPO (three betas), KTO, ORPO, PPO and GRPO;
and measures each one's win rate over it on held-out prompts, with its distance, length and diversity.

In a checkout where `make pipeline` has been run, `python bench/preferences.py --out FOLDER` makes a copy of the
project with the rows of bench/preferences_project.py, samples, ranks, trains and compares; a stage that is done is not
done again. The page of each comparison is reports/<model>/win_rate/triage/<judge>/index.html there. `--only dpo` limits
the models by a word, `--at-once 4` trains several at the same time (one GPU has room), `--steps train,compare` leaves
the rest out. The last line is the table as JSON.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
ROOT = Path(__file__).resolve().parents[1]

from bench import preferences_project as project  # noqa: E402
from tasks.files import read_json, read_jsonl, write_jsonl  # noqa: E402

STEPS = ("sample", "prepare", "train", "compare")
COPIED = ("data/prepared", "data/validated", "data/seed", "models", "reports", "model_cards")


def main() -> None:
    """Do the steps that were asked for, and print the table."""
    options = _options()
    out = options.out.resolve()
    _make(out, options.rows)
    os.chdir(out)
    names = [name for name, _ in project.models() if options.only in name]
    steps = options.steps.split(",")
    if "sample" in steps:
        for stage in (
            f"package@{project.PARENT}",
            "rubric@reply_rubric",
            "sample@reply_samples",
            f"rank@{project.PAIRS}",
        ):
            run(stage)
    if "prepare" in steps:
        _rate()
        _suites()
        for name in ("ranked_replies", project.RATED):
            for stage in ("ingest", "validate", "prepare"):
                run(f"{stage}@{name}")
    if "train" in steps:
        for name in ("ranked_replies", project.RATED):
            run(f"reference@{name}_by_{project.PARENT}")
        with ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(lambda name: run(f"train@{name}"), names))
    if "compare" in steps:
        with ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(lambda name: _compare(name, options.prompts), names))
    rows = [figures(name) for name in names if _results(name)]
    print(json.dumps({"pairs": _pairs(), "prompts": options.prompts, "models": rows}), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the copy; outside the checkout")
    parser.add_argument("--rows", type=int, default=480, help="prompts that are answered four times each")
    parser.add_argument("--prompts", type=int, default=50, help="held-out prompts of a comparison")
    parser.add_argument("--only", default="", help="models whose names hold this word")
    parser.add_argument("--at-once", type=int, default=1, help="trainings and comparisons at the same time")
    parser.add_argument("--steps", default=",".join(STEPS))
    return parser.parse_args()


def _make(out: Path, rows: int) -> None:
    """The copy of the project, with rows of its own; what is there is kept."""
    from ruamel.yaml import YAML

    out.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (ROOT / name).exists() and not (out / name).exists():
            shutil.copytree(ROOT / name, out / name, symlinks=True)
    if not (out / "data/expectations").exists() and (ROOT / "data/expectations").exists():
        shutil.copytree(ROOT / "data/expectations", out / "data/expectations")
    yaml = YAML(typ="safe")
    shipped = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    with (out / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(project.params(shipped, rows), file)


def run(target: str) -> None:
    """Run a stage of dvc.yaml as DVC would, unless it has been run; its output goes to a file beside the others."""
    done = Path("done") / target
    if done.exists():
        return
    from ruamel.yaml import YAML

    stage, _, _ = target.partition("@")
    entry = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["do"]
    words = shlex.split(entry["cmd"])
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "DVC_STAGE": target, "PYTHONPATH": path}
    started = time.monotonic()
    log = Path("logs") / f"{target}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run([sys.executable, *words[1:]], env=environment, stdout=file, stderr=file).returncode
    seconds = time.monotonic() - started
    print(f"{target}: {seconds:.0f} s" + ("" if code == 0 else f", failed: see {log}"), file=sys.stderr, flush=True)
    if code:
        print("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:]), file=sys.stderr, flush=True)
        raise SystemExit(1)
    done.parent.mkdir(exist_ok=True)
    done.write_text(f"{seconds:.1f}\n", encoding="utf-8")


def _rate() -> None:
    """The pairs as rated answers: the better one is good, the worse one is not."""
    rows: list[dict[str, Any]] = []
    for pair in read_jsonl(Path(f"data/ranked/{project.PAIRS}/pairs.jsonl")):
        for side, label in (("chosen", "true"), ("rejected", "false")):
            rows.append(
                {
                    "id": f"{pair['id']}-{side}",
                    "prompt": pair["prompt"],
                    "answer": pair[side],
                    "label": label,
                    **({"given": pair["given"]} if "given" in pair else {}),
                }
            )
    write_jsonl(Path(f"data/{project.RATED}.jsonl"), rows)


def _suites() -> None:
    """The first suites of the datasets, as `make pipeline` writes them."""
    from flows import full_run

    for name in ("reply_orpo", "reply_kto"):
        full_run.checked(name, lambda line: print(line, file=sys.stderr))


def _compare(name: str, prompts: int) -> None:
    """The win rate of a model over its parent."""
    words = ["-c", _COMPARE, name, project.PARENT, str(prompts)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
    print(f"compared {name}" if done.returncode == 0 else done.stderr[-3000:], file=sys.stderr, flush=True)
    if done.returncode:
        raise SystemExit(1)


_COMPARE = """
import sys
from tasks import environment
environment.apply()
from tasks.comparison.win_rate import match, plan
from tasks.comparison.win_rate.judges.chosen import Request
from tasks.params import load
name, against, prompts = sys.argv[1], sys.argv[2], int(sys.argv[3])
params = load()
request = plan.completed(params, Request(name, against, "rubric", "reply_rubric", "labelled_tickets", prompts))
for step in match.steps(plan.match(params, request)):
    step.run()
"""


def _results(name: str) -> list[Path]:
    return sorted((Path("reports") / name / "win_rate" / project.PARENT).glob("*/win_rate.json"))


def _pairs() -> int:
    return len(read_jsonl(Path(f"data/ranked/{project.PAIRS}/pairs.jsonl")))


def figures(name: str) -> dict[str, Any]:
    """What came of a model."""
    return {"name": name, **read_json(_results(name)[0])["result"]}


if __name__ == "__main__":
    main()
