"""Preferences: a prompt and two answers, of which the first was chosen; as texts, as turns, or as whole dialogues."""

from collections.abc import Mapping, Sequence
from typing import Literal

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare import dialogue
from tasks.stages.prepare.guess import Row, columns_set, first_of, holds_turns, is_text, list_columns
from tasks.stages.prepare.params import Pairs
from tasks.stages.prepare.rows import Templates

summary = "a prompt, a chosen and a rejected answer"
makes: Example = "preference"
CHOSEN, REJECTED = ("chosen", "preferred"), ("rejected", "dispreferred")
PROMPTS = ("prompt", "question", "instruction", "conversations", "messages", "input", "context", "query")


class Params(Pairs):
    """The columns of the prompt and the two answers."""

    shape: Literal["preference"]


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The prompt's turns, and both answers."""
    return dialogue.preference(raw, params)


def templates(params: Params) -> Templates:
    """The last question, and the chosen answer."""
    return {"system": params.system, "user": "{{ question }}", "answer": "{{ answer }}"}


def columns(params: Params) -> tuple[str, ...]:
    """Both answers, and optional columns that are set."""
    return (params.chosen, params.rejected, *columns_set(params, "prompt", "system_column"))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """None: a corrected answer is preferred, but no rejected one is known."""
    return None


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """A chosen and a rejected answer by their names, and a prompt unless they are whole dialogues."""
    chosen, rejected = first_of(rows, CHOSEN), first_of(rows, REJECTED)
    if chosen is None or rejected is None:
        return None
    if not all(is_text(rows, side) or holds_turns(rows, side) for side in (chosen, rejected)):
        return None
    others = [column for column in list_columns(rows, PROMPTS) if column not in (chosen, rejected)]
    prompt = first_of(rows, PROMPTS) or next(iter(others), None)
    columns = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return {key: column for key, column in columns.items() if column is not None and column != key}
