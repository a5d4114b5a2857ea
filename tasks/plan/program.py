"""Runs a dry run in a process of its own and reads its result."""

import signal
import subprocess
import sys
from pathlib import Path

from tasks import paths, tuners
from tasks.errors import AnnealError, ParamsError
from tasks.params import Model
from tasks.plan import memory, result, words
from tasks.plan.result import Result

CHECKPOINTS = Path(".anneal/checkpoints")  # as in dvc.yaml


def dry_run(name: str, model: Model) -> Result:
    """The result of a dry run of the row `model` of params.yaml; AnnealError with its own sentence if it fails."""
    if not getattr(tuners.of(model.train.tuner), "learns", True):
        raise ParamsError(f"{name} has nothing to learn (tuner.kind is {model.train.tuner.kind}), so nothing to plan.")
    options = {
        "parent": paths.weights(model.parent),
        "prepared": paths.prepared(model.dataset),
        "checkpoints": CHECKPOINTS / name,
    }
    refuse_too_large(options["parent"])
    command = [sys.executable, "-m", "tasks.plan.dry_run", name]
    command += [text for option, path in options.items() for text in (f"--{option}", str(path))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return result.of_json(done.stdout.splitlines()[-1])
    if done.returncode == -signal.SIGKILL:
        raise AnnealError(
            f"the dry run of {name} was killed, most likely since memory ran out: halve per_device_train_batch_size "
            "and double gradient_accumulation_steps in params.yaml."
        )
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it says nothing"]
    sentence = next((line for line in lines if line.startswith("error: ")), lines[-1])
    raise AnnealError(f"the dry run of {name} failed: {sentence.removeprefix('error: ')}")


def refuse_too_large(parent: Path) -> None:
    """Raise AnnealError if the parent's weights alone are more than the memory."""
    size = sum(file.stat().st_size for file in parent.glob("*.safetensors"))
    if size > memory.free():
        raise AnnealError(
            f"the weights of {parent} take {words.size(size)}, and {words.size(memory.free())} of memory are free: use "
            "a smaller base, a machine with more memory, or tuner: {kind: qlora} with weights that are quantised."
        )
