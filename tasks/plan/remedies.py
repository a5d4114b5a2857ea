"""What a run needs for a batch of any size, the largest batch that fits, and what to change where none does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tasks import tuners
from tasks.plan import disk
from tasks.plan.amounts import Amounts
from tasks.plan.disk import FULL_PRECISION
from tasks.stages.train.params import Train

MARGIN = 1.05  # of what is needed: nothing is measured exactly
OF_LAYERS_KEPT = 0.25  # of the activations, where they are computed again (Chen et al. 2016, arXiv:1604.06174)
LORA_SHARE = 0.02  # of the weights, that adapters of usual ranks have
QUARTER = 0.28  # of bf16: 4 bits a weight and their scales (Dettmers et al. 2023, arXiv:2305.14314)


@dataclass(frozen=True)
class Needs:
    """Bytes: `fixed` before the first batch, `state` of the optimizer, `gradients`, and activations for each row."""

    fixed: int
    state: int
    gradients: int
    a_row: float
    common: float  # activations that do not depend on the number of rows
    parameters: int  # a number, not bytes

    def of(self, rows: int) -> int:
        """What a batch of so many rows needs."""
        return int(MARGIN * (self.common + self.a_row * rows) + self.fixed + self.state + self.gradients)

    def largest(self, limit: int) -> int:
        """The most rows that fit into `limit` bytes; 0 if none do."""
        left = limit - self.of(0)
        return max(0, int(left / (MARGIN * self.a_row))) if self.a_row > 0 else 0 if left < 0 else 2**30


def of_rows(params: Train, counted: Amounts, before: int, peaks: Mapping[int, int]) -> Needs:
    """The needs of a run, by the peaks (bytes) of batches of so many rows; `before` them the process took so much.

    Gradients are there when the activations are nearly gone, but with accumulation they stay for the next batch.
    """
    gradients = FULL_PRECISION * counted.trained if params.gradient_accumulation_steps > 1 else 0
    few, many = min(peaks), max(peaks)
    if few < many:
        a_row = max(0.0, (peaks[many] - peaks[few]) / (many - few))
        common = max(0.0, peaks[few] - before - a_row * few)
    else:
        a_row, common = max(0.0, float(peaks[few] - before)) / few, 0.0
    return Needs(before, disk.optimizer_state(params, counted.trained), gradients, a_row, common, counted.parameters)


def advice(params: Train, needs: Needs, limit: int) -> str:
    """What to set in params.yaml: the largest batch that fits, or else the first change with which one row does."""
    size, accumulated = params.per_device_train_batch_size, params.gradient_accumulation_steps
    fitting = needs.largest(limit)
    if fitting:
        smaller = next(rows for rows in range(min(fitting, size), 0, -1) if size * accumulated % rows == 0)
        return (
            f"batches of up to {fitting} rows fit: set per_device_train_batch_size: {smaller} and "
            f"gradient_accumulation_steps: {size * accumulated // smaller} in params.yaml, which learns the same"
        )
    changes = [change for change in CHANGES if change.applies(params)]
    helpful = next((change for change in changes if change.needed(params, needs) <= limit), None)
    if helpful:
        return f"not even one row fits: {helpful.words} in params.yaml"
    several = " and ".join(change.words for change in changes) or "use a smaller base"
    return f"not even one row fits, and no single setting changes that: {several}, or use a smaller base or machine"


class Change(NamedTuple):
    """A setting that saves memory, and what one row needs with it, in bytes."""

    words: str
    applies: Callable[[Train], bool]
    needed: Callable[[Train, Needs], int]


def _checkpointed(params: Train, needs: Needs) -> int:
    return int(needs.of(0) + MARGIN * OF_LAYERS_KEPT * needs.a_row)


def _in_eight_bits(params: Train, needs: Needs) -> int:
    eight = params.model_copy(update={"optim": "adamw_8bit", "optim_args": None})
    return needs.of(1) - needs.state + disk.optimizer_state(eight, needs.state // 8)


def _adapted(params: Train, needs: Needs) -> int:
    return int(needs.of(1) - (1 - LORA_SHARE) * (needs.state + needs.gradients) - 2 * needs.parameters)  # fp32 to bf16


def _quantised(params: Train, needs: Needs) -> int:
    return int(needs.of(1) - (1 - QUARTER) * 2 * needs.parameters)


CHANGES = (
    Change(
        "set gradient_checkpointing: true",
        lambda params: tuners.of(params.tuner).checkpointing and not params.gradient_checkpointing,
        _checkpointed,
    ),
    Change("set optim: adamw_8bit", lambda params: disk.optimizer_state(params, 100) >= 800, _in_eight_bits),
    Change("set tuner: {kind: lora}", lambda params: params.tuner.kind == "full", _adapted),
    Change("set tuner: {kind: qlora}", lambda params: params.tuner.kind == "lora", _quantised),
    Change("lower max_length", lambda params: params.max_length > 128, lambda params, needs: needs.of(1)),
)
