"""A copy of the project with rows of its own, and its stages run as DVC would run them: each once, in a process of its
own whose seconds and peak memory are kept. For benches that train several models.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Usage:
    """What a process used: seconds by the clock and of all its threads, and the most memory it held."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def make(out: Path, params: Mapping[str, Any], copied: Sequence[str]) -> None:
    """The folder `out`, with `params` in params.yaml and the `copied` paths of the project; what is there is kept."""
    from ruamel.yaml import YAML

    out.mkdir(parents=True, exist_ok=True)
    for name in copied:
        if (ROOT / name).exists() and not (out / name).exists():
            shutil.copytree(ROOT / name, out / name, symlinks=True)
    with (out / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(dict(params), file)


def shipped() -> dict[str, Any]:
    """The params.yaml of the project."""
    from ruamel.yaml import YAML

    values: dict[str, Any] = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return values


def suites(datasets: Sequence[str]) -> None:
    """Write the suites of `datasets` that are missing, as `make pipeline` does before its first stage."""
    from tasks.params import load
    from tasks.preflight import suites

    suites.write_missing(load(), datasets)


def run(target: str) -> Usage:
    """Run a stage of dvc.yaml on a row of the folder's params.yaml, unless that has been done."""
    from ruamel.yaml import YAML

    stage, _, _ = target.partition("@")
    entry = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["do"]
    return process(target, shlex.split(entry["cmd"])[1:])


def process(name: str, words: Sequence[str]) -> Usage:
    """Run Python with `words`, for the stage `name`, unless that has been done; its output goes to logs/.

    Ends this program with the last lines of the output where it fails.
    """
    done = Path("done") / name
    if done.exists():
        return Usage(**json.loads(done.read_text(encoding="utf-8")))
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "DVC_STAGE": name, "PYTHONPATH": path}
    log = Path("logs") / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        code, usage = _watched([sys.executable, *words], environment, file.fileno())
    ending = "" if code == 0 else f", failed: see {log.resolve()}"
    print(f"{name}: {usage.seconds:.0f} s, {usage.peak_mib:.0f} MiB{ending}", file=sys.stderr, flush=True)
    if code:
        print("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:]), file=sys.stderr, flush=True)
        raise SystemExit(1)
    done.parent.mkdir(exist_ok=True)
    done.write_text(json.dumps(asdict(usage)), encoding="utf-8")
    return usage


def last_line(name: str) -> dict[str, Any]:
    """The last line of JSON in the output of a process."""
    lines = (Path("logs") / f"{name}.log").read_text(encoding="utf-8").splitlines()
    told: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    return told


def _watched(command: Sequence[str], environment: Mapping[str, str], output: int) -> tuple[int, Usage]:
    """(exit status, what it used): the kernel's account of this one child, which is exact where sampling would miss
    the peak. A child begins with the memory of the process that starts it, so that process must be small.
    """
    started = time.monotonic()
    child = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=output)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    cpu = used.ru_utime + used.ru_stime
    return child.returncode, Usage(round(seconds, 1), round(cpu, 1), round(used.ru_maxrss / 1024, 1))
