"""What is judged of a prepared row, whatever the shape that it came from, and what makes it of columns."""

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

from tasks.dataset.rows import Prepared
from tasks.texts.clean import folded

Fault = Literal["blank", "malformed", "no_preference"]


class Templates(TypedDict):
    """The prompt and the answer as made from columns: format.json."""

    system: str | None
    user: str
    # {column: fields}: entities, or a span; {column: number}: numbers; None: a text that goes on
    answer: list[str] | str | dict[str, list[str]] | dict[str, str] | None
    context: NotRequired[str]  # the column of a text that rows ask about: they share a split; all else is on one line


class SetAside(Exception):
    """A row that nothing can be learnt from; its words say why, in one clause."""

    def __init__(self, kind: Fault, reason: str) -> None:
        super().__init__(reason)
        self.kind: Fault = kind


def prompt(row: Prepared) -> str:
    """All that the person said, with the template around the last of it; the text of a row that asks nothing."""
    turns = [message["content"] for message in row["messages"] if message["role"] == "user"]
    return "\n".join(turns) if turns else row["answer"]


def user_text(row: Prepared, columns: Sequence[str]) -> str:
    """What the person wrote: earlier turns, then the `columns` of the template without its own words."""
    turns = [message["content"] for message in row["messages"] if message["role"] == "user"][:-1]
    return "\n".join([*turns, *(row["row"][column] for column in columns if column in row["row"])]) or prompt(row)


def duplicate_key(row: Prepared, question: str) -> str:
    """The folded text by which a row with this (folded) question repeats another: rated and preferred answers belong to
    it.
    """
    if "rejected" in row:
        return folded("\n".join([question, *sorted((row["answer"], row["rejected"]))]))
    return folded(f"{question}\n{row['answer']}") if "rating" in row else question


def table(row: Prepared) -> dict[str, str]:
    """The columns that the suite for prepared rows sees, but the split."""
    more = {"rejected": row["rejected"]} if "rejected" in row else {}
    if "rating" in row:
        more["rating"] = "true" if row["rating"] else "false"
    return {**row["row"], "prompt": prompt(row), "answer": row["answer"], **more}
