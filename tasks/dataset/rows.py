"""What a row is where it lies on disk: prepared in a split, and answered."""

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from tasks.formats.tools import Tool, ToolCall

# What objectives eat.
Example = Literal["chat", "preference", "rated", "text", "labelled", "tagged", "spans", "image", "scored"]
# {label column: {class: its probability}}; of entities {stretch: {label: …}}; of an answer in a text as in
# tasks/formats/spans.py
Probabilities = Mapping[str, Mapping[str, float]]


class Message(TypedDict):
    """A turn of a dialogue, as chat templates take it."""

    role: str  # system, user, assistant, tool
    content: str
    tool_calls: NotRequired[list[ToolCall]]  # of an assistant
    tool_call_id: NotRequired[str]  # of a tool's result
    name: NotRequired[str]
    weight: NotRequired[float]  # of an assistant's turn in the loss; the template does not see it


class Row(TypedDict):
    """What is asked, the right answer, and what both were made of."""

    id: str
    messages: list[Message]  # none of a text that is gone on with
    answer: str
    row: dict[str, str]  # the columns that the templates name
    tools: NotRequired[list[Tool]]
    calls: NotRequired[list[ToolCall]]  # that the right answer makes
    given: NotRequired[str]  # of a cascade: the beginning of the answer, which the model is asked with, and
    rest: NotRequired[str]  # what follows it


class Prepared(Row):
    """A row as it stands in a split; `answer` is of the last assistant turn that is trained on."""

    rejected: NotRequired[str]
    rating: NotRequired[bool]
    weight: NotRequired[float]  # of the answer in the loss, where it is not 1
    of: NotRequired[str]  # the dataset that it is of, in a mix of whole ones


class Score(TypedDict):
    """How likely a model finds the right answer."""

    nll: float  # negative log-likelihood, in nats, summed over
    tokens: int  # so many of the answer's tokens, its end included; of what tells and does not write: of its choices


class Text(TypedDict):
    """What a model writes."""

    text: str
    token_ids: list[int]  # without the end; none of a model that tells and does not write
    finished: bool  # whether it ended by itself


class Answer(Text, Score):
    """What a model says to a row."""

    probabilities: NotRequired[Probabilities]  # of a model that tells
    told: NotRequired[list[str]]  # the columns that are told, of an answer of which others cannot be
    scales: NotRequired[dict[str, float]]  # {column of numbers: standard deviation in training}


class Answered(Row, Answer):
    """A row of a predictions.jsonl."""

    image: NotRequired[str]  # a data: URL of the image that it is about, of the first ones (tasks/texts/images.py)


class Reply(TypedDict):
    """What a model that tells says to what is read; probabilities of those that have some."""

    token_ids: tuple[int, ...]
    text: str
    probabilities: NotRequired[Probabilities]


Splits = Mapping[str, Sequence[Prepared]]  # {split: its rows}


def as_answer(reply: Reply, likelihood: Score) -> Answer:
    """What a model that tells says to a row."""
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
