"""Whether a run fits in memory, by a rehearsal of its largest batch."""

from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import AnnealError
from tasks.plan import memory, remedies, words
from tasks.plan.amounts import Amounts, Rows
from tasks.plan.remedies import Needs
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from tasks.plan.rehearsal import Cost
    from tasks.stages.train.trainer import ObjectiveTrainer


class Measured(NamedTuple):
    """What the largest batch takes."""

    rows: int
    cells: int
    needs: Needs
    limit: int  # bytes that the process may take
    cost: "Cost | None"  # None if it was not tried, since it would not fit

    @property
    def peak(self) -> int:
        """The bytes that the training takes at most."""
        if self.cost is None:
            return self.needs.of(self.rows)
        return self.cost.peak + self.needs.state + self.needs.gradients

    @property
    def fits(self) -> bool:
        """Whether it takes no more than it may."""
        return self.peak <= self.limit


def measure(params: Train, trainer: "ObjectiveTrainer", rows: Rows, counted: Amounts) -> Measured:
    """Rehearse a single row, then, if that lets expect that it fits, the largest batch: on a CPU, one that does not fit
    would end the process.
    """
    from tasks.plan.rehearsal import rehearse

    batch = [rows["train"][place] for place in counted.largest]
    cells = len(batch) * max(len(row["input_ids"]) for row in batch)
    before = memory.taken()
    peaks = {1: rehearse(trainer, batch[:1]).peak}
    needs = remedies.of_rows(params, counted, before, peaks)
    limit = memory.free() + memory.taken()
    if needs.of(len(batch)) > limit:  # by a single row too much is expected of many, which share what is read once
        few = min(len(batch) - 1, needs.largest(limit))
        if few > 1:
            peaks[few] = rehearse(trainer, batch[:few]).peak
            needs = remedies.of_rows(params, counted, before, peaks)
        if needs.of(len(batch)) > limit:
            return Measured(len(batch), cells, needs, limit, None)
    cost = rehearse(trainer, batch)
    needs = remedies.of_rows(params, counted, before, {**peaks, len(batch): cost.peak})
    return Measured(len(batch), cells, needs, limit, cost)


def refuse(params: Train, measured: Measured) -> None:
    """Raise AnnealError, with what to change, if the run does not fit."""
    if not measured.fits:
        raise AnnealError(
            f"the training does not fit in memory: {words.size(measured.peak)} are needed and "
            f"{words.size(measured.limit)} are free; {remedies.advice(params, measured.needs, measured.limit)}."
        )
