"""Gives the trials of a sweep to DVC as experiments, which `dvc exp show` compares: params.yaml with the settings of a
trial, and what it came to.

An experiment is a commit on a reference of its own (refs/exps/<baseline>/<name>, as DVC writes them). It is written
without touching files, index or branch.
"""

import io
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from flows import dag
from tasks import paths
from tasks.sweeps.outcome import Outcome, TrialRow

PARAMS = Path("params.yaml")
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Anneal"), ("EMAIL", "anneal@localhost"))
}


def record(outcome: Outcome) -> int:
    """Replace the experiments of earlier sweeps of the model on this commit; return how many there are now: none
    outside of a git repository, and of trials that were not measured.
    """
    if not (head := _git("rev-parse", "--verify", "-q", "HEAD")):
        return 0
    below = f"refs/exps/{head[:2]}/{head[2:]}/sweep-{outcome['model']}-"
    for old in _git("for-each-ref", "--format=%(refname)", f"{below}*").split():
        _git("update-ref", "-d", old)
    told = [row for row in outcome["trials"] if row["curve"]]
    file = (paths.reports(outcome["model"]) / "sweep/trial.json").as_posix()
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        _git("read-tree", head, environment=index)
        text = with_metrics(dag.FILE.read_text("utf-8"), file)
        _git("update-index", "--add", *_entry(dag.FILE.as_posix(), text), environment=index)
        for row in told:
            text = with_settings(PARAMS.read_text("utf-8"), outcome["model"], row["settings"])
            entries = [*_entry(PARAMS.as_posix(), text), *_entry(file, json.dumps(figures(row)))]
            _git("update-index", "--add", *entries, environment=index)
            tree = _git("write-tree", environment=index)
            words = f"trial {row['number']} of the sweep of {outcome['model']}"
            commit = _git("commit-tree", tree, "-p", head, "-m", words, environment=IDENTITY)
            _git("update-ref", f"{below}{row['number']}", commit)
    return len(told)


def figures(row: TrialRow) -> dict[str, object]:
    """What `dvc exp show` has of a trial: the measure, and what it cost."""
    value = row["value"] if row["value"] is not None else row["curve"][-1]
    known = ("seconds", "tokens_per_second", "memory")
    cost: dict[str, object] = {name: row["figures"][name] for name in known if name in row["figures"]}
    return {"value": round(value, 5), "ended": row["state"], **cost}


def with_settings(text: str, model: str, settings: Mapping[str, object]) -> str:
    """params.yaml with other settings of a model's training."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    content = yaml.load(text)
    for key, value in settings.items():
        table = content["models"][model]["train"]
        *above, last = key.split(".")
        for part in above:
            table = table.setdefault(part, {})
        table[last] = value
    written = io.StringIO()
    yaml.dump(content, written)
    return written.getvalue()


def with_metrics(text: str, file: str) -> str:
    """dvc.yaml that names `file` as one of metrics."""
    entry = f"metrics:\n  - {file}\n"
    has_metrics = re.search(r"^metrics:\n", text, flags=re.MULTILINE)
    return re.sub(r"^metrics:\n", entry, text, flags=re.MULTILINE) if has_metrics else text + entry


def _entry(file: str, text: str) -> Iterator[str]:
    """The options of `git update-index` that put `text` at `file`, from the top of the repository."""
    blob = _git("hash-object", "-w", "--stdin", stdin=text)
    yield from ("--cacheinfo", f"100644,{blob},{_git('rev-parse', '--show-prefix')}{file}")


def _git(*words: str, stdin: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """What git prints; nothing where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *words], input=stdin, capture_output=True, text=True, env={**os.environ, **(environment or {})}
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
