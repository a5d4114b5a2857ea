"""Converts the value of a cell to the text of a row, or says why it cannot be."""

import json
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from math import isfinite
from uuid import UUID

from tasks.errors import AnnealError
from tasks.texts.clean import clean, has_half_character


class Number(str):
    """A number as it is written: 1.50 stays 1.50, and none is too long."""


class Time(str):
    """A date or time as ISO 8601 writes it."""


def plain(value: object) -> object:
    """A value of a typed source as a JSON value, with numbers and times as texts that keep their type.

    Values that JSON cannot hold (bytes, durations, NaN, infinity) stay, and are refused if their column is read.
    """
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return Number(value)
    if isinstance(value, Decimal) and value.is_finite():
        return Number(format(value, "f"))
    if isinstance(value, float) and isfinite(value):
        return Number(repr(value))
    if isinstance(value, date | time):  # a datetime is a date
        return Time(value.isoformat())
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, UUID) else value


def as_text(value: object, what: str) -> str:
    """A value as text: numbers as written, `true` and `false`; AnnealError for any other value.

    `what` names the row and the column.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        raise AnnealError(f'{what} is null, not a text; write "" if it is empty, or remove the row.')
    if not isinstance(value, str | list | Mapping):
        raise AnnealError(f"{what} {_reason(value)}, not a text; leave the column out of ingest.columns.")
    if not isinstance(value, str):
        kind = "a list (if that holds the rows, save it alone)" if isinstance(value, list) else "an object"
        raise AnnealError(
            f"{what} is {kind}, not a text; to keep it as JSON, name the column under ingest.json_columns in "
            "params.yaml, or leave it out of ingest.columns."
        )
    if has_half_character(value):  # JSON can write them, UTF-8 cannot
        raise AnnealError(f"{what} {_HALF}")
    return str(value)


def as_json(value: object, what: str, place: str = "of ingest.json_columns") -> str:
    """A value as JSON text: no blanks, keys in their order, numbers as written, characters unescaped.

    `clean` does not change the text, so the value parsed from it later is the same: a string that `clean` would change
    (NFC, invisible characters, line separators) is escaped. Raises AnnealError for half a surrogate pair, for values
    that JSON cannot hold or that are nested too deeply; `place` is where the column can be left out.
    """
    try:
        return _json(value, what)
    except RecursionError:
        raise AnnealError(f"{what} is nested too deeply; leave the column out {place}.") from None
    except _NotJson as error:
        raise AnnealError(f"{what} {error}, which JSON cannot hold; leave the column out {place}.") from None


class _NotJson(ValueError):
    """A value contains something that JSON cannot hold."""


def _json(value: object, what: str) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return _quoted(value, what)
    if isinstance(value, list):
        return f"[{','.join(_json(item, what) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(key, what)}:{_json(item, what)}" for key, item in value.items())
        return f"{{{','.join(pairs)}}}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    raise _NotJson(_reason(value))


def _reason(value: object) -> str:
    if isinstance(value, bytes):
        return "is bytes (a picture, a sound, a text in no encoding)"
    return f"is {value}" if isinstance(value, float) else f"is a {type(value).__name__}"


def _quoted(text: str, what: str) -> str:
    if has_half_character(text):
        raise AnnealError(f"{what} {_HALF}")
    quoted = json.dumps(text, ensure_ascii=False)
    if clean(quoted) == quoted:
        return quoted
    return json.dumps(text).replace("\x7f", "\\u007f")  # the one control character that ASCII output leaves bare


_HALF = "holds half of a surrogate pair (\\ud800 to \\udfff); write the whole character."
