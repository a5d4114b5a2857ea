"""Checks that templates and answers name existing columns."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from tasks.errors import AnnealError
from tasks.params import Dataset
from tasks.preflight import sources
from tasks.section import Section, suggestion
from tasks.stages.prepare import shapes
from tasks.stages.prepare.rows import SetAside
from tasks.stages.prepare.shapes import table
from tasks.texts import template

Row = Mapping[str, str]

ID = "id"  # a column that every row has


def problems(name: str, dataset: Dataset) -> Iterator[str]:
    """Yield a sentence for each column, template or answer of the dataset `name` that its rows do not have or cannot
    fill.
    """
    known = sources.columns(dataset.ingest)
    prepare, key = dataset.prepare, f"datasets.{name}.prepare"
    yield from _problem_of_system(f"{key}.system", dataset.templates["system"], known)
    if isinstance(prepare, table.Params):
        yield from _problems_of_table(key, prepare, known, sources.first_rows(dataset.ingest))
        return
    missing = [column for column in shapes.of(prepare).columns(prepare) if column not in known]
    for column in missing:
        yield f"{key} reads `{column}`, which is not a column of the data{suggestion(column, known)}"
    if not missing:
        yield from _problems_of_rows(key, prepare, sources.first_rows(dataset.ingest))


def _problems_of_rows(key: str, prepare: Section, rows: Sequence[Row]) -> Iterator[str]:
    """Yield a sentence if none of the first rows can be read as their declared shape."""
    shape, reasons = shapes.of(prepare), list[str]()
    for row in rows:
        try:
            shape.example(row, prepare)
        except SetAside as why:
            reasons.append(f"row {row[ID]}: {why}")
        except AnnealError as error:
            reasons.append(str(error).removeprefix("params.yaml: ").rstrip("."))
    if reasons and len(reasons) == len(rows):
        words = f"{key}: none of the first {len(rows)} rows is of the shape {shapes.name_of(prepare)} ({reasons[0]})"
        yield f"{words}{_other_columns(shape, prepare, rows)}."


def _other_columns(shape: shapes.Shape, prepare: Section, rows: Sequence[Row]) -> str:
    """Return what to write if the rows have the shape, but under other names than the section says."""
    recognised = shape.recognise(rows) or {}
    unlike = {key: value for key, value in recognised.items() if getattr(prepare, key, value) != value}
    lines = ", ".join(f"`{key}: {value}`" for key, value in unlike.items())
    return f"; by their names, the columns are {lines}: write that there" if lines else ""


def _problems_of_table(key: str, prepare: table.Params, known: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    yield from _problems_of_template(f"{key}.user", prepare.user, known, rows)
    if isinstance(prepare.answer, str):
        yield from _problems_of_template(f"{key}.answer", prepare.answer, known, rows)
        return
    for column in prepare.answer:
        if column not in known:
            yield f"{key}.answer names `{column}`, which is not a column of the data{suggestion(column, known)}"
    for column in dict.fromkeys(column for column in prepare.answer if prepare.answer.count(column) > 1):
        yield f"{key}.answer names `{column}` twice; an answer holds each column once."


def _problem_of_system(key: str, text: str | None, known: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if the system message names a column: it is not a template, and would appear as it is."""
    if (
        text
        and not template.problem(text)
        and (named := [column for column in template.columns(text) if column in known])
    ):
        yield f"{key} names the column `{named[0]}`, and it is the same for every row; name columns in prepare.user."


def _problems_of_template(key: str, text: str, known: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """Yield why the template `text` makes no prompt or answer from rows with the columns `known`."""
    if words := template.problem(text):
        advice = (
            _spelling(text, known) or "; a column whose name is not an identifier is written {{ row['its name'] }}."
        )
        yield f"{key} is not a valid template: {words}{advice}"
        return
    named = template.columns(text)
    if not named:
        yield (
            f"{key} is {text[:60]!r}, which names no column, so all rows would get the same text; "
            f"{_with_braces(text, known)}"
        )
        return
    for column in named:
        if column not in known:
            yield (
                f"{key} names `{column}`, which is not a column of the "
                f"data{_spelling(text, known) or suggestion(column, known)}"
            )
            return
    for row in rows:
        try:
            template.render(text, row)
        except AnnealError as error:
            yield f"{key}: {str(error).removeprefix('params.yaml: ')}"
            return


def _with_braces(text: str, known: Sequence[str]) -> str:
    """Return how to write the column that a `text` without a column probably means."""
    meant = text.strip().strip("{}").strip()
    if meant in known:
        return f'write "{template.reference(meant)}" for the column.'
    if near := get_close_matches(meant, known, n=1):
        return f'did you mean "{template.reference(near[0])}"?'
    shortest = min((column for column in known if column != ID), key=len, default=ID)
    return f'name one as in "{template.reference(shortest)}".'


def _spelling(text: str, known: Sequence[str]) -> str:
    """Return how to name the column in `text` whose name is not an identifier; empty if there is none."""
    meant = next(
        (column for column in sorted(known, key=len, reverse=True) if not column.isidentifier() and column in text),
        None,
    )
    return f"; the column `{meant}` is written {template.reference(meant)}." if meant else ""
