"""Separates the labels of an answer from its free text, and the question and answer of a row from the template."""

from collections.abc import Mapping, Sequence

from tasks.dataset.rows import Prepared
from tasks.formats.answer import TEXT, format_of
from tasks.stages.prepare.rows import Templates
from tasks.texts import template
from tasks.texts.clean import clean

LABEL_LENGTH = 40  # characters


def asked_columns(rows: Sequence[Mapping[str, str]], user: str) -> tuple[str, ...]:
    """The columns of the template `user` in which a person wrote something: an instruction that is the same in all
    `rows` is none.

    All of them where the rows differ in none.
    """
    columns = template.columns(user)
    return tuple(column for column in columns if len({row.get(column) for row in rows}) > 1) or columns


def question(row: Mapping[str, str], columns: Sequence[str]) -> str:
    """What the person wrote: the `columns` of the template, without its own words."""
    return "\n".join(row[column] for column in columns if column in row)


def answers(row: Prepared, form: Templates) -> dict[str, str]:
    """What a row answers, by column: the whole answer where it has no columns of the row; which of two is preferred, or
    the rating; of a text nothing.
    """
    if "rejected" in row:
        return {"preferred": "first" if row["answer"] <= row["rejected"] else "second"}  # in the order of their letters
    if "rating" in row:
        return {"rating": "good" if row["rating"] else "bad"}
    if not row["messages"]:
        return {}
    columns = [column for column in format_of(form["answer"]).columns if column in row["row"]]
    return {column: row["row"][column] for column in columns} or {TEXT: row["answer"]}


def label_columns(questions: Sequence[str], given: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The columns of the answers to (folded) questions that are labels, so that two values for the same question
    contradict each other.

    A label is a column whose values are all short and on one line, or recur: at most half as many values as pairs of a
    question and a value. The rest is free text, of which a question may have more than one.
    """
    labels = []
    for column in given[0] if given else ():
        pairs = {(text, clean(answer[column])) for text, answer in zip(questions, given, strict=True)}
        values = {value for _, value in pairs}
        is_short = all(len(value) <= LABEL_LENGTH and "\n" not in value for value in values)
        if is_short or 2 * len(values) <= len(pairs):
            labels.append(column)
    return tuple(labels)
