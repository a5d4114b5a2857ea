"""What all shapes share: templates, faults of rows, and the texts by which rows are split and compared."""

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

from tasks.dataset.rows import Prepared, prompt, user_turns
from tasks.dialogues import choices
from tasks.texts.clean import folded

Fault = Literal["blank", "malformed", "no_preference"]


class Templates(TypedDict):
    """The prompt and the answer as made from columns: format.json."""

    system: str | None
    user: str
    # {column: fields}: entities, or a span; {column: number}: numbers; None: a text to continue
    answer: list[str] | str | dict[str, list[str]] | dict[str, str] | None
    context: NotRequired[str]  # column of the text that questions are about: its rows share a split


class SetAside(Exception):
    """Raised for a row that nothing can be learnt from; the message says why, in one clause."""

    def __init__(self, kind: Fault, reason: str) -> None:
        super().__init__(reason)
        self.kind: Fault = kind


def user_text(row: Prepared, columns: Sequence[str]) -> str:
    """What the person wrote: earlier user turns, then the `columns` of the template without its own words."""
    return "\n".join(
        [*user_turns(row)[:-1], *(row["row"][column] for column in columns if column in row["row"])]
    ) or prompt(row)


def duplicate_key(row: Prepared, question: str) -> str:
    """The folded text by which rows are duplicates: the (folded) question, and rated or preferred answers with it."""
    if "rejected" in row:
        return folded("\n".join([question, *sorted((row["answer"], row["rejected"]))]))
    _, answers = choices.split(row["messages"])
    if len(answers) > 1:
        return folded("\n".join([question, *sorted(answers)]))
    return folded(f"{question}\n{row['answer']}") if "rating" in row else question


def table(row: Prepared) -> dict[str, str]:
    """The columns that the suite for prepared rows checks, without the split."""
    more = {"rejected": row["rejected"]} if "rejected" in row else {}
    if "rating" in row:
        more["rating"] = "true" if row["rating"] else "false"
    return {**row["row"], "prompt": prompt(row), "answer": row["answer"], **more}
