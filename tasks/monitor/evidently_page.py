"""Evidently's report on the latest requests against the reference, for inspection only: its tests start anew with
each check, so no alarm depends on them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.files import write_text
from tasks.monitor import texts
from tasks.monitor.scores import Scores
from tasks.records.database_rows import Input

if TYPE_CHECKING:
    from pandas import DataFrame

MIN_REQUESTS = 20  # below it, its tests mean nothing


def write(scores: Scores, inputs: Sequence[Input], answers: Sequence[str], out: Path) -> str | None:
    """Write Evidently's self-contained data drift report to `out`; return its name, or None if there are too few
    requests.

    It compares with the reference's held-out rows and the evaluation's answers; no data leave this machine.
    """
    if min(len(inputs), len(answers)) < MIN_REQUESTS:
        return None
    _mend_pandas()
    import numpy as np
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    parts = []
    tests = [row["text"] for row in scores.reference.predictions]
    for current, reference in (
        (_inputs(scores, inputs), _inputs(scores, scores.held_out())),
        (_answers(scores, answers), _answers(scores, tests)),
    ):
        numbers = [name for name in current if current[name].dtype.kind == "f"]
        definition = DataDefinition(
            numerical_columns=numbers, categorical_columns=[name for name in current if name not in numbers]
        )
        # A language that the reference does not have makes its chi-squared infinite, as it should.
        with np.errstate(divide="ignore"):
            snapshot = Report([DataDriftPreset()]).run(
                Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
            )
        parts.append(snapshot.get_html_str(as_iframe=False))
    write_text(out, parts[0])
    write_text(out.with_name("evidently-answers.html"), parts[1])
    return out.name


def _inputs(scores: Scores, inputs: Sequence[Input]) -> "DataFrame":
    import pandas as pd

    request_texts = scores.request_texts(inputs)
    return pd.DataFrame(
        {
            "characters": [float(len(text)) for text in request_texts],
            "share of new words": [float(texts.new_words(text, scores.vocabulary) or 0) for text in request_texts],
            "letter surprise (bits)": [float(scores.spelling.surprise(text) or 0) for text in request_texts],
            "language": [texts.language(text) for text in request_texts],
        }
    )


def _answers(scores: Scores, answers: Sequence[str]) -> "DataFrame":
    import pandas as pd

    answered = [scores.form.read(text) for text in answers]
    labels = {label: [scores.class_of(answer, label) for answer in answered] for label in scores.labels}
    return pd.DataFrame(
        {
            "characters of the answer": [float(len(text)) for text in answers],
            "valid": [str(scores.is_valid(text)) for text in answers],
            **labels,
        }
    )


def _mend_pandas() -> None:
    """Evidently 0.7 imports a name that pandas 3 no longer has, for a test that is not used here."""
    import numpy as np
    from pandas.core.dtypes import common

    if not hasattr(common, "infer_dtype_from_object"):
        common.infer_dtype_from_object = lambda dtype: np.dtype(dtype).type
