"""Types of rows on disk: prepared rows of a split, and answered rows."""

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from tasks.formats.tools import Tool, ToolCall

# The kinds of examples that objectives accept.
Example = Literal[
    "chat", "preference", "rated", "text", "labelled", "tagged", "spans", "image", "scored", "choice", "infill"
]
# {label column: {class: probability}}; for entities {span: {label: probability}}; for extracted answers as in
# tasks/formats/spans.py
Probabilities = Mapping[str, Mapping[str, float]]


class Message(TypedDict):
    """A turn of a dialogue, as chat templates take it."""

    role: str  # system, user, assistant, tool
    content: str
    tool_calls: NotRequired[list[ToolCall]]  # of an assistant
    tool_call_id: NotRequired[str]  # of a tool's result
    name: NotRequired[str]
    weight: NotRequired[float]  # of an assistant's turn in the loss; not passed to the template


class Infill(TypedDict):
    """The two sides of a hole that the answer fills, and the order in which they are learnt."""

    prefix: str
    suffix: str
    order: Literal["psm", "spm"]


class Row(TypedDict):
    """A prompt, the right answer, and the columns that both were made from."""

    id: str
    messages: list[Message]  # empty for a text to continue
    answer: str
    row: dict[str, str]  # the columns that the templates name
    tools: NotRequired[list[Tool]]
    calls: NotRequired[list[ToolCall]]  # of the right answer
    given: NotRequired[str]  # of a cascade: the beginning of the answer, which ends the prompt, and
    rest: NotRequired[str]  # what follows it
    infill: NotRequired[Infill]  # of a text with a hole, which has no messages


class Prepared(Row):
    """A row of a split; `answer` is the last assistant turn that is trained on."""

    rejected: NotRequired[str]
    rating: NotRequired[bool]
    margin: NotRequired[float]  # by which the better answer of a choice is better
    mate: NotRequired[str]  # of a rated row: the answer to another prompt (tasks/stages/reference.py)
    reference: NotRequired[list[float]]  # log-probability (nats) under the reference: chosen, rejected; answer, mate
    weight: NotRequired[float]  # of the answer in the loss, if it is not 1
    of: NotRequired[str]  # the dataset that the row comes from, in a mix of whole datasets


class Score(TypedDict):
    """The likelihood of the right answer."""

    nll: float  # negative log-likelihood in nats, summed over
    tokens: int  # this many tokens of the answer, its end included; for models that predict, this many choices


class Text(TypedDict):
    """Generated text."""

    text: str
    token_ids: list[int]  # without the end; empty for models that predict classes, numbers or spans
    finished: bool  # whether it ended by itself


class Answer(Text, Score):
    """A model's answer to a row."""

    probabilities: NotRequired[Probabilities]  # of models that predict
    told: NotRequired[list[str]]  # the predicted columns, if the answer has columns that are not predicted
    scales: NotRequired[dict[str, float]]  # {column of numbers: standard deviation in training}


class Answered(Row, Answer):
    """A row of a predictions.jsonl."""

    image: NotRequired[str]  # its image as a data: URL, in the first rows only (tasks/texts/images.py)


class Reply(TypedDict):
    """What a model that predicts (classes, numbers, spans) returns for a text."""

    token_ids: tuple[int, ...]
    text: str
    probabilities: NotRequired[Probabilities]


Splits = Mapping[str, Sequence[Prepared]]  # {split: its rows}


def user_turns(row: Prepared) -> list[str]:
    """The contents of the user messages, templates included; none in a row that is a text."""
    return [message["content"] for message in row["messages"] if message["role"] == "user"]


def prompt(row: Prepared) -> str:
    """The user messages as one text; the text itself of a row without any, its hole filled."""
    if hole := row.get("infill"):
        return f"{hole['prefix']}{row['answer']}{hole['suffix']}"
    turns = user_turns(row)
    return "\n".join(turns) if turns else row["answer"]


def as_answer(reply: Reply, likelihood: Score) -> Answer:
    """The answer to a row of a model that predicts."""
    answer: Answer = {
        "text": reply["text"],
        "token_ids": [],
        "finished": True,
        "nll": likelihood["nll"],
        "tokens": likelihood["tokens"],
    }
    if "probabilities" in reply:
        answer["probabilities"] = reply["probabilities"]
    return answer
