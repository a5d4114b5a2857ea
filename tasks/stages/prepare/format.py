"""Turns a row into messages and an answer: the same templates in training, evaluation and serving."""

from typing import cast

from tasks.dataset.rows import Message, Prepared
from tasks.errors import AnnealError
from tasks.formats.answer import AnswerFormat, format_of
from tasks.stages.prepare.rows import Templates
from tasks.texts.template import messages


def fill_templates(row: dict[str, str], form: Templates) -> Prepared:
    """`{id, messages, answer, row}`: the prompt, the expected answer, and the columns that both were made from."""
    prompt = cast("list[Message]", messages(form["system"], form["user"], row))
    return {"id": row["id"], "messages": prompt, "answer": _written(format_of(form["answer"]), row), "row": row}


def _written(form: AnswerFormat, row: dict[str, str]) -> str:
    """The answer to `row`; AnnealError if a column is missing, or if the answer does not read back as its columns."""
    try:
        answer = form.write(row)
    except KeyError as error:
        raise AnnealError(
            f"params.yaml: prepare.answer names `{error.args[0]}`, which the rows do not have ({', '.join(row)})."
        ) from None
    is_filled = all(row[column].strip() for column in form.columns if column in row)  # blank rows are refused elsewhere
    if is_filled and form.read(answer) is None:
        shown = answer if len(answer) <= 80 else f"{answer[:79]}…"
        why = "reads as its columns in more than one way, so no answer could be judged right"
        raise AnnealError(f"row {row['id']}: its answer {shown!r} {why}; fix the row, or params.yaml's prepare.answer.")
    return answer
