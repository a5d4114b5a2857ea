"""The JSON schema that constrains the answers of an untuned model.

Such a model mostly fails at the form. Constrained to it as by a server, it shows what it knows.
"""

from collections.abc import Iterable, Sequence

from tasks.dataset.rows import Row
from tasks.formats.answer import JsonAnswer
from tasks.formats.labels import is_label
from tasks.inference.structured import Column, Schema
from tasks.texts.clean import clean


def schema(form: JsonAnswer, rows: Iterable[Row]) -> Schema:
    """The JSON schema of answers like those of the training `rows`: a label is one of its classes, any other column a
    text of at least one character and no longer than the longest one, so that an answer ends.
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
