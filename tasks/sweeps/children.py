"""Trainings in processes of their own, as many at once as there is room for."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tasks.files import read_json
from tasks.sweeps.task import RESULT, Result, Task, evaluations, write_task

LOG = "log.txt"
HEADROOM = 0.8  # share of the free memory that trainings may take together


@dataclass
class Child:
    """A training that runs in `folder`; `read` of its evaluations are known."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    place: int  # which of those that run at once
    read: int = 0
    values: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def news(self) -> list[dict[str, float]]:
        """The evaluations since the last call."""
        lines = evaluations(self.folder, self.read)
        self.read += len(lines)
        self.values += [line["value"] for line in lines]
        return lines

    def result(self) -> Result | None:
        """What it came to, if it has ended by itself."""
        file = self.folder / RESULT
        result: Result | None = read_json(file) if self.process.poll() == 0 and file.exists() else None
        return result

    def stop(self) -> None:
        """End it at once: nothing of it is needed."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def problem(self) -> str:
        """Its own sentence, or how it ended."""
        text = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.removeprefix("error: ") for line in text if line.startswith("error: ")]
        code = self.process.returncode
        if errors:
            return errors[-1]
        killed = "it was killed, perhaps since the memory ran out" if code == -9 else f"it ended with status {code}"
        return f"{killed}; its last line: {text[-1][:160] if text else 'none'}"


def begin(folder: Path, task: Task, place: int, side_by_side: int) -> Child:
    """Start a training in `folder`, one of `side_by_side`, each with its share of the cores, or a GPU of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    write_task(task, folder)
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.sweeps.trial", str(folder), str(os.getpid())],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | _share(place, side_by_side),
        )
    return Child(folder, process, place)


def _share(place: int, side_by_side: int) -> dict[str, str]:
    """The variables that give a process its share of the machine."""
    threads = max(1, (os.cpu_count() or 1) // side_by_side)
    share = {} if side_by_side == 1 else {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    devices = gpus()  # one each: of several, transformers would use all by data parallelism in one process
    return {**share, "CUDA_VISIBLE_DEVICES": devices[place % len(devices)]} if devices else share


def gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    if not shutil.which("nvidia-smi") or visible == "":
        return []
    words = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


def room(cores: int, free: int, memory: int, devices: int) -> int:
    """How many trainings fit side by side: one a GPU; without any, one for two cores, as far as the memory goes.

    `memory` is what one has taken, `free` what the machine has left, in bytes.
    """
    if devices:
        return devices
    return max(1, min(cores // 2, int(HEADROOM * free / max(memory, 1))))


def free_memory() -> int:
    """Bytes that a new process may take."""
    import psutil

    return int(psutil.virtual_memory().available)
