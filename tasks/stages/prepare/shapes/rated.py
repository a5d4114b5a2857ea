"""Rated answers (KTO): a dialogue, or a prompt and an answer, and whether the answer is good."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare import dialogue
from tasks.stages.prepare.dialogue import ANSWER, QUESTION
from tasks.stages.prepare.guess import Row, columns_set, first_of, is_text, list_columns
from tasks.stages.prepare.params import Prepare, Role, System
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.stages.prepare.turns import text_or_turns
from tasks.texts.clean import clean

summary = "an answer, and whether it is good"
makes: Example = "rated"
RATINGS = {
    **dict.fromkeys(("true", "yes", "1", "good", "desirable", "up", "thumbs_up", "+1", "👍"), True),
    **dict.fromkeys(("false", "no", "0", "bad", "undesirable", "down", "thumbs_down", "-1", "👎"), False),
}
LABELS = ("label", "rating", "kto_tag", "desirable", "thumbs", "feedback", "is_good")
DIALOGUES = ("messages", "conversations", "conversation", "dialogue", "turns")
PROMPTS, ANSWERS = ("prompt", "question", "instruction", "query"), ("completion", "response", "answer", "output")


class Params(Prepare):
    """The columns of the answer and its label."""

    shape: Literal["rated"]
    messages: str = Field(default="messages", min_length=1, description="column of a whole dialogue")
    prompt: str = Field(default="prompt", min_length=1, description="column, if the answer has a column of its own")
    answer: str | None = Field(
        default=None, min_length=1, description="column; empty if the dialogue ends with the answer"
    )
    label: str = Field(default="label", min_length=1, description="column: true or false, yes or no, 1 or 0")
    system: System = None
    system_column: str = Field(default="system", min_length=1, description="column, if the rows have it")
    roles: dict[str, Role] = Field(default={}, description="your names for the standard roles: {human: user}")


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The turns before the answer, the answer, and its rating."""
    word = clean(raw[params.label]).casefold()
    if word not in RATINGS:
        raise SetAside("malformed", f"`{params.label}` is {raw[params.label][:40]!r}, which is neither true nor false")
    if params.answer is None:
        turns, column = text_or_turns(raw[params.messages], params.messages, params.roles, "user"), params.messages
    else:
        turns, column = text_or_turns(raw[params.prompt], params.prompt, params.roles, "user"), params.answer
        turns += text_or_turns(raw[params.answer], params.answer, params.roles, "assistant")
    if turns[-1]["role"] != "assistant":
        raise SetAside("malformed", f"the last turn of `{column}` is not of the assistant")
    system = clean(raw.get(params.system_column, "")) or params.system
    messages = dialogue.prompt(turns[:-1], column, system)
    answer, identity = dialogue.require_text(turns[-1]["content"], column), clean(raw["id"])
    row = {"id": identity, QUESTION: dialogue.last_question(messages), ANSWER: answer}
    return {"id": identity, "messages": messages, "answer": answer, "row": row, "rating": RATINGS[word]}


def templates(params: Params) -> Templates:
    """The last question, and the answer."""
    return {"system": params.system, "user": "{{ question }}", "answer": "{{ answer }}"}


def columns(params: Params) -> tuple[str, ...]:
    """The dialogue, or prompt and answer; the label, and optional columns that are set."""
    turns = (params.messages,) if params.answer is None else (params.prompt, params.answer)
    return (*turns, params.label, *columns_set(params, "system_column"))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """None: a correction is not a rating."""
    return None


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """A column of yes and no, and a dialogue, or a prompt and an answer by their names."""
    label = first_of(rows, LABELS)
    if label is None or not all(_word(row.get(label)) in RATINGS for row in rows):
        return None
    label_column: dict[str, object] = {} if label == "label" else {"label": label}
    prompt, answer = first_of(rows, PROMPTS), first_of(rows, ANSWERS)
    prompt = prompt or next((column for column in list_columns(rows, PROMPTS) if column != answer), None)
    if prompt and answer and (is_text(rows, answer) or answer in list_columns(rows, ANSWERS)):
        return label_column | {"answer": answer} | ({} if prompt == "prompt" else {"prompt": prompt})
    for column in list_columns(rows, DIALOGUES):
        return label_column | ({} if column == "messages" else {"messages": column})
    return None


def _word(value: object) -> str:
    return str(value).strip().casefold()
