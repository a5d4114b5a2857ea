"""The answer format of a model that predicts numbers; see tasks/formats/answer.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.formats import numbers

KIND = "number"  # of a column in `answer` of a format.json: {stars: number}


@dataclass(frozen=True)
class NumberAnswer:
    """One JSON object whose columns are numbers; as texts they are written in as few digits as identify them."""

    columns: tuple[str, ...]
    is_json = True
    is_invertible = True

    def write(self, row: Mapping[str, object]) -> str:
        """The row's columns as one JSON object of numbers; KeyError names a column that is missing or not a number."""
        values = {column: numbers.number(str(row[column])) for column in self.columns}
        if wrong := next((column for column, value in values.items() if value is None), None):
            raise KeyError(wrong)
        return json.dumps({column: json.loads(numbers.format_number(value or 0.0)) for column, value in values.items()})

    def read(self, text: str) -> dict[str, str] | None:
        """The object's columns as texts; None for anything but one object of numbers."""
        try:
            value = json.loads(text, object_pairs_hook=without_repeats)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        texts = {column: _text(value.get(column)) for column in self.columns}
        return {column: text for column, text in texts.items() if text is not None} if all(texts.values()) else None

    def problem(self, answer: Mapping[str, str]) -> str | None:
        """Why a column of `answer` is not a number, in one clause; None if all are."""
        problems = ((column, numbers.problem(answer[column])) for column in self.columns)
        return next((f"`{column}` is {reason}" for column, reason in problems if reason), None)

    def agrees(self, answer: Mapping[str, str] | None, right: Mapping[str, str]) -> bool:
        """Whether each number of `answer` equals the right one when rounded to as many decimals as that has."""
        return answer is not None and all(numbers.rounds_to(answer.get(column, ""), right[column]) for column in right)


def as_numbers(answer: Mapping[str, str]) -> dict[str, float]:
    """The columns of an answer as numbers, for clients."""
    return {column: json.loads(numbers.format_number(numbers.number(text) or 0.0)) for column, text in answer.items()}


def of_spec(spec: Mapping[str, Sequence[str]]) -> NumberAnswer | None:
    """The format of `answer` in a format.json; None if its columns hold no numbers."""
    return NumberAnswer(tuple(spec)) if spec and all(kind == KIND for kind in spec.values()) else None


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = numbers.number(str(value))
    return None if number is None else numbers.format_number(number)


def without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object as a dict; ValueError for a repeated key, of which json.loads would silently keep the last."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is repeated")
    return value
