"""Whether templates and answers name columns that the data have."""

from collections.abc import Iterator, Sequence

from tasks import template
from tasks.params import Dataset
from tasks.preflight import sources
from tasks.section import suggestion


def problems(name: str, dataset: Dataset) -> Iterator[str]:
    """One sentence for each template or answer of the data set `name` that its rows cannot fill."""
    known = sources.columns(dataset.ingest)
    prepare, key = dataset.prepare, f"datasets.{name}.prepare"
    yield from _problems_of_template(f"{key}.user", prepare.user, known)
    if isinstance(prepare.answer, str):
        yield from _problems_of_template(f"{key}.answer", prepare.answer, known)
        return
    for column in prepare.answer:
        if column not in known:
            yield f"{key}.answer names `{column}`, which is not a column of the data{suggestion(column, known)}"
    for column in dict.fromkeys(column for column in prepare.answer if prepare.answer.count(column) > 1):
        yield f"{key}.answer names `{column}` twice; an answer holds each column once."


def _problems_of_template(key: str, text: str, known: Sequence[str]) -> Iterator[str]:
    """Why the template `text` makes no prompt or answer of rows with the columns `known`."""
    if words := template.problem(text):
        way = _way(text, known) or "; a column whose name is not an identifier is written {{ row['its name'] }}."
        yield f"{key} is not a valid template: {words}{way}"
        return
    named = template.columns(text)
    if not named:
        meant = text.strip()
        yield (
            f"{key} is {text[:60]!r}, which names no column, so all rows would get the same text; "
            + (f'write "{_reference(meant)}" for the column.' if meant in known else f'name one as in "{_reference(known[0])}".')
        )
    for column in named:
        if column not in known:
            yield f"{key} names `{column}`, which is not a column of the data{_way(text, known) or suggestion(column, known)}"


def _way(text: str, known: Sequence[str]) -> str:
    """How to name the column in `text` whose name is not an identifier; empty when there is none."""
    meant = next((column for column in sorted(known, key=len, reverse=True) if not column.isidentifier() and column in text), None)
    return f"; the column `{meant}` is written {_reference(meant)}." if meant else ""


def _reference(column: str) -> str:
    """`column` as a template names it."""
    return f"{{{{ {column} }}}}" if column.isidentifier() else f"{{{{ row[{column!r}] }}}}"
