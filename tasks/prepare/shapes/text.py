"""Texts as they are, without question and answer."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tasks.clean import clean, is_blank
from tasks.prepare.guess import Row, holds_turns, is_text
from tasks.prepare.params import Prepare
from tasks.prepare.rows import Example, Prepared, SetAside, Templates

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
    """A text goes on as it begins."""
    return {"system": None, "user": "{{ text }}", "answer": None}


def columns(params: Params) -> tuple[str, ...]:
    """The text."""
    return (params.text,)


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """One column of text, and no other."""
    columns = [column for column in (rows[0] if rows else ()) if column != "id"]
    alone = len(columns) == 1 or (columns and "text" in columns and not _asks(columns))
    name = columns[0] if len(columns) == 1 else "text"
    return (
        ({} if name == "text" else {"text": name})
        if alone and is_text(rows, name) and not holds_turns(rows, name)
        else None
    )


def _asks(columns: Sequence[str]) -> bool:
    """Whether another column could be an answer to the text: anything but what says where it comes from."""
    return any(column.casefold() not in ABOUT for column in columns)
