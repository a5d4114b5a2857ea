"""Separates the labels of an answer from its free text, and the question and answer of a row from the template."""

from collections.abc import Mapping, Sequence

from tasks.dataset.rows import Prepared
from tasks.formats.answer import TEXT, format_of
from tasks.stages.prepare.rows import Templates
from tasks.texts import template
from tasks.texts.clean import clean

LABEL_LENGTH = 40  # characters


def asked_columns(rows: Sequence[Mapping[str, str]], user: str) -> tuple[str, ...]:
    """The columns of the template `user` that differ between rows, so not an instruction that is the same in all; all
    columns if none differs.
    """
    columns = template.columns(user)
    return tuple(column for column in columns if len({row.get(column) for row in rows}) > 1) or columns


def question(row: Mapping[str, str], columns: Sequence[str]) -> str:
    """What the person wrote: the `columns` of the template, without its own words."""
    return "\n".join(row[column] for column in columns if column in row)


def answers(row: Prepared, form: Templates) -> dict[str, str]:
    """The answer of a row by column (the whole answer if it has no columns of the row), or its preference or rating;
    empty for a text.
    """
    if "rejected" in row:
        return {"preferred": "first" if row["answer"] <= row["rejected"] else "second"}  # in alphabetical order
    if "rating" in row:
        return {"rating": "good" if row["rating"] else "bad"}
    if not row["messages"]:
        return {}
    columns = [column for column in format_of(form["answer"]).columns if column in row["row"]]
    return {column: row["row"][column] for column in columns} or {TEXT: row["answer"]}


def label_columns(questions: Sequence[str], row_answers: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The columns of the answers to (folded) questions that are labels: two values for one question contradict each
    other.

    A label is a column whose values are all short and on one line, or recur: at most half as many values as pairs of a
    question and a value. The rest is free text, of which a question may have more than one.
    """
    labels = []
    for column in row_answers[0] if row_answers else ():
        pairs = {(text, clean(answer[column])) for text, answer in zip(questions, row_answers, strict=True)}
        values = {value for _, value in pairs}
        is_short = all(len(value) <= LABEL_LENGTH and "\n" not in value for value in values)
        if is_short or 2 * len(values) <= len(pairs):
            labels.append(column)
    return tuple(labels)
