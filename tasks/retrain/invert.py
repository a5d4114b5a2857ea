"""Recovers the columns of a row from a client's request, if there is only one way to do so."""

from collections.abc import Iterable, Mapping, Sequence

from tasks.dialogues.messages import Kind, kind_of, last_text, readings
from tasks.section import Section
from tasks.stages.prepare import shapes
from tasks.texts import template
from tasks.texts.clean import clean


def no_rows_of(prepare: Section) -> str:
    """Return why no corrected answer can become a row of the dataset, in one clause; empty if they can."""
    if shapes.of(prepare).makes in ("chat", "labelled", "tagged", "spans", "scored"):
        return ""
    return f"corrected answers make no rows of the shape {shapes.name_of(prepare)}"


def columns_of_input(
    logged: object,
    form: Mapping[str, object],
    columns: Sequence[str],
    one_line: Iterable[str],
    path: str | None = None,
    finish_reason: str | None = None,
) -> dict[str, str] | None:
    """Return the cleaned `columns` of a logged input, or None if they cannot be recovered.

    `logged` is `{column: text}` or `{"messages": […]}`; `form` holds the task's `system` and `user`; `one_line` names
    the columns that never contain a line break. A request with another instruction, or a dialogue, has no columns.
    """
    if not isinstance(logged, Mapping) or kind_of(logged, form, path, finish_reason) is not Kind.TASK:
        return None
    messages = logged.get("messages")
    row = (
        dict(logged)
        if not isinstance(messages, list)
        else _read(last_text(messages), str(form["user"]), tuple(one_line))
    )
    if row is None or set(row) != set(columns) or not all(isinstance(text, str) for text in row.values()):
        return None
    return {column: clean(row[column]) for column in columns}


def _read(text: str, user: str, one_line: tuple[str, ...]) -> dict[str, str] | None:
    """Return the columns of `text`, by the first reading that yields them."""
    rows = (template.invert(words, form, one_line) for words, form in readings(text, user))
    return next((row for row in rows if row is not None), None)


def why_no_columns(
    logged: object, form: Mapping[str, object], path: str | None = None, finish_reason: str | None = None
) -> str:
    """Return why `columns_of_input` finds no columns, in one clause."""
    kind = kind_of(logged, form, path, finish_reason)
    if kind is not Kind.TASK:
        return f"it did not follow the model's template ({kind})"
    if not isinstance(logged, Mapping) or not isinstance(logged.get("messages"), list):
        return "its columns are not those of the question"
    if template.parts(str(form["user"])) is None:
        return "prepare.user computes something, so the columns of a chat's text cannot be told"
    return "its text could come from the question's columns in more than one way"
