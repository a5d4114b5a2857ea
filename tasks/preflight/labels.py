"""Finds the labels and tags among a dataset's answer columns, for an `evaluate` section that is left out."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from tasks.errors import AnnealError
from tasks.formats.answer import format_of
from tasks.formats.labels import is_label
from tasks.kinds import KindIn
from tasks.preflight import sources
from tasks.section import Section
from tasks.stages.ingest import Ingest
from tasks.stages.prepare import shapes
from tasks.stages.prepare.rows import SetAside
from tasks.texts.clean import clean

SECTION: TypeAdapter[Section] = TypeAdapter(Annotated[Section, KindIn(shapes.__name__, "shape")])


def measured(dataset: object) -> dict[str, list[str]]:
    """Return the keys of `evaluate` for `dataset` (a row of params.yaml as it was read): the columns of its answers
    that hold `labels` (one of a few classes), `numbers` or `tags`.

    A label is short, on one line and recurs: at most half as many values as rows. A row that does not parse has none,
    as a later check refuses it; AnnealError if its source cannot be read.
    """
    if not isinstance(dataset, dict):
        return {}
    try:
        prepare, ingest = SECTION.validate_python(dataset.get("prepare")), Ingest.model_validate(dataset.get("ingest"))
        columns = format_of(shapes.of(prepare).templates(prepare)["answer"]).columns
    except (ValidationError, AnnealError):  # a template that does not parse
        return {}
    shape = shapes.of(prepare)
    if shape.makes in ("labelled", "image", "choice"):
        return {"labels": list(columns)}
    if shape.makes == "tagged":
        return {"tags": list(columns)}
    if shape.makes == "scored":
        return {"numbers": list(columns)}
    if shape.makes != "chat":  # continuations and preferences are not classes, even if they recur
        return {}
    rows = sources.rows(ingest)
    if not set(columns) & set(rows[0]):  # the shape makes the columns
        rows = list(_as_examples(rows, shape, prepare))
    known = rows[0] if rows else {}
    labels = [column for column in columns if column in known and is_label([clean(row[column]) for row in rows])]
    return {"labels": labels} if labels else {}


def _as_examples(rows: list[dict[str, str]], shape: Any, prepare: Section) -> Iterator[dict[str, str]]:
    for row in rows:
        with suppress(SetAside, KeyError):  # reported by prepare
            yield shape.example(row, prepare)["row"]
