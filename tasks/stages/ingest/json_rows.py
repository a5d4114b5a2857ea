"""Reads rows of JSON: one object per line, objects over several lines, or one array of objects."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from tasks.errors import AnnealError
from tasks.stages.ingest.squad import questions
from tasks.stages.ingest.values import Number
from tasks.texts.clean import clean, has_half_character

BLANK = re.compile("[ \t\r\n\ufeff]*")  # a mark in the middle comes from files that were joined


class _RepeatedKey(ValueError):
    """An object has a key twice; Python's parser would silently keep the last."""


def read_json(text: str, path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """(line where it begins, row) of each object of `text`, or of each question of a SQuAD file; AnnealError names the
    line of the first value that is not an object.
    """
    position = _skip(text, 0)
    values = _items(text, position, path) if text.startswith("[", position) else _values(text, position, path)
    for line, value in values:
        if not isinstance(value, dict):
            raise AnnealError(
                f"{path}, line {line}: holds {_kind(value)}, not an object with columns; fix or remove it."
            )
        for row in questions(value) or [value]:
            yield line, _row(row, f"{path}, line {line}")


def value_of(text: str, where: str) -> object:
    """The JSON value of `text`, numbers as written; AnnealError if it is not valid JSON."""
    try:
        return _DECODER.decode(text)
    except _RepeatedKey as error:
        raise AnnealError(f"{where} has the key `{error}` twice; rename or remove one of the two.") from None
    except (ValueError, RecursionError) as error:
        raise AnnealError(
            f"{where} is not valid JSON ({error}); fix it, or remove the column from "
            "ingest.json_columns in params.yaml."
        ) from None


def _row(value: dict[str, object], where: str) -> dict[str, object]:
    """A row with its keys cleaned like headers, since a letter may have two encodings that look the same."""
    row = {_name(key): cell for key, cell in value.items()}
    if len(row) < len(value):
        name = Counter(map(_name, value)).most_common(1)[0][0]
        raise AnnealError(f"{where}: has the key `{name}` twice; rename or remove one of the two.")
    return row


def _values(text: str, position: int, path: Path) -> Iterator[tuple[int, object]]:
    """(line, value) of values that follow each other."""
    line, counted = 1, 0
    while position < len(text):
        line, counted = line + _line_ends(text, counted, position), position
        value, position = _decode(text, position, line, path)
        yield line, value
        position = _skip(text, position)


def _items(text: str, position: int, path: Path) -> Iterator[tuple[int, object]]:
    """(line, item) of the array that begins at `position`; AnnealError if anything follows it."""
    line, counted, mark = 1, 0, ","
    position = _skip(text, position + 1)
    while mark == "," and not (counted == 0 and text.startswith("]", position)):
        line, counted = line + _line_ends(text, counted, position), position
        value, position = _decode(text, position, line, path)
        yield line, value
        position = _skip(text, position)
        mark = text[position : position + 1]
        if mark not in (",", "]"):
            raise AnnealError(
                f"{path}, line {line}: not valid JSON (after this item of the array stands no , or ]); fix it."
            )
        position = _skip(text, position + 1) if mark == "," else position
    after = _skip(text, position + 1)
    if after < len(text):
        line = 1 + _line_ends(text, 0, after)
        raise AnnealError(
            f"{path}, line {line}: something follows the array; put all rows into one, or one object on each line."
        )


def _decode(text: str, position: int, line: int, path: Path) -> tuple[object, int]:
    where = f"{path}, line {line}"
    try:
        return _DECODER.raw_decode(text, position)
    except _RepeatedKey as error:
        raise AnnealError(f"{where}: has the key `{error}` twice; rename or remove one of the two.") from None
    except json.JSONDecodeError as error:
        place = "" if error.lineno == line else f" in line {error.lineno}"
        raise AnnealError(
            f"{where}: not valid JSON ({error.msg}{place}, column {error.colno}); fix or remove the line."
        ) from None
    except (ValueError, RecursionError) as error:
        raise AnnealError(f"{where}: not valid JSON ({error}); fix or remove the line.") from None


def _kind(value: object) -> str:
    if isinstance(value, Number):
        return "a number"
    return {str: "a text", list: "a list", bool: "true or false"}.get(type(value), "null")


def _skip(text: str, position: int) -> int:
    match = BLANK.match(text, position)
    return match.end() if match else position


def _line_ends(text: str, start: int, end: int) -> int:
    return text.count("\n", start, end) or text.count("\r", start, end)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _RepeatedKey(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return value


@lru_cache(4096)
def _name(key: str) -> str:
    return key if has_half_character(key) else clean(key)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
)
