"""Turns a row into messages and an answer: the same templates in training, evaluation and serving."""

import json
import unicodedata
from functools import lru_cache
from typing import Any

from tasks.errors import AnnealError
from tasks.prepare.params import Prepare


def clean(text: str) -> str:
    """`text` in Unicode NFC, without control characters (but for line breaks), trailing blanks and outer white space."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    text = "".join(character for character in text if character == "\n" or unicodedata.category(character) not in ("Cc", "Cs"))
    text = unicodedata.normalize("NFC", text)  # last: what stood apart may now be one character
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def render(template: str, row: dict) -> str:
    """The Jinja `template` filled from `row`; AnnealError for a column that the row does not have."""
    from jinja2 import TemplateError

    try:
        return _compiled(template).render(row)
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise AnnealError(f"params.yaml: the template {template!r} does not fit row {row.get('id')}: {error}.") from None


@lru_cache
def _compiled(template: str) -> Any:
    """Compiling costs a hundred times what filling in does, and the gateway fills in one template for every request."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template)


def format_row(row: dict, params: Prepare) -> dict:
    """`{id, messages, answer, row}`: what the model is asked, what it should say, and the columns it came from."""
    if isinstance(params.answer, list):
        missing = [column for column in params.answer if column not in row]
        if missing:
            raise AnnealError(f"params.yaml: prepare.answer names `{missing[0]}`, which the rows do not have ({', '.join(row)}).")
        answer = json.dumps({column: row[column] for column in params.answer}, ensure_ascii=False)
    else:
        answer = render(params.answer, row)
    messages = [{"role": "system", "content": params.system}, {"role": "user", "content": render(params.user, row)}]
    return {"id": row["id"], "messages": messages, "answer": answer, "row": row}
