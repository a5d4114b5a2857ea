"""How long the trials of a sweep train: as many epochs as fit into their seconds, the same for all of them."""

from typing import NamedTuple

from tasks.errors import AnnealError
from tasks.sweeps.params import Sweep
from tasks.sweeps.task import Result

SLACK = 0.85  # share of the seconds that is planned with; other settings are slower, and the machine is not alone
PROBE = 0.25  # share of a trial's seconds for the training that measures the pace


class Pace(NamedTuple):
    """What a short training of the model's own settings took."""

    startup: float  # seconds
    evaluation: float  # seconds, of one
    epochs_per_second: float
    memory: int  # bytes


def pace(result: Result) -> Pace:
    """The pace of a short training that was evaluated once."""
    return Pace(
        result["startup"], result["evaluating"], result["epochs"] / max(result["training"], 1e-3), result["memory"]
    )


def epochs_in(seconds: float, measured: Pace, sweep: Sweep, most: float) -> float:
    """The epochs of a trial of so many `seconds`, start and evaluations included; `most` is a training in full.

    Raises AnnealError if there is no time for any step.
    """
    spent = measured.startup + sweep.evaluations * measured.evaluation
    left = SLACK * seconds - spent
    if left <= 0:
        raise AnnealError(
            f"a trial of {seconds:g} seconds would not train: it starts in {measured.startup:.0f} s and evaluates for "
            f"{sweep.evaluations * measured.evaluation:.0f} s; raise seconds of the sweep in params.yaml to "
            f"{2 * spent / SLACK:.0f}, or lower evaluations."
        )
    return min(most, left * measured.epochs_per_second)


def epochs_of(steps: int, batch: int, rows: int, most: float) -> float:
    """The epochs in which `steps` batches of the model's own size see as many rows."""
    return min(most, steps * batch / rows)
