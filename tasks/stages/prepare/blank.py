"""Finds rows without visible text where the template or the answer needs some."""

from collections.abc import Mapping

from tasks.stages.prepare.rows import Templates
from tasks.texts import template
from tasks.texts.clean import is_blank


def problem(row: Mapping[str, str], form: Templates) -> str | None:
    """Why nothing can be learnt from an ingested row, in one clause; None if something can.

    A column may be empty, since the question or answer may have others. One that holds only blanks or invisible
    characters looks filled but is not, so its row is set aside; so is a row whose whole question or answer is empty.
    """
    answer = template.columns_of_all(form["answer"] or ())
    for side, columns in (("question", template.columns(form["user"])), ("answer", answer)):
        values = {column: row[column] for column in columns if column in row}
        for column, text in values.items():
            if text and is_blank(text):
                return f"`{column}` is empty: it holds only spaces or invisible characters"
        if values and not any(values.values()):
            return f"its {side} is empty ({', '.join(f'`{column}`' for column in values)})"
    return None
