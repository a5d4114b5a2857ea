"""The answer format: the one module that writes an answer, reads it back, and judges whether it is valid and right.

An answer is a mapping of columns to texts, whatever the model writes: a JSON object (`answer: [category, reply]`), or a
text that a template makes of columns (`answer: "{{ reply }}"`). A template of plain words and columns is read
backwards, so a text answer has the same columns as the rows; one that computes something reads as the single column
`text`. Tool calls and entities read as canonical JSON, so that equal ones are equal texts. An answer extracted from a
text reads as its words.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from tasks.formats import tools
from tasks.formats.entity_answer import EntityAnswer
from tasks.formats.number_answer import NumberAnswer, of_spec, without_repeats
from tasks.formats.span_answer import SpanAnswer
from tasks.texts import template
from tasks.texts.clean import clean, has_half_character

TEXT = "text"  # the one column of an answer that cannot be read backwards into columns of a row

Spec: TypeAlias = Sequence[str] | str | Mapping[str, Sequence[str]] | None  # `answer` of a format.json
Classes = Mapping[str, frozenset[str]]  # label column: the values it may have


class AnswerFormat(Protocol):
    """How answers are written and read."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of an answer, in the order in which they are written."""
        ...

    @property
    def is_json(self) -> bool:
        """Whether an answer is a JSON object."""
        ...

    @property
    def is_invertible(self) -> bool:
        """Whether its columns are those of the rows that it was made from."""
        ...

    def write(self, row: Mapping[str, object]) -> str:
        """The answer as the model should write it, from a row's (or an answer's) columns."""
        ...

    def read(self, text: str) -> dict[str, str] | None:
        """`{column: text}` of a written answer; None for any other text."""
        ...


@dataclass(frozen=True)
class JsonAnswer:
    """One JSON object whose columns are texts."""

    columns: tuple[str, ...]
    is_json = True
    is_invertible = True

    def write(self, row: Mapping[str, object]) -> str:
        """The row's columns as one JSON object; KeyError names a column that it lacks."""
        return json.dumps({column: row[column] for column in self.columns}, ensure_ascii=False)

    def read(self, text: str) -> dict[str, str] | None:
        """The object's columns; None for other texts, a repeated key, a missing column or half a character."""
        try:
            value = json.loads(text, object_pairs_hook=without_repeats)
        except (ValueError, RecursionError):  # a model that repeats itself writes a thousand brackets
            return None
        if not isinstance(value, dict) or not all(isinstance(value.get(column), str) for column in self.columns):
            return None
        answer = {column: value[column] for column in self.columns}
        return None if any(has_half_character(entry) for entry in answer.values()) else answer


@dataclass(frozen=True)
class TextAnswer:
    """A text that a template makes from columns."""

    template: str
    is_json = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The template's columns; only `text` if it cannot be read backwards."""
        return template.columns(self.template) if self.is_invertible else (TEXT,)

    @property
    def is_invertible(self) -> bool:
        """Whether the template consists of plain words and columns."""
        pieces = template.parts(self.template)
        return pieces is not None and any(piece.kind == "column" for piece in pieces)

    def write(self, row: Mapping[str, object]) -> str:
        """The template filled from `row`; AnnealError if it lacks a column. An answer read as `text` is unchanged."""
        return str(row[TEXT]) if not self.is_invertible and set(row) == {TEXT} else template.render(self.template, row)

    def read(self, text: str) -> dict[str, str] | None:
        """The template's columns; None for a blank text, and unless the template makes the text in exactly one way."""
        text = text.strip()
        if not text or has_half_character(text):
            return None
        answer = template.invert(text, self.template.strip()) if self.is_invertible else {TEXT: text}
        return answer if answer is not None and all(entry.strip() for entry in answer.values()) else None


@dataclass(frozen=True)
class Continuation:
    """The continuation of a text: any text that is not blank is valid, and none is the correct one."""

    columns: tuple[str, ...] = (TEXT,)
    is_json = False
    is_invertible = False

    def write(self, row: Mapping[str, object]) -> str:
        """The text itself; KeyError if `row` has none."""
        return str(row[TEXT])

    def read(self, text: str) -> dict[str, str] | None:
        """`{text: …}`; None for a blank text."""
        return {TEXT: text} if text.strip() and not has_half_character(text) else None


@dataclass(frozen=True)
class ToolAnswer:
    """A text, or tool calls as canonical JSON in one column, so that equal calls are equal texts."""

    column: str
    is_json = False
    is_invertible = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    def write(self, row: Mapping[str, object]) -> str:
        """The column unchanged; KeyError if `row` lacks it."""
        return str(row[self.column])

    def read(self, text: str) -> dict[str, str] | None:
        """Calls as canonical JSON, other texts unchanged; None for a blank text and for an incomplete call."""
        text = text.strip()
        if not text or has_half_character(text):
            return None
        try:
            calls = tools.read(text)
            answer = text if calls is None else tools.canonical(calls)
        except (tools.MalformedCallError, RecursionError):  # a model that repeats itself writes a thousand brackets
            return None
        return None if has_half_character(answer) else {self.column: answer}


