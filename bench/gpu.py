"""Checks training on this machine's GPU: each tuner in each precision, optimizers, resuming, packing, merging, answers
as on a CPU, speed and memory.

`.venv/bin/python bench/gpu.py [--minutes 10] [--only WORD] [--out FILE]` prints a table, a line a check as it ends, and
one JSON line last; the status is 1 where a check failed, 2 where there is no GPU. `--device cpu` tries the script
itself. It needs no network, no server and no prepared data: the models are random ones of known shapes.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

PROCESSES = multiprocessing.get_context("spawn")
READY = "ready"  # a process has loaded what it needs
LONGEST = 120.0  # seconds of a check, then its process is ended


@dataclass
class Row:
    """What came of a check."""

    name: str
    state: str  # ok, FAILED, left out
    figure: str
    seconds: float
    numbers: dict[str, Any] = field(default_factory=dict)
    traceback: str = ""


def main() -> int:
    """Run the checks one after the other, each in the same process while that lives."""
    options = _options()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from tasks import environment

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    environment.apply()
    if options.device != "cpu" and not _has_gpu():
        print("there is no NVIDIA GPU here that torch can use; --device cpu tries the script itself", file=sys.stderr)
        return 2
    started, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        words = options.only.lower().split(",")
        names = [check.name for check in _checks() if any(word in check.name.lower() for word in words)]
        while names:
            for row in _run(names, Path(folder), started + 60 * options.minutes):
                rows.append(row)
                names.remove(row.name)
                show(row, options.out)
    counts = {state: sum(row.state == state for row in rows) for state in ("ok", "FAILED", "left out")}
    facts = next((row.numbers for row in rows if row.name == "machine"), {})
    told = [{"name": row.name, "state": row.state, "figure": row.figure, **row.numbers} for row in rows]
    print(json.dumps({**counts, "seconds": round(time.monotonic() - started), **facts, "checks": told}), flush=True)
    return 1 if counts["FAILED"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--minutes", type=float, default=10.0, help="checks that would begin later are left out")
    parser.add_argument("--only", default="", help="checks with one of these words in their name: lora,packed")
    parser.add_argument("--out", type=Path, help="a file to which a JSON line a check is added, tracebacks included")
    return parser.parse_args()


def _has_gpu() -> bool:
    """Asked of a process of its own: this one stays without a GPU, so that others can be started from it."""
    with PROCESSES.Pool(1) as pool:
        return pool.apply(_can_use_gpu)


def _can_use_gpu() -> bool:
    from tasks.device import device

    return device() == "cuda"


def _checks() -> list[Any]:
    """All, what matters most first."""
    from bench import gpu_checks, gpu_exact, gpu_speed
    from bench.gpu_runs import Check

    return [
        Check("machine", gpu_checks.machine),
        gpu_speed.ceiling(),
        *gpu_checks.trained(),
        *gpu_exact.checks(),
        *gpu_checks.resumed(),
        *gpu_speed.checks(gpu_speed.SPEEDS),
        *gpu_checks.optimizers(),
        *gpu_checks.others(),
        *gpu_speed.checks(gpu_speed.LARGE),
    ]


def _run(names: list[str], folder: Path, until: float) -> Iterator[Row]:
    """The rows of `names`, until one of them ends its process."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_work, args=(theirs, names, folder, until))
    process.start()
    theirs.close()
    try:
        if not (ours.poll(5 * LONGEST) and _received(ours, 0) == READY):
            raise SystemExit("the process of the checks does not start; what it said is on stderr")
        for name in list(names):
            began = time.monotonic()
            row = _received(ours, LONGEST)
            seconds = time.monotonic() - began
            if row is None:
                process.join(LONGEST - min(seconds, LONGEST))  # it has ended by itself, or has had its time
                process.kill()
                process.join()
                yield _ended(name, process.exitcode, seconds)
                return
            yield row
            if row.numbers.pop("ends", False):
                return
    finally:
        process.kill()
        process.join()


def _received(pipe: Any, seconds: float) -> Any:
    """The next row of a process; None where it has ended or takes too long."""
    try:
        return pipe.recv() if pipe.poll(seconds) else None
    except EOFError:
        return None


def _ended(name: str, status: int | None, seconds: float) -> Row:
    """The row of a check whose process has ended, which is what some are for."""
    check = next(check for check in _checks() if check.name == name)
    if check.dies and seconds < LONGEST:
        return Row(name, "ok" if status == -9 else "FAILED", f"ended by signal {-(status or 0)}", round(seconds, 1))
    words = f"took more than {LONGEST:.0f} s" if seconds >= LONGEST else f"the process ended with status {status}"
    return Row(name, "FAILED", words, round(seconds, 1))


def _work(pipe: Any, names: list[str], folder: Path, until: float) -> None:
    """Run the checks of `names` and send their rows; what is printed on the way goes to stderr."""
    os.dup2(2, 1)
    from bench.gpu_runs import Place, alone, free

    alone()
    free()
    checks = {check.name: check for check in _checks()}
    pipe.send(READY)
    for name in names:
        left = until - time.monotonic()
        row = _outcome(checks[name], Place(folder), left)
        pipe.send(row)
        if row.numbers.get("ends"):
            return
        if row.state != "left out":
            free()


def _outcome(check: Any, place: Any, left: float) -> Row:
    from bench.gpu_runs import Failed, LeftOut

    began = time.monotonic()
    numbers: dict[str, Any] = {}
    words = ""
    try:
        if left < check.seconds:
            raise LeftOut("no time is left for it")
        if check.needs_gpu and not place.has_gpu:
            raise LeftOut("needs a GPU")
        figure, state = check.run(place, numbers), "ok"
    except LeftOut as error:
        figure, state = str(error), "left out"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a row, and the rest goes on
        figure, state = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "FAILED"
        words = "" if isinstance(error, Failed) else traceback.format_exc()
        numbers["ends"] = "CUDA error" in str(error)  # after which nothing works in this process
    return Row(check.name, state, figure, round(time.monotonic() - began, 1), numbers, words)


def show(row: Row, out: Path | None) -> None:
    """A line of the table, and the same in the file."""
    print(f"{row.state:<8} {row.seconds:6.1f} s  {row.name:<52} {row.figure}", flush=True)
    if row.traceback:
        print(f"{row.name}:\n{row.traceback}", file=sys.stderr, flush=True)
    if out:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
