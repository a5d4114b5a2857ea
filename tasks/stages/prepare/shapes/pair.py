"""Pairs: a source, and the target that it becomes (a translation, a summary)."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare import blank
from tasks.stages.prepare.format import fill_templates
from tasks.stages.prepare.guess import Row, first_of, is_text, keys, value_of
from tasks.stages.prepare.params import Prepare, System
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.stages.prepare.turns import cell
from tasks.texts.clean import clean

summary = "a source and a target, both texts"
makes: Example = "chat"
NAMES = {"source": ("source", "src", "document", "article"), "target": ("target", "tgt", "summary", "highlights")}
NESTED = ("translation", "pair")


class Params(Prepare):
    """The columns of source and target."""

    shape: Literal["pair"]
    source: str = Field(default="source", min_length=1, description="column; `column.key` if it holds an object")
    target: str = Field(default="target", min_length=1, description="column; `column.key` if it holds an object")
    system: System = None
    user: str = Field(default="{{ source }}", min_length=1, description="Jinja template of the question, over `source`")


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The source, in the template, is the question; the target is the answer."""
    row = {"source": _text(raw, params.source), "target": _text(raw, params.target)}
    if problem := blank.problem(row, templates(params)):
        raise SetAside("blank", problem)
    return fill_templates(
        {"id": clean(raw["id"]), **{name: clean(text) for name, text in row.items()}}, templates(params)
    )


def _text(raw: Mapping[str, str], place: str) -> str:
    if place in raw:
        return raw[place]
    column, _, key = place.partition(".")
    value = cell(raw, column)
    text = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(text, str):
        raise SetAside("malformed", f"`{column}` has no text `{key}`")
    return text


def templates(params: Params) -> Templates:
    """The template of the question, and the target."""
    return {"system": params.system, "user": params.user, "answer": "{{ target }}"}


def columns(params: Params) -> tuple[str, ...]:
    """The columns of source and target, or the one that holds both."""
    return tuple(dict.fromkeys(place.partition(".")[0] for place in (params.source, params.target)))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """Source and target, in the one object that holds both or in columns of their own."""
    (column, _, source_key), (target_column, _, target_key) = params.source.partition("."), params.target.partition(".")
    if source_key and target_key and column == target_column:
        return {column: json.dumps({source_key: row["source"], target_key: row["target"]}, ensure_ascii=False)}
    return None if source_key or target_key else {column: row["source"], target_column: row["target"]}


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """A source and a target by their names, or one object of two texts."""
    columns = {key: first_of(rows, names) for key, names in NAMES.items()}
    if all(column and is_text(rows, column) for column in columns.values()):
        return keys(columns)
    for column in NESTED:
        values = [value_of(row.get(column)) for row in rows]
        sides = list(values[0]) if values and isinstance(values[0], Mapping) else []
        if len(sides) == 2 and all(isinstance(value, Mapping) and list(value) == sides for value in values):
            return {"source": f"{column}.{sides[0]}", "target": f"{column}.{sides[1]}"}
    return None
