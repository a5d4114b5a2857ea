"""Requests to a model that reads, by /classify or as a chat, and the answer in vLLM's form."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.dialogues.messages import text_of
from tasks.formats import spans
from tasks.objectives import Head
from tasks.serve import classified
from tasks.serve.gateway.errors import bad
from tasks.serve.transformers.asked import Asked, schema
from tasks.serve.transformers.reading import Said
from tasks.texts import images
from tasks.texts.images import NotAnImageError

SEES = "/tasks/{model} with an image, or a chat of one message with one image_url, a data: URL."
MOST = 1024  # texts of one request
DOES: dict[Head, str] = {
    "classes": "tells classes",
    "tags": "marks a text",
    "spans": "finds answers in a text",
    "numbers": "tells numbers",
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


def reply(asked: Texts, said: Sequence[Said]) -> dict[str, Any]:
    """vLLM's answer, see tasks/serve/classified.py."""
    tokens = sum(len(told.token_ids) for told in said)
    return classified.reply(asked.model, [classified.entry(told.probabilities or {}) for told in said], tokens)


def image_of_chat(asked: Asked) -> bytes:
    """The bytes of the image that a chat asks about; Refusal 400 for anything else, and for an address."""
    if asked.messages is None or schema(asked) not in (None, True):
        where = "prompt" if asked.messages is None else "response_format"
        raise bad(f"This model takes images, and answers with its labels as JSON: use {SEES}", where)
    content = asked.messages[0].get("content")
    parts = content if isinstance(content, list) and len(asked.messages) == 1 else []
    url = parts[0].get("image_url") if len(parts) == 1 and isinstance(parts[0], dict) else None
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str):
        raise bad(f"This model takes one image and no text: use {SEES}", "messages")
    try:
        return images.of_url(url)
    except NotAnImageError as why:
        raise bad(f"The image {why}.", "messages", "invalid_image") from None


def text_of_chat(asked: Asked, head: Head) -> str:
    """The text that a chat asks a model under such a head about; Refusal 400 for more than one message, and for a
    schema of the client's own.
    """
    if asked.messages is None:
        does, route = DOES[head], "/classify, " if head == "classes" else ""
        ways = f"{route}/tasks/{asked.model.partition('@')[0]}, or send a chat of one message"
        raise bad(f"This model {does} and does not generate text: use {ways}.", "prompt")
    if schema(asked) not in (None, True):
        raise bad("This model answers with its predictions as JSON, and supports no other schema.", "response_format")
    if len(asked.messages) != 1 or asked.messages[0].get("role") != "user":
        raise bad("This model reads one text: send one message, by the user.", "messages")
    text = text_of(asked.messages[0].get("content"))
    if not text:
        raise bad("messages[0] must have a text as its content.", "messages[0]")
    if head == "spans" and not all(map(str.strip, spans.split_question(text))):
        raise bad(
            "This model answers from a text: send the question on one line, and the text below it.", "messages[0]"
        )
    return text
