"""The contestants that a tuned model must beat, as the gate compares them: on each label, or on the gate's measure
if there are none.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from tasks.comparison.contestants import CONTESTANTS, check_pairs, folders
from tasks.dataset import answered
from tasks.dataset.rows import Answered
from tasks.files import read_json
from tasks.stages.evaluate.measures.accuracy import accuracy
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.paired import paired_rows, predicted_labels
from tasks.stages.evaluate.predictions import Prediction
from tasks.steps.gate import Opponent

Rows: TypeAlias = list[Answered]
Reader: TypeAlias = Callable[[Rows], Sequence[Prediction]]


def opponent(
    who: str, tuned: Rows, reports: Path, labels: Sequence[str], measure: Measure, readable: Reader
) -> Opponent:
    """The contestant `who`, with answers in `reports`, paired with the answers of the `tuned` model."""
    folder, words = folders(reports)[who], CONTESTANTS[who].words
    if not (folder / answered.FILE).exists():
        return Opponent(words, (), "it has not answered the held-out rows; run `dvc repro`")
    rows, timing = answered.read(folder), folder / answered.TIMING
    facts = read_json(timing) if timing.exists() else {}
    if not rows:
        if reason := facts.get("reason"):
            return Opponent(words, (), str(reason), is_excused=True)
        return Opponent(words, (), "it has no answers, and nothing says why; run `dvc repro`")
    check_pairs(tuned, rows, words)
    if "unstructured" in facts:  # it may have failed at the form alone
        words += ", asked without structured outputs,"
    ours, theirs = readable(tuned), readable(rows)
    columns = theirs[0].columns
    if labels:
        pairs = tuple(paired_rows(label, accuracy(label), ours, theirs) for label in predicted_labels(labels, theirs))
        return Opponent(words, pairs, "it predicts none of the measured labels", is_excused=not pairs)
    if columns is not None:
        return Opponent(words, (), "none of the columns that it predicts is measured as a label", is_excused=True)
    if not measure.is_measurable(theirs):
        return Opponent(words, (), f"its answers lack what {measure.name} is computed from")
    return Opponent(words, (paired_rows(measure.name, measure, ours, theirs),))
