"""A training on several devices of a machine: a process a device, started by torch's own launcher (that of `torchrun`).

The rows of a step stay those of params.yaml, whatever the number of devices: they are divided among the processes. So a
row is the same training everywhere, only faster.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks import objectives, tuners
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, write_json
from tasks.locks import hold_lock
from tasks.stages.train import sharding
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

COUNT = "ANNEAL_PROCESSES"  # how many, instead of one a GPU; on a CPU for tests
ROOT = Path(__file__).parents[3]
LONGEST_WAIT = timedelta(days=1)  # for another training in this checkout; a process that dies ends the others at once
T = TypeVar("T")


def count() -> int:
    """The number of processes of this training, as `torchrun` says it in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the one process that writes files and talks."""
    return int(os.environ.get("RANK", "0")) == 0


def wanted(params: Train) -> int:
    """How many processes to start: one a GPU as far as the rows of a step can be divided, or ANNEAL_PROCESSES.

    1 in a process that was started for this. ParamsError if ANNEAL_PROCESSES cannot be.
    """
    if "WORLD_SIZE" in os.environ:
        return 1
    if not (asked := os.environ.get(COUNT, "")):
        import torch

        devices = torch.cuda.device_count()
        number = max((number for number in range(2, devices + 1) if not _problem(params, number)), default=1)
        if problem := _problem(params, number):
            raise ParamsError(f"params.yaml: {problem}.")
        if number == 1 < devices:  # else transformers would divide each batch among them by DataParallel
            os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
        return number
    if not asked.isdecimal() or not int(asked):
        raise ParamsError(f"{COUNT} is `{asked}`: give the number of processes, or leave it out for one a GPU.")
    if problem := _problem(params, int(asked)):
        raise ParamsError(f"{COUNT} is {asked}, but {problem}.")
    return int(asked)


def _problem(params: Train, number: int) -> str:
    """Why a training cannot be done by `number` processes; empty if it can."""
    if number > 1 and objectives.online(params.objective):
        return f"train.objective.kind {params.objective.kind} writes its own answers, which is done by one process only"
    if number > 1 and not getattr(tuners.of(params.tuner), "learns", True):
        return f"train.tuner.kind {params.tuner.kind} learns nothing, which needs one process only"
    if reason := sharding.problem(params):
        return f"train.{reason}"
    if number == 1 and params.fsdp:
        return (
            "train.fsdp divides the weights among several processes, and this training would be one: leave it out, or "
            f"train on several devices ({COUNT} says how many processes)"
        )
    rows = params.per_device_train_batch_size * params.gradient_accumulation_steps
    if params.gradient_accumulation_steps % number and params.per_device_train_batch_size % number:
        return (
            f"{number} processes cannot share the {rows} rows of a step equally: train.gradient_accumulation_steps or "
            f"train.per_device_train_batch_size must be a multiple of {number}"
        )
    return ""


def share(params: Train) -> dict[str, int]:
    """Batch and accumulation of each process, which together make the steps of params.yaml."""
    batch, accumulation, number = params.per_device_train_batch_size, params.gradient_accumulation_steps, count()
    if problem := _problem(params, number):
        raise ParamsError(f"params.yaml: {problem}.")
    if accumulation % number == 0:
        accumulation //= number
    else:
        batch //= number
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}


def wait() -> None:
    """Until all processes are here."""
    if count() > 1:
        import torch.distributed

        torch.distributed.barrier()


def first_before_others(work: Callable[[], T]) -> T:
    """`work` in the first process, then in all others, which find what the first has left."""
    if not is_first():
        wait()
    done = work()
    if is_first():
        wait()
    return done


@contextmanager
def hold(lock: Path, words: str) -> Iterator[None]:
    """The first process holds `lock`; all of them are connected from here on."""
    _connect()
    with hold_lock(lock, words) if is_first() else nullcontext():
        yield


def _connect() -> None:
    if count() == 1:
        return
    import torch

    if torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=LONGEST_WAIT)


def launch(number: int, params: Train, **paths: Path) -> None:
    """Do `train(params, **paths)` in `number` processes. What the first prints is shown; of the others only an error.

    Raises the AnnealError of the first process that had one.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # it repeats at length what is said here in a sentence
    with tempfile.TemporaryDirectory(prefix="anneal-train-") as folder, _environment(number):
        task = Path(folder) / "task.json"
        named = {name: str(path) for name, path in paths.items()}
        write_json(task, {"params": params.model_dump(mode="json"), "paths": named})
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=number,
            run_id="train",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            monitor_interval=0.2,
            logs_specs=DefaultLogsSpecs(folder, redirects=dict.fromkeys(range(1, number), Std.ALL)),
        )
        print(f"training in {number} processes", file=sys.stderr, flush=True)
        try:
            elastic_launch(config, sys.executable)("-m", "tasks.stages.train.processes", str(task))
        except ChildFailedError as error:
            raise _failure(error, Path(folder)) from None


@contextmanager
def _environment(number: int) -> Iterator[None]:
    """What the processes need: the project on their path, and each its share of the cores."""
    threads = max(1, len(os.sched_getaffinity(0)) // number) if hasattr(os, "sched_getaffinity") else 1
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    added = {"PYTHONPATH": path, "TORCH_CPP_LOG_LEVEL": "ERROR"}
    if "OMP_NUM_THREADS" not in os.environ:
        added["OMP_NUM_THREADS"] = str(threads)
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _failure(error: "ChildFailedError", folder: Path) -> AnnealError:
    """The error of the process that failed first, as it would be of a training in one process."""
    for file in sorted(folder.glob("error-*.json")):
        ending = read_json(file)
        failure = AnnealError(ending["sentence"])
        failure.exit_status = ending["status"]
        return failure
    rank, first = error.get_first_failure()
    if rank:  # the first process has printed its own
        for log in folder.glob(f"**/{rank}/stderr.log"):
            print(log.read_text(encoding="utf-8", errors="replace")[-4000:], file=sys.stderr, flush=True)
    return AnnealError(f"process {rank} of the training ended with status {first.exitcode}; what it said is above.")


def _work(task: Path) -> None:
    """What each process does; an error that a user can fix goes to the launcher, which says it once."""
    from tasks.section import parse
    from tasks.stages.train.__main__ import train

    told = read_json(task)
    try:
        paths = {name: Path(path) for name, path in told["paths"].items()}
        train(parse(Train, told["params"], "train"), **paths)
    except AnnealError as error:
        write_json(
            task.with_name(f"error-{os.environ['RANK']}.json"), {"sentence": str(error), "status": error.exit_status}
        )
        sys.exit(error.exit_status)


if __name__ == "__main__":
    from tasks import stage

    sys.exit(stage.guarded(lambda: _work(Path(sys.argv[1]))))
