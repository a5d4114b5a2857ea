"""Runs generated Python with its tests in a process of its own, and says how it went.

The process has no network, starts no others, reads nothing but Python's standard library, writes nothing, and is
limited in time and memory (`confinement.py`). The tests run in another process than the code (`child.py`).
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Event, Timer

from tasks.sandbox import child

# How a run may end, in words; `passed` is the only good one.
OUTCOMES = {
    "passed": "passed all tests",
    "wrong": "failed a test",
    "raised": "raised an error",
    "no_code": "was no Python",
    "no_function": "did not define the function",
    "ended": "ended its process",
    "timed_out": "took too long",
    "untested": "was never called by the tests",
}
PROTECTIONS = {  # what keeps code from these, by the name of the kernel's protection
    "landlock": "files of this account",
    "seccomp": "network and new processes",
    "namespaces": "network interfaces and processes of this machine",
}
PATIENCE = 4  # times the seconds of computing until a run that waits is ended
MOST = 64 * 1024  # bytes of a verdict
ROOT = Path(__file__).parents[2]
START = f"import sys; sys.path.insert(0, sys.argv.pop()); from {child.__name__} import main; sys.path.pop(0); main()"


@dataclass(frozen=True)
class Program:
    """Code that should define `entry_point`, and the tests of it: assertions that call it, or `candidate`, by name; or
    a function `check(candidate)`.
    """

    code: str
    tests: str
    entry_point: str


@dataclass(frozen=True)
class Limits:
    """Of each of the two processes of a run."""

    seconds: int  # of computing
    memory: int  # MiB


@dataclass(frozen=True)
class Result:
    """How a run ended (a key of OUTCOMES), why in a line, and the protections of the kernel that held."""

    outcome: str
    text: str
    held: frozenset[str]


def run(program: Program, limits: Limits) -> Result:
    """The outcome of the tests of `program`."""
    request = {**vars(program), "seconds": limits.seconds, "memory": limits.memory * 2**20}
    with tempfile.TemporaryDirectory(prefix="anneal-code-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-c", START, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        late = Event()
        timer = Timer(PATIENCE * limits.seconds, _end, (process, late))
        timer.start()
        try:
            line = _exchange(process, json.dumps(request).encode())
        finally:
            timer.cancel()
            _kill(process)
            process.wait()
    return _result(line, process.returncode, late.is_set())


def run_all(programs: Sequence[Program], limits: Limits) -> list[Result]:
    """`run` of each, as many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda program: run(program, limits), programs))


@lru_cache(maxsize=1)
def unprotected() -> list[str]:
    """What this machine's kernel does not keep generated code from, in words; empty if all protections hold."""
    probe = run(Program("def f():\n    return 1\n", "assert f() == 1", "f"), Limits(5, 512))
    return [what for name, what in PROTECTIONS.items() if name not in probe.held]


def _exchange(process: "subprocess.Popen[bytes]", request: bytes) -> bytes:
    """What the process answers, at most MOST bytes; nothing if it ends before."""
    assert process.stdin and process.stdout
    try:
        with process.stdin as pipe:
            pipe.write(request)
    except OSError:  # it has ended
        return b""
    with process.stdout as pipe:
        return pipe.read(MOST)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the process and the one that it started, which is in its session and cannot leave it."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _end(process: "subprocess.Popen[bytes]", late: Event) -> None:
    late.set()
    _kill(process)


def _result(line: bytes, status: int, is_late: bool) -> Result:
    try:
        verdict = json.loads(line)
        return Result(verdict["outcome"], verdict["text"], frozenset(verdict["held"]))
    except (ValueError, KeyError, TypeError):
        if is_late or status in (-signal.SIGXCPU, -signal.SIGKILL):
            return Result("timed_out", "it took too long", frozenset())
        return Result("ended", "the tests ended without a verdict", frozenset())
