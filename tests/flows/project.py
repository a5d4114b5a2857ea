"""Makes a small copy of the project in a folder: its tracked code, a tiny base, a toy dataset; and runs commands
there.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil

from tasks.files import write_json, write_jsonl, write_text
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
CODE = ("flows", "tasks", "infra", "model_cards", ".dvc", "dvc.yaml", ".dvcignore", ".gitignore")
OWN = Path(sys.executable).parent  # where the `python` is that starts a process of its own
PYTHON = OWN  # the one that `run` uses; the fixture `warmed` puts another there
NEEDED = ("deploy", "deploy's second", "deploy's third", "prefect_port", "mlflow_port", "gateway")  # in a row


def free_ports() -> dict[str, int]:
    """A port for each server of a project, none of them in use; two test processes never look at the same ones."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    taken = {connection.laddr.port for connection in psutil.net_connections("tcp") if connection.laddr}
    for first in range(18600 + 10 * worker, 30000, 10 * workers):  # below what the system gives to clients
        block = range(first, first + len(NEEDED))
        if not taken & set(block):
            return dict(zip(NEEDED, block, strict=True))
    raise OSError(f"no {len(NEEDED)} free ports in a row between 18600 and 30000")


def copy_code(folder: Path) -> None:
    """The tracked code, in `folder`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *CODE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def make(folder: Path) -> Path:
    """The project in `folder`, committed."""
    copy_code(folder)
    base = tiny.make_base(folder / "tiny-base")
    (base / "source.json").unlink()
    write_jsonl(folder / "data/seed/things/things.jsonl", tiny.things(0, 160))
    for suite in ("raw", "prepared"):
        write_json(
            folder / f"data/expectations/toys/{suite}.json",
            {"expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "colour"}}]},
        )
    write_text(folder / "params.yaml", json.dumps(params(base.relative_to(folder), folder), indent=1))  # JSON is YAML
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    _commit(folder, "start", "-A")
    return folder


def copy(source: Path, folder: Path) -> Path:
    """The project `source` once more in `folder`, with ports and an MLflow store of its own (a store knows its files
    by absolute paths).
    """
    shutil.copytree(source, folder, symlinks=True, ignore=shutil.ignore_patterns(".anneal"))
    ports = free_ports()
    servers = {name: ports[name] for name in ("prefect_port", "mlflow_port")}
    change(folder, deploy__port=ports["deploy"], gateway__port=ports["gateway"], servers=servers)
    _commit(folder, "ports", "params.yaml")
    return folder


def _commit(folder: Path, words: str, what: str) -> None:
    subprocess.run(["git", "add", what], cwd=folder, check=True)
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", words], cwd=folder, check=True
    )


def params(base: Path, folder: Path) -> dict:
    """params.yaml of the toy."""
    row = {**tiny.base_row(folder / base), "folder": base.as_posix()}
    split = {
        "validation_share": 0.15,
        "test_share": 0.2,
        "near_duplicate_similarity": 1.0,
        "contamination_similarity": 1.0,
    }
    prepare = {**tiny.PREPARE.model_dump(), **split}
    model = {
        "parent": "tiny",
        "dataset": "toys",
        "train": tiny.TRAIN,
        "predict": tiny.PREDICT,
        "probe": {"encoder": "tiny"},
        "evaluate": tiny.EVALUATE,
        "package": {"title": "Things", "datasets": ["things"], "max_divergence": 0.5},
        "gate": {
            "minimum": {"colour_accuracy": 0.5},
            "compare_on": "colour_accuracy",
            "must_beat": [],
        },  # any method can
    }
    return {
        "bases": {"tiny": row},
        "datasets": {
            "toys": {
                "ingest": {"source": "data/seed/things", "columns": ["thing", "size", "colour", "mood", "reply"]},
                "validate": {},
                "prepare": prepare,
            }
        },
        "models": {"things": model},
        "deploy": {"serve": "adapter", "max_model_len": 512, "kv_cache_gib": 1, "min_agreement": 0.9},
        "gateway": {},
        "release": {"canary_share": 0.5, "canary_requests": 12},
        "monitor": {"reference_rows": 200, "report_rows": 50, "permutations": 99},
        "retrain": {"min_labelled": 10, "cooldown": 0},
    }


def ports(folder: Path) -> SimpleNamespace:
    """`deploy`, `second` (beside it while a server is replaced), `gateway`, `prefect`, `mlflow` of the project in
    `folder`.
    """
    said = json.loads((folder / "params.yaml").read_text())
    deploy, servers = said["deploy"]["port"], said["servers"]
    return SimpleNamespace(
        deploy=deploy,
        second=deploy + 1,
        gateway=said["gateway"]["port"],
        prefect=servers["prefect_port"],
        mlflow=servers["mlflow_port"],
    )


def change(folder: Path, **changes: object) -> None:
    """Set values of params.yaml by dotted key (`__` for the dots)."""
    value = json.loads((folder / "params.yaml").read_text())
    for key, new in changes.items():
        place = value
        *way, last = key.split("__")
        for part in way:
            place = place[part]
        place[last] = new
    write_text(folder / "params.yaml", json.dumps(value, indent=1))


def environment(**extra: str) -> dict[str, str]:
    """The variables of a project's programs: none that say where servers are but `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_TRACKING", "PREFECT_"))}
    path = os.pathsep.join([str(PYTHON), str(OWN), os.environ["PATH"]])
    return kept | {"PATH": path, "OMP_NUM_THREADS": "1", **extra}


def run(folder: Path, *words: str, status: int | None = 0, **extra: str) -> str:
    """The output of `python -m words…` in `folder`, stdout and stderr together; its exit status is checked."""
    done = subprocess.run(
        [PYTHON / "python", "-m", *words],
        cwd=folder,
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert status is None or done.returncode == status, f"{words} ended with {done.returncode}:\n{done.stdout[-3000:]}"
    return done.stdout
