"""A plan in words."""

from tasks.plan.amounts import Amounts
from tasks.plan.memory import GIB
from tasks.plan.past import Run
from tasks.plan.result import Result, Times
from tasks.stages.train.params import Train
from tasks.timings import estimated_duration

MIB = 2**20
LONG = 55.0  # seconds; from here on they are rounded to minutes


def line(counted: Amounts, seconds: float | None, peak: int | None, by: str) -> str:
    """The line that a training begins with."""
    tokens = "" if counted.tokens is None else f", {counted.tokens:,} tokens"
    took = "" if seconds is None else f"; about {duration(seconds)}"
    memory = "" if peak is None else f" and {size(peak)} of memory (by {by})"
    return (
        f"train: {number(counted.parameters)} parameters, {number(counted.trained)} of them learn; {counted.rows:,} "
        f"rows{tokens}, {counted.steps:,} steps{took}{memory}"
    )


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `6 min`."""
    return f"{seconds:.1g} s" if seconds < 5 else f"{seconds:.0f} s" if seconds < LONG else estimated_duration(seconds)


def number(count: int) -> str:
    """`512`, `134.5 M`, `8.03 B`."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return str(count)


def size(bytes_: int) -> str:
    """`310 MiB`, `1.4 GiB`."""
    return f"{bytes_ / GIB:.1f} GiB" if bytes_ >= GIB else f"{bytes_ / MIB:.0f} MiB"


def lines(name: str, params: Train, run: Result, known: Run | None) -> list[str]:
    """The plan of the model `name`, for people; `known` is its last run here."""
    counted = run.amounts
    tokens = "" if counted.tokens is None else f", {counted.tokens:,} tokens"
    fit = "fits" if run.times else "does not fit"
    told = [
        f"{name}: {counted.parameters:,} parameters, {counted.trained:,} of them learn "
        f"({counted.trained / counted.parameters:.2%})",
        f"rows: {counted.rows:,} of {run.lengths[0]} to {run.lengths[-1]} tokens (median "
        f"{run.lengths[len(run.lengths) // 2]}), {run.left_out} left out, {run.held_out} held out",
        f"steps: {counted.steps:,} of {params.per_device_train_batch_size} x {params.gradient_accumulation_steps} "
        f"rows{tokens}, {counted.evaluations} evaluations",
        f"memory: {size(run.peak)} of {size(run.limit)}, which {fit}"
        + (f"; batches of up to {min(run.largest, counted.rows)} rows do" if run.largest else ""),
    ]
    told += [f"to change: {run.advice}"] if run.advice else []
    told += [_time(run.times)] if run.times else []
    if known:
        told.append(f"by the last run here: {duration(known.seconds_for(counted))}, {size(known.peak)}")
    lacking = "" if run.disk <= run.disk_free else ", which is too much: free some, or train fewer weights"
    told.append(f"disk: at most {size(run.disk)} of {size(run.disk_free)} that are free{lacking}")
    return told


def _time(times: Times) -> str:
    parts = f"steps {duration(times.training)}, evaluations {duration(times.evaluations)}"
    return f"time: {duration(times.total)} ({parts}, checkpoints {duration(times.checkpoints)}), by a few steps"
