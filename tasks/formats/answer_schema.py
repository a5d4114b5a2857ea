"""The JSON schema that constrains the answers of an untuned model.

Such a model mostly fails at the form. Held to it as a server would hold it, it shows what it knows.
"""

from collections.abc import Iterable, Sequence

from tasks.dataset.rows import Row
from tasks.formats.answer import JsonAnswer
from tasks.formats.labels import is_label
from tasks.inference.structured import Column, Schema
from tasks.texts.clean import clean


def schema(form: JsonAnswer, rows: Iterable[Row]) -> Schema:
    """The JSON schema of answers like those of the training `rows`: of a label one of its classes, of any other column
    a text that is not blank at once, and no longer than the longest one, so that an answer ends.
    """
    right = [answer for row in rows if (answer := form.read(row["answer"])) is not None]
    properties = {column: _column([answer[column] for answer in right]) for column in form.columns}
    return {
        "type": "object",
        "properties": properties,
        "required": list(form.columns),
        "additionalProperties": False,
    }


def _column(values: Sequence[str]) -> Column:
    if is_label([clean(value) for value in values]):
        return {"enum": sorted(set(values))}
    return {"type": "string", "minLength": 1, "maxLength": max(map(len, values), default=1)}
