"""A model's answers to the held-out rows, parsed once for all measures."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tasks.dataset.rows import Answered, Prepared, Probabilities
from tasks.errors import AnnealError
from tasks.formats import tools
from tasks.formats.answer import AnswerFormat, Classes, JsonAnswer, ToolAnswer, problem, right_answer
from tasks.formats.span_answer import SpanAnswer
from tasks.texts.clean import clean

TOLERANCE = 1e-3  # of the sum of probabilities in half precision
_cleaned = lru_cache(maxsize=100_000)(clean)  # classes recur in every row


@dataclass(frozen=True)
class Prediction:
    """One answer. `nll` is the summed negative log-likelihood (nats) of the `tokens` tokens of the right answer."""

    text: str  # the model's output
    answer: str  # the right answer
    parsed: Mapping[str, str] | None  # `text` by column; None if it does not have this format
    right: Mapping[str, str]  # `answer` by column
    is_valid: bool  # has this format, with labels of known classes; calls name tools of the row and fit their schemas
    nll: float
    tokens: int
    should_call: bool = False  # the right answer calls tools
    others: tuple[str, ...] = ()  # other right texts of an extracted answer
    probabilities: Probabilities | None = None  # of all cleaned classes; None for models that write
    columns: tuple[str, ...] | None = None  # the predicted columns, if not all are
    row: Mapping[str, str] = field(default_factory=dict)  # the columns of the row, which the answer may lack


def read(rows: Iterable[Answered], form: AnswerFormat, classes: Classes) -> list[Prediction]:
    """The rows of a predictions.jsonl as predictions."""
    return [_prediction(row, form, classes) for row in rows]


def known_classes(rows: Iterable[Prepared], form: AnswerFormat, labels: Iterable[str]) -> dict[str, frozenset[str]]:
    """`{label: its cleaned values}` over prepared rows, for those of `labels` that are columns of the answer."""
    values: dict[str, set[str]] = {label: set() for label in labels if label in form.columns}
    for row in rows:
        right = right_answer(form, row)
        for label, known in values.items():
            known.add(clean(right[label]))
    return {label: frozenset(known) for label, known in values.items()}


def _prediction(row: Answered, form: AnswerFormat, classes: Classes) -> Prediction:
    columns = tuple(row["told"]) if "told" in row else None
    parsed = form.read(row["text"]) if columns is None else JsonAnswer(columns).read(row["text"])
    return Prediction(
        text=row["text"],
        answer=row["answer"],
        parsed=parsed,
        right=right_answer(form, row),
        is_valid=parsed is not None and problem(form, parsed, classes) is None and _fits_tools(row, form),
        nll=float(row["nll"]),
        tokens=int(row["tokens"]),
        should_call="calls" in row,
        others=form.others(row["answer"]) if isinstance(form, SpanAnswer) else (),
        probabilities=_probabilities(row),
        columns=columns,
        row=row["row"],
    )


def _probabilities(row: Answered) -> Probabilities | None:
    """The row's probabilities by cleaned class; AnnealError if they do not sum to 1 or one is negative."""
    given = row.get("probabilities")
    if given is None:
        return None
    for column, classes in given.items():
        total = sum(classes.values())  # NaN if one of them is
        if min(classes.values(), default=0) < 0 or not math.isclose(total, 1, abs_tol=TOLERANCE):
            raise AnnealError(
                f"row {row.get('id')}: the probabilities of `{column}` sum to {total:g} instead of 1, or one is below "
                "0: run `dvc repro` to have the rows answered again."
            )
    return {column: _by_class(classes) for column, classes in given.items()}


def _by_class(classes: Mapping[str, float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, p in classes.items():
        sums[_cleaned(name)] = sums.get(_cleaned(name), 0.0) + float(p)
    return sums


def _fits_tools(row: Answered, form: AnswerFormat) -> bool:
    """Whether the calls of a valid answer name tools of the row and fit their schemas."""
    calls = tools.read(row["text"]) if isinstance(form, ToolAnswer) else None
    is_unknown = "calls" in row and not row.get("tools")  # data with calls that do not define the tools
    return calls is None or is_unknown or tools.problem(calls, row.get("tools") or ()) is None
