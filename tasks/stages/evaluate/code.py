"""Runs answers that are Python, each with the tests of its row, in a sandbox (tasks/sandbox)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from tasks.errors import AnnealError
from tasks.sandbox import run as sandbox
from tasks.sandbox.run import Limits, Program, Result
from tasks.stages.evaluate.params import CodeTests
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts import template

FENCE = re.compile(r"^```[^\n]*\n(.*?)(?:^```|\Z)", re.DOTALL | re.MULTILINE)


def results(rows: Sequence[Prediction], how: CodeTests) -> list[Result]:
    """How the answer to each row did in its tests."""
    return _run(tuple(program(row.row, row.text, how) for row in rows), how.seconds, how.memory)


@lru_cache(maxsize=32)  # the measure and the outcomes of each contestant
def _run(programs: tuple[Program, ...], seconds: int, memory: int) -> list[Result]:
    return sandbox.run_all(programs, Limits(seconds, memory))


def program(row: Mapping[str, str], text: str, how: CodeTests) -> Program:
    """An answer in its program, with the tests of its `row`; AnnealError if the row lacks a column."""
    for column in (how.column, how.entry_point):
        if not row.get(column, "").strip():
            raise AnnealError(
                f"row {row.get('id')}: `{column}`, which evaluate.tests in params.yaml names, is empty or not one of "
                f"its columns ({', '.join(row)}); add it to the row, or name another column."
            )
    entry_point = row[how.entry_point].strip()
    code = template.render(how.program, {**row, "answer": code_in(text, entry_point)})
    return Program(code, row[how.column], entry_point)


def code_in(text: str, entry_point: str) -> str:
    """The code in an answer: the fenced block that defines `entry_point`, or the first one; the whole text without."""
    blocks = FENCE.findall(text)
    return next((block for block in blocks if f"def {entry_point}" in block), blocks[0] if blocks else text)


def check(rows: Sequence[Prediction], how: CodeTests) -> None:
    """Raise AnnealError if the right answer to one of `rows` does not pass its tests, which then measure nothing."""
    programs = [program(row.row, row.answer, how) for row in rows]
    for row, result in zip(rows, _run(tuple(programs), how.seconds, how.memory), strict=True):
        if result.outcome != "passed":
            raise AnnealError(problem(row.row.get("id", ""), result))


def problem(row: str, result: Result) -> str:
    """Why the tests of a row are wrong, given how its own right answer did."""
    return (
        f"row {row}: its own right answer {sandbox.OUTCOMES[result.outcome]} ({result.text}), so its tests measure "
        "nothing: correct the answer or the tests, or evaluate.tests in params.yaml."
    )


def outcomes(predictions: Mapping[str, Sequence[Prediction]], how: CodeTests) -> dict[str, dict[str, int]]:
    """`{contestant: {outcome: answers}}`, the most frequent outcome first."""
    return {
        who: dict(Counter(result.outcome for result in results(rows, how)).most_common())
        for who, rows in predictions.items()
        if rows and rows[0].columns is None
    }
