"""A step whose rows are divided among several processes: its gradient is that of one process with all of them.

Batches go to the processes in turn. Where an epoch's last step has too few rows for all of them, the missing ones are
filled in with copies that do not count.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tasks.dataset.encoded import Batch, Encoded
from tasks.stages.train import processes

if TYPE_CHECKING:
    Rows = list[Encoded]
else:
    Rows = list

FILLER = "filler"  # key of a row, and of a batch, that does not count


class FilledRows(Rows):
    """Rows; any number beyond the last is a copy of the first that does not count."""

    def __getitem__(self, place: Any) -> Any:  # as list's, whose overloads mypy would have repeated here
        if isinstance(place, int) and place >= len(self):
            return {**super().__getitem__(0), FILLER: True}
        return super().__getitem__(place)


def filled(rows: int, batch: int) -> int:
    """The number of rows with those that are filled in, so that each process has as many batches of `batch`."""
    together = batch * processes.count()
    return -(-rows // together) * together


def collated(collate: Callable[[Sequence[Encoded]], Batch], rows: Sequence[Encoded]) -> Batch:
    """The batch of the rows that count; of one that does not, and marked, if there are none."""
    kept = [row for row in rows if FILLER not in row]
    if kept:
        return collate(kept)
    return cast(Batch, {**collate(rows[:1]), FILLER: torch.tensor(True)})


def without_mark(batch: Batch) -> tuple[Batch, bool]:
    """(the batch as an objective knows it, whether it counts)."""
    return cast(Batch, {name: value for name, value in batch.items() if name != FILLER}), FILLER not in batch


def through(model: nn.Module, work: Callable[[nn.Module], torch.Tensor]) -> torch.Tensor:
    """`work` on the model within the forward pass of its DistributedDataParallel, which then adds up the gradients
    of all processes, whatever passes `work` makes of its own; on another model as it is.

    The module's forward is replaced for one call, as Lightning's strategies do (its _ForwardRedirection).
    """
    if not isinstance(model, DistributedDataParallel):
        return work(model)
    inner: nn.Module = model.module
    own = inner.__dict__.get("forward")

    def forward(*_: object, **__: object) -> torch.Tensor:
        _restore(inner, own)
        return work(inner)

    inner.forward = forward
    try:
        result: torch.Tensor = model()
    finally:
        _restore(inner, own)
    return result


def _restore(module: nn.Module, forward: object) -> None:
    module.__dict__.pop("forward", None)
    if forward is not None:
        module.forward = forward


def summed(value: torch.Tensor) -> torch.Tensor:
    """The sum of a value over all processes, in fp32."""
    total = value.detach().float().clone()
    torch.distributed.all_reduce(total)
    return total


def means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each figure over the values of all processes."""
    own = {name: (sum(numbers), len(numbers)) for name, numbers in values.items()}
    parts = [own] * processes.count()
    torch.distributed.all_gather_object(parts, own)
    totals: dict[str, tuple[float, int]] = {}
    for part in parts:
        for name, (total, number) in part.items():
            before = totals.get(name, (0.0, 0))
            totals[name] = before[0] + total, before[1] + number
    return {name: total / number for name, (total, number) in totals.items() if number}
