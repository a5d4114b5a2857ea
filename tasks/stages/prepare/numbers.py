"""The numbers of scored rows: their scale in training, and whether they look like classes."""

from collections.abc import Iterable, Sequence
from statistics import fmean, pstdev

from tasks.errors import AnnealError
from tasks.stages.prepare.guess import FEW
from tasks.stages.prepare.split_or_drop import Placed

Scales = dict[str, dict[str, float]]  # {column: {mean, deviation}}


def scales(kept: Sequence[Placed], columns: Sequence[str]) -> Scales:
    """The mean and standard deviation over the training rows; AnnealError if all have the same number."""
    by_column = {
        column: [float(placed.row["row"][column]) for placed in kept if placed.split == "train"] for column in columns
    }
    for column, values in by_column.items():
        if min(values) == max(values):
            raise AnnealError(
                f"prepare: `{column}` is {values[0]:g} in all {len(values)} training rows, so there is nothing to "
                "learn; add rows of other numbers, or leave the column out of prepare.numbers."
            )
    return {column: {"mean": fmean(values), "deviation": pstdev(values)} for column, values in by_column.items()}


def remarks(kept: Sequence[Placed], columns: Sequence[str]) -> Iterable[str]:
    """A sentence for each column whose numbers are few and whole."""
    for column in columns:
        values = sorted({float(placed.row["row"][column]) for placed in kept})
        if len(values) <= FEW and all(value.is_integer() for value in values):
            shown = ", ".join(f"{value:g}" for value in values)
            yield (
                f"`{column}` has {len(values)} values, all whole numbers ({shown}); they are learnt as numbers, and an "
                f"answer may lie between two: to learn them as classes, write shape: labelled and labels: [{column}]"
            )
