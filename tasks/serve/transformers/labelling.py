"""Requests to a model that predicts, by /classify or as a chat, and the reply in vLLM's form."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.dataset.rows import Message
from tasks.dialogues import choices
from tasks.dialogues.messages import text_of
from tasks.formats import spans
from tasks.objectives import Head
from tasks.serve import classified
from tasks.serve.gateway.errors import bad
from tasks.serve.transformers.completion_request import CompletionRequest, schema
from tasks.serve.transformers.reading import Prediction
from tasks.texts import images
from tasks.texts.images import NotAnImageError

IMAGE_USAGE = "/tasks/{model} with an image, or a chat of one message with one image_url, a data: URL."
ROLES = ("system", "user", "assistant")
MOST = 1024  # texts of one request
DOES: dict[Head, str] = {
    "classes": "predicts classes",
    "tags": "marks a text",
    "spans": "finds answers in a text",
    "numbers": "returns numbers",
    "scalar": "scores answers",
}


class Texts(BaseModel):
    """The body of /classify; names are vLLM's."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=MOST)]
    )
    user: str | None = None
    priority: int | None = None
    use_activation: Literal[True] | None = None

    @property
    def texts(self) -> list[str]:
        """One or more."""
        return [self.input] if isinstance(self.input, str) else self.input


def read(body: dict[str, object]) -> Texts:
    """The request in `body`; Refusal 400 for what does not fit."""
    try:
        return Texts.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = str(first["loc"][0])[:40]
        raise bad(f"`{where}` is not valid: {first['msg'][:120]}.", where) from None


def reply(model: str, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """The reply to /classify, see tasks/serve/classified.py."""
    entries = [classified.entry(prediction.probabilities or {}) for prediction in predictions]
    return classified.reply(model, entries, sum(len(prediction.token_ids) for prediction in predictions))


def image_of_chat(request: CompletionRequest) -> bytes:
    """The bytes of the image in a chat; Refusal 400 for anything else, and for an address."""
    if request.messages is None or schema(request) not in (None, True):
        where = "prompt" if request.messages is None else "response_format"
        raise bad(f"This model takes images, and answers with its labels as JSON: use {IMAGE_USAGE}", where)
    content = request.messages[0].get("content")
    parts = content if isinstance(content, list) and len(request.messages) == 1 else []
    url = parts[0].get("image_url") if len(parts) == 1 and isinstance(parts[0], dict) else None
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str):
        raise bad(f"This model takes one image and no text: use {IMAGE_USAGE}", "messages")
    try:
        return images.of_url(url)
    except NotAnImageError as error:
        raise bad(f"The image {error}.", "messages", "invalid_image") from None


def example_of_chat(request: CompletionRequest, head: Head) -> str | list[Message]:
    """What a model under `head` reads of a chat: its text, or the messages of a choice; Refusal 400 for what it does
    not read, and for a schema of the client's own.
    """
    if request.messages is None:
        does, route = DOES[head], "/classify, " if head == "classes" else "/rank, " if head == "scalar" else ""
        last = "that ends with answers" if head == "scalar" else "of one message"
        ways = f"{route}/tasks/{request.model.partition('@')[0]}, or send a chat {last}"
        raise bad(f"This model {does} and does not generate text: use {ways}.", "prompt")
    if schema(request) not in (None, True):
        raise bad("This model answers with its predictions as JSON, and supports no other schema.", "response_format")
    return _choice(request.messages) if head == "scalar" else _text(request.messages, head)


def _choice(messages: Sequence[Mapping[str, object]]) -> list[Message]:
    turns: list[Message] = []
    for place, message in enumerate(messages):
        text, role = text_of(message.get("content")), message.get("role")
        if text is None or role not in ROLES:
            raise bad(f"messages[{place}] must be a text by one of these: {', '.join(ROLES)}.", f"messages[{place}]")
        turns.append({"role": str(role), "content": text})
    prompt, answers = choices.split(turns)
    if not prompt or not 1 <= len(answers) <= choices.MOST:
        raise bad(
            f"This model scores answers: send a prompt, then 1 to {choices.MOST} answers to it, each a message by the "
            "assistant.",
            "messages",
        )
    return turns


def _text(messages: Sequence[Mapping[str, object]], head: Head) -> str:
    if len(messages) != 1 or messages[0].get("role") != "user":
        raise bad("This model reads one text: send one message, by the user.", "messages")
    text = text_of(messages[0].get("content"))
    if not text:
        raise bad("messages[0] must have a text as its content.", "messages[0]")
    if head == "spans" and not all(map(str.strip, spans.split_question(text))):
        raise bad(
            "This model answers from a text: send the question on one line, and the text below it.", "messages[0]"
        )
    return text
