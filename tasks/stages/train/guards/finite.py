"""A loss or a gradient that is not a finite number."""

import math

from tasks.stages.train.guards.figures import Recent
from tasks.stages.train.params import Guards


def problem(guards: Guards, recent: Recent, loss: float, norm: float) -> str | None:
    """Either is NaN or infinite. Where the loss is scaled (fp16) the norm is not given: its scaler skips such steps."""
    if not math.isfinite(loss):
        return f"the training loss is {loss}"
    return None if math.isfinite(norm) else f"the norm of the gradient is {norm}"
