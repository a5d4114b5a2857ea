"""Checks that rows have the tests that `evaluate.tests` names, and that their right answers pass them."""

from collections.abc import Iterator
from itertools import islice

from tasks.errors import AnnealError
from tasks.params import Params
from tasks.preflight import sources
from tasks.sandbox.run import Limits, run_all
from tasks.section import suggestion
from tasks.stages.evaluate.code import problem, program
from tasks.stages.evaluate.params import CodeTests
from tasks.stages.prepare import shapes
from tasks.stages.prepare.rows import SetAside
from tasks.texts import template

FEW = 3  # rows whose right answers are run; `evaluate` runs all held-out ones


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for a column that the rows lack, and for a right answer that does not pass its tests."""
    how, dataset = params.models[name].evaluate.tests, params.main_dataset(name)
    if how is None:
        return
    key = f"models.{name}.evaluate.tests"
    if why := template.problem(how.program):
        yield f"{key}.program {why}."
        return
    rows = list(islice(_prepared(params, dataset), FEW))
    if not rows:
        return  # reported by the checks of the dataset
    columns = list(rows[0][0])
    named = [("column", how.column), ("entry_point", how.entry_point)]
    named += [("program", column) for column in template.columns(how.program) if column != "answer"]
    lacking = [(setting, column) for setting, column in named if column not in columns]
    for setting, column in lacking:
        yield (
            f"{key}.{setting} names `{column}`, which is not a column of the prepared rows of "
            f"{dataset}{suggestion(column, columns)}"
        )
    if not lacking:
        yield from _failing(rows, how, key)


def _failing(rows: list[tuple[dict[str, str], str]], how: CodeTests, key: str) -> Iterator[str]:
    try:
        programs = [program(row, answer, how) for row, answer in rows]
    except AnnealError as error:
        yield f"{key}: {error}"
        return
    for (row, _), result in zip(rows, run_all(programs, Limits(how.seconds, how.memory)), strict=True):
        if result.outcome != "passed":
            yield f"{key}: {problem(row.get('id', ''), result)}"


def _prepared(params: Params, dataset: str) -> Iterator[tuple[dict[str, str], str]]:
    """Yield (columns, right answer) of the first rows of a dataset; none if they cannot be prepared."""
    section = params.datasets[dataset].prepare
    try:
        for raw in sources.first_rows(params.datasets[dataset].ingest):
            try:
                prepared = shapes.of(section).example(raw, section)
            except SetAside:
                continue
            yield prepared["row"], prepared["answer"]
    except (AnnealError, KeyError, OSError):
        return
