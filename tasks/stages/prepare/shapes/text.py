"""Raw texts, without question and answer."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare.guess import Row, is_text
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts.clean import clean, is_blank

summary = "a text that is learnt as a whole"
makes: Example = "text"

ABOUT = ("text", "url", "title", "source", "meta", "metadata", "timestamp", "date", "author", "language", "license")


class Params(Prepare):
    """Where the text is."""

    shape: Literal["text"]
    text: str = Field(default="text", min_length=1, description="column")


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """No messages: the whole text is the answer."""
    text, identity = clean(raw[params.text]), clean(raw["id"])
    if is_blank(text):
        raise SetAside("blank", f"`{params.text}` is empty")
    return {"id": identity, "messages": [], "answer": text, "row": {"id": identity, "text": text}}


def templates(params: Params) -> Templates:
    """The prompt is the beginning of the text; there is no answer."""
    return {"system": None, "user": "{{ text }}", "answer": None}


def columns(params: Params) -> tuple[str, ...]:
    """The text."""
    return (params.text,)


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """None: a text has no answer to correct."""
    return None


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """One column of text, and no other columns but its metadata."""
    columns = [column for column in (rows[0] if rows else ()) if column != "id"]
    name = columns[0] if len(columns) == 1 else "text"
    is_alone = name in columns and all(column.casefold() in ABOUT for column in columns if column != name)
    if not is_alone or not is_text(rows, name) or _holds_values(rows, name):
        return None
    return {} if name == "text" else {"text": name}


def _holds_values(rows: Sequence[Row], column: str) -> bool:
    """Whether all cells look like lists or objects, as JSON or another language writes them."""
    return all(str(row[column]).lstrip()[:1] in ("[", "{") for row in rows)
