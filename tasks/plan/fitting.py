"""Whether a run fits in memory, by a rehearsal of its largest batch, and of the writing of answers if it learns from
answers of its own: each as long as it may be, since any model may get there.
"""

from typing import TYPE_CHECKING, NamedTuple

from tasks.dataset.encoded import Encoded
from tasks.errors import AnnealError
from tasks.plan import memory, remedies, words
from tasks.plan.amounts import Amounts, Rows
from tasks.plan.remedies import Needs
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from tasks.plan.rehearsal import Cost
    from tasks.stages.train.checkpoints import LearntWeights

FEW = 4  # answers whose writing is rehearsed; more are reckoned from them


class Measured(NamedTuple):
    """What the largest batch takes."""

    rows: int
    cells: int
    needs: Needs
    limit: int  # bytes that the process may take
    cost: "Cost | None"  # None if it was not tried, since it would not fit
    answers: int = 0  # that are written at once
    writing: int = 0  # bytes that the process takes while it writes them

    @property
    def learning(self) -> int:
        """The bytes that the process takes at most while it learns."""
        if self.cost is None:
            return self.needs.of(self.rows)
        return self.cost.peak + self.needs.state + self.needs.gradients

    @property
    def peak(self) -> int:
        """The bytes that the training takes at most."""
        return max(self.learning, self.writing)

    @property
    def fits(self) -> bool:
        """Whether it takes no more than it may."""
        return self.peak <= self.limit


def measure(params: Train, trainer: "LearntWeights", rows: Rows, counted: Amounts) -> Measured:
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
    writing = _writing(params, trainer, batch[0], counted, limit)
    measured = Measured(len(batch), cells, needs, limit, None, trainer.answers_at_once, writing)
    if needs.of(len(batch)) > limit:  # by a single row too much is expected of many, which share what is read once
        few = min(len(batch) - 1, needs.largest(limit))
        if few > 1:
            peaks[few] = rehearse(trainer, batch[:few]).peak
            needs = remedies.of_rows(params, counted, before, peaks)
        if needs.of(len(batch)) > limit:
            return measured._replace(needs=needs)
    cost = rehearse(trainer, batch)
    needs = remedies.of_rows(params, counted, before, {**peaks, len(batch): cost.peak})
    return measured._replace(needs=needs, cost=cost)


def _writing(params: Train, trainer: "LearntWeights", row: Encoded, counted: Amounts, limit: int) -> int:
    """The bytes that the process takes while it writes its answers, all to the longest prompt; 0 if it writes none."""
    from tasks.plan.rehearsal import rehearse_writing

    if not trainer.answers_at_once:
        return 0
    before = memory.taken()
    peaks = {1: rehearse_writing(trainer, [row]).peak}
    if remedies.of_rows(params, counted, before, peaks).of(FEW) <= limit:
        peaks[FEW] = rehearse_writing(trainer, [row] * FEW).peak
    return remedies.of_rows(params, counted, before, peaks).of(trainer.answers_at_once)


def advice(params: Train, measured: Measured) -> str:
    """What to set in params.yaml where a run does not fit."""
    if measured.learning > measured.limit:
        return remedies.advice(params, measured.needs, measured.limit)
    return (
        f"{measured.answers} answers are written at once: lower gradient_accumulation_steps or "
        "objective.max_completion_length in params.yaml"
    )


def refuse(params: Train, measured: Measured) -> None:
    """Raise AnnealError, with what to change, if the run does not fit."""
    if not measured.fits:
        raise AnnealError(
            f"the training does not fit in memory: {words.size(measured.peak)} are needed and "
            f"{words.size(measured.limit)} are free; {advice(params, measured)}."
        )
