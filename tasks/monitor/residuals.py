"""Scores of the numbers that a version predicts, and of their errors against people's corrections."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.formats.answer import AnswerFormat
from tasks.formats.number_answer import NumberAnswer
from tasks.formats.numbers import number
from tasks.monitor.streams import Stream

Pairs = Sequence[tuple[str, Mapping[str, str]]]  # answer, right answer by column


def columns_of(form: AnswerFormat) -> tuple[str, ...]:
    """Return the columns of numbers in a version's answers."""
    return form.columns if isinstance(form, NumberAnswer) else ()


def streams_of(column: str) -> list[Stream]:
    """Return the streams of a column: the predicted numbers, and their errors where a person gave the right ones."""
    return [
        Stream(_value(column), f"numbers of {column}", "both", "answer"),
        Stream(_error(column), f"error of {column}", "high", "label"),
    ]


def values(form: AnswerFormat, answers: Sequence[str]) -> dict[str, list[float | None]]:
    """Return, by stream, the number of each answer; None if it is not a number."""
    read = [form.read(text) or {} for text in answers]
    return {_value(column): [number(row.get(column, "")) for row in read] for column in columns_of(form)}


def errors(form: AnswerFormat, pairs: Pairs) -> dict[str, list[float | None]]:
    """Return, by stream, the absolute error of each answer; None if nobody gave the right one."""
    return {
        _error(column): [None if value is None else abs(value) for value in _residuals(form, column, pairs)]
        for column in columns_of(form)
    }


def figures_of_answers(form: AnswerFormat, answers: Sequence[str]) -> dict[str, float]:
    """Return the mean and the standard deviation of each column; nothing without answers."""
    by_stream = values(form, answers)
    figures: dict[str, float] = {}
    for column in columns_of(form):
        if numbers := [value for value in by_stream[_value(column)] if value is not None]:
            figures[f"{column}_mean"] = float(np.mean(numbers))
            figures[f"{column}_deviation"] = float(np.std(numbers))
    return figures


def figures_of_labels(form: AnswerFormat, pairs: Pairs) -> dict[str, float]:
    """Return the RMSE of each column, with its `_n`, and the bias (mean of answer minus right answer); corrected
    answers are not a random sample.
    """
    figures: dict[str, float] = {}
    for column in columns_of(form):
        if known := [value for value in _residuals(form, column, pairs) if value is not None]:
            figures[f"{column}_rmse"] = float(np.sqrt(np.mean(np.square(known))))
            figures[f"{column}_rmse_n"] = float(len(known))
            figures[f"{column}_bias"] = float(np.mean(known))
    return figures


def _residuals(form: AnswerFormat, column: str, pairs: Pairs) -> list[float | None]:
    """Return answer minus right answer; None if either is not a number."""
    residuals: list[float | None] = []
    for text, right in pairs:
        answered, expected = number((form.read(text) or {}).get(column, "")), number(right.get(column, ""))
        residuals.append(None if answered is None or expected is None else answered - expected)
    return residuals


def _value(column: str) -> str:
    return f"{column} value"


def _error(column: str) -> str:
    return f"{column} error"
