"""Texts with one or several labels, for classification."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tasks.dataset.rows import Example, Prepared
from tasks.errors import AnnealError
from tasks.stages.prepare import blank
from tasks.stages.prepare.format import fill_templates
from tasks.stages.prepare.guess import Row, are_few_and_whole, is_prose, references
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts import template
from tasks.texts.clean import clean, is_blank

summary = "a text (a template over columns) and one or several labels"
makes: Example = "labelled"
NAMES = (
    "label",
    "class",
    "class index",
    "class_index",
    "category",
    "intent",
    "sentiment",
    "polarity",
    "topic",
    "target",
)
SCALES = (
    "stars",
    "rating",
    "ratings",
    "score",
    "scores",
    "grade",
)  # classes, or numbers: the shape scored may take them
TAKEN = ("prompt", "completion", "instruction", "output", "answer", "response", "source")  # by shapes that write
LONGEST = 40  # characters of a class
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def _texts(value: object) -> object:
    """A table with its keys as texts, since YAML reads some as numbers or booleans."""
    return {_text(key): entry for key, entry in value.items()} if isinstance(value, Mapping) else value


def _text(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


Name = Annotated[str, Field(min_length=1)]
ClassNames = Annotated[dict[str, Name], BeforeValidator(_texts)]


class Params(Prepare):
    """Where the text is, and the labels."""

    shape: Literal["labelled"]
    user: Annotated[str, Field(min_length=1, description="Jinja template of the text")]
    labels: Annotated[list[str], Field(min_length=1, description="columns with a few classes each")]
    class_names: ClassNames | dict[str, ClassNames] = Field(
        default={},
        description="names for classes that are numbers or codes: {1: World}; with several labels, a table per column",
    )

    @model_validator(mode="after")
    def _names_classes_of_its_labels(self) -> Self:
        names = self.class_names
        if any(isinstance(value, str) for value in names.values()) and len(self.labels) > 1:
            raise ValueError(
                f"class_names names classes of one label, and there are {len(self.labels)}; write "
                f"{{{self.labels[0]}: {{…}}}}"
            )
        for column in self.names_of:
            if column not in self.labels:
                raise ValueError(f"class_names names `{column}`, which is not one of labels ({', '.join(self.labels)})")
        return self

    @property
    def names_of(self) -> dict[str, dict[str, str]]:
        """{column: {class as in the data: its name}}."""
        flat = {code: name for code, name in self.class_names.items() if isinstance(name, str)}
        by_column = {column: names for column, names in self.class_names.items() if isinstance(names, dict)}
        return {self.labels[0]: flat} if flat else by_column


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The text as one message, the labels as one JSON object; SetAside for a text or a label that is blank."""
    if reason := blank.problem(raw, templates(params)):
        raise SetAside("blank", reason)
    row = {name: clean(text) for name, text in raw.items()}
    for label in params.labels:
        if is_blank(row[label]):
            raise SetAside("blank", f"`{label}` is empty")
        if names := params.names_of.get(label):
            row[label] = _named(row[label], names, f"row {row['id']}: `{label}`")
    return fill_templates(row, templates(params))


def _named(code: str, names: Mapping[str, str], where: str) -> str:
    """The name of a class; AnnealError if it has none."""
    if code not in names:
        raise AnnealError(
            f"{where} is {code[:LONGEST]!r}, and prepare.class_names has no name for that ({', '.join(names)}); add "
            "it, or correct the row."
        )
    return names[code]


def templates(params: Params) -> Templates:
    """No system message: the text is read unchanged."""
    return {"system": None, "user": params.user, "answer": params.labels}


def columns(params: Params) -> tuple[str, ...]:
    """The columns of the template, without the id, and the labels."""
    return tuple(column for column in template.columns_of_all(params.user, params.labels) if column != "id")


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """The same columns, with classes as in the data: the first of those with the same name."""
    codes = {
        column: {name: code for code, name in reversed(names.items())} for column, names in params.names_of.items()
    }
    return {column: codes.get(column, {}).get(text, text) for column, text in row.items()}


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """One column that is named like a label and holds a few short values, beside columns of texts and no others."""
    names = [column for column in (rows[0] if rows else ()) if column != "id"]
    labels = [column for column in names if _is_called_label(rows, column)]
    texts = [column for column in names if column not in labels]
    if len(labels) != 1 or not texts or any(column.casefold() in TAKEN for column in texts):
        return None
    if not _holds_classes([row.get(labels[0]) for row in rows]) or not all(is_prose(rows, column) for column in texts):
        return None
    return {"user": references(texts), "labels": labels}


def guess(rows: Sequence[Row]) -> dict[str, object] | None:
    """A possible `prepare`, whatever the names of columns: labels are columns of a few short values, if all others are
    texts; None for other rows.
    """
    names = [column for column in (rows[0] if rows else ()) if column != "id"]
    labels = [column for column in names if _holds_classes([row.get(column) for row in rows])]
    texts = [column for column in names if column not in labels]
    if not labels or not texts or not all(is_prose(rows, column) for column in texts):
        return None
    return {"shape": "labelled", "user": references(texts), "labels": labels}


def _is_called_label(rows: Sequence[Row], column: str) -> bool:
    values = [row.get(column) for row in rows]
    return column.casefold() in NAMES or (column.casefold() in SCALES and are_few_and_whole(values))


def _holds_classes(values: Sequence[object]) -> bool:
    """Whether the cells of a column are short and recur: at most half as many classes as rows."""
    classes = {clean(str(value)) for value in values}
    is_plain = all(isinstance(value, str | int | float) for value in values)
    is_measured = all(map(NUMBER.fullmatch, classes)) and any("." in name for name in classes)  # such as 3.8
    return (
        is_plain
        and not is_measured
        and 2 <= len(classes) <= len(values) / 2
        and all(0 < len(name) <= LONGEST for name in classes)
    )