def format_of(spec: Spec, calls_tools: bool = False) -> AnswerFormat:
    """The format that `answer` of a version's format.json describes: null for continued texts, `{column: fields}` for
    entities and for spans of a text, `{column: number}` for numbers.
    """
    if spec is None:
        return Continuation()
    if isinstance(spec, Mapping):
        if numbers := of_spec(spec):
            return numbers
        ((column, fields),) = spec.items()
        return EntityAnswer(column) if "label" in fields else SpanAnswer(column)
    if calls_tools and isinstance(spec, str):
        return ToolAnswer(next(iter(template.columns(spec)), TEXT))
    return TextAnswer(spec) if isinstance(spec, str) else JsonAnswer(tuple(spec))


def format_in(spec: Mapping[str, Any]) -> AnswerFormat:
    """The format of a format.json: its `answer`, and whether the rows have `tools`; KeyError when it has no answer."""
    return format_of(spec["answer"], bool(spec.get("tools")))


def example_in(spec: Mapping[str, Any]) -> str:
    """The kind of examples in a format.json; chats in older ones, which do not name it."""
    return str(spec.get("example", "chat"))


def right_answer(form: AnswerFormat, row: Mapping[str, Any]) -> dict[str, str]:
    """The right answer to a prepared row by column: as it reads, or from the row if it reads in several ways."""
    source = row["row"]
    return form.read(row["answer"]) or {column: source[column] for column in form.columns if column in source}


def read_valid(form: AnswerFormat, text: str, classes: Classes) -> dict[str, str] | None:
    """`{column: text}` of a written answer whose labels are of known classes; None for any other text."""
    answer = form.read(text)
    return None if answer is None or problem(form, answer, classes) else answer


def problem(form: AnswerFormat, answer: object, classes: Classes) -> str | None:
    """Why `answer` (`{column: text}`) is not a whole answer of this task, in one clause; None when it is one."""
    names = ", ".join(form.columns)
    if not isinstance(answer, Mapping) or not all(isinstance(value, str) for value in answer.values()):
        return f"it must be an object of texts: {names}"
    if missing := [column for column in form.columns if column not in answer]:
        return f"it lacks `{missing[0]}` (it needs {names})"
    optional = ("start",) if isinstance(form, SpanAnswer) else ()
    if unknown := [column for column in answer if column not in (*form.columns, *optional)]:
        return f"`{unknown[0]}` is not a column of the answer ({names})"
    if halves := [column for column, value in answer.items() if has_half_character(value)]:
        return f"`{halves[0]}` contains a lone surrogate (half a character)"
    if isinstance(form, EntityAnswer) and form.read(answer[form.column]) is None:
        return (
            f"`{form.column}` must be a JSON list of entities that do not overlap, each of label, text, start and end"
        )
    if not answer.get("start", "0").isdecimal() and "start" in optional:
        return "`start` must be the position of the answer in its text, counted in characters from 0"
    if isinstance(form, NumberAnswer) and (wrong := form.problem(answer)):
        return wrong
    for label, known in classes.items():
        if label in answer and clean(answer[label]) not in known:
            return f"`{label}` is not one of its known values ({', '.join(sorted(known))})"
    return None


def agrees(
    answer: Mapping[str, str] | None, right: Mapping[str, str], labels: Sequence[str], form: AnswerFormat | None = None
) -> bool:
    """Whether an answer as read (None: invalid) equals the right one in the `labels` that `right` has, or in all
    columns if it has none of them. Where `form` is of numbers, they agree in as many digits as the right ones have.
    """
    if isinstance(form, NumberAnswer):
        return form.agrees(answer, right)
    if answer is None:
        return False
    compared = [label for label in labels if label in right] or list(right)
    return all(column in answer and is_same_text(answer[column], right[column]) for column in compared)


def canonical_answer(form: AnswerFormat, answer: Mapping[str, str]) -> Mapping[str, str]:
    """`{column: text}` that a person wrote, with tool calls and entities in their canonical form."""
    is_parsed = isinstance(form, ToolAnswer | EntityAnswer) and form.column in answer
    return (form.read(form.write(answer)) if is_parsed else None) or answer


def is_same_text(text: str, right: str) -> bool:
    """Whether two values are the same text, as data are cleaned; case counts."""
    return clean(text) == clean(right)
