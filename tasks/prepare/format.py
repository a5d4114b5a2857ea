"""Turns a row into messages and an answer: the same templates in training, evaluation and serving."""

from tasks.answer import AnswerFormat, format_of
from tasks.errors import AnnealError
from tasks.prepare.params import Prepare
from tasks.template import render


def format_row(row: dict[str, str], params: Prepare) -> dict:
    """`{id, messages, answer, row}`: what the model is asked, what it should say, and the columns it came from."""
    messages = [{"role": "user", "content": render(params.user, row)}]
    if params.system:
        messages.insert(0, {"role": "system", "content": params.system})
    return {"id": row["id"], "messages": messages, "answer": _written(format_of(params.answer), row), "row": row}


def _written(form: AnswerFormat, row: dict[str, str]) -> str:
    """The answer to `row`; AnnealError when a column is missing, or when the answer does not read back as what was written."""
    try:
        answer = form.write(row)
    except KeyError as error:
        raise AnnealError(f"params.yaml: prepare.answer names `{error.args[0]}`, which the rows do not have ({', '.join(row)}).") from None
    if form.read(answer) is None:
        shown = answer if len(answer) <= 80 else f"{answer[:79]}…"
        why = "empty, or reads as its columns in more than one way" if not form.is_json else "not text that can be written"
        raise AnnealError(f"row {row['id']}: its answer {shown!r} is {why}, so no answer could be judged right: mend the row, or params.yaml's prepare.answer.")
    return answer
