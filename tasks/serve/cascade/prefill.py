"""Gives a chat the beginning of its answer: which chats qualify, and reassembling the answer.

vLLM continues a last message of the assistant (`continue_final_message`) and can put it before the answer (`echo`).
But `echo` of a chat makes it work out `prompt_logprobs`, which keeps nothing of a prompt for later ones, and has ended
vLLM 0.32 with LoRA on a CPU; so the answer is put together here.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from tasks.dialogues.messages import text_of

Body = dict[str, Any]  # a JSON object
Message = MutableMapping[str, Any]  # of ASGI
Send = Callable[[Message], Awaitable[None]]
# fields that ask for an answer in another form, or continue one
OTHER_FORMS = ("tools", "functions", "structured_outputs", "continue_final_message", "chat_template")
TEXT = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"'  # a text as JSON writes it


def question(body: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """The messages of a chat with one question, their contents as texts; None for any other, which is not labelled: it
    has tools, images, a form of its own or several turns, or continues an answer.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or any(body.get(name) for name in OTHER_FORMS):
        return None
    if body.get("add_generation_prompt") is False or not all(isinstance(entry, dict) for entry in messages):
        return None
    roles, contents = [entry.get("role") for entry in messages], [text_of(entry.get("content")) for entry in messages]
    if [role for role in roles if role not in ("system", "developer")] != ["user"] or roles[-1] != "user":
        return None
    texts = [content for content in contents if content is not None]
    if len(texts) < len(messages):
        return None
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]


def with_beginning(body: Mapping[str, Any], beginning: str, columns: Sequence[str]) -> Body | None:
    """`body` with the `beginning` of its answer; None if it asks for a form that the answer, an object of `columns`,
    does not have.

    If it asks for JSON, or for a schema that the answer fits, the rest must complete such an object.
    """
    form, later = body.get("response_format") or {"type": "text"}, columns[len(json.loads(beginning + ' ""}')) :]
    is_text = isinstance(form, dict) and form.get("type") == "text"
    if not is_text and not _fits(form, beginning, later):
        return None
    rest = {name: value for name, value in body.items() if name != "response_format"}
    constraint = {} if is_text else {"structured_outputs": {"regex": _rest(later)}}
    turn = {"role": "assistant", "content": beginning}
    continues = {"continue_final_message": True, "add_generation_prompt": False, "echo": False}
    return {**rest, **constraint, **continues, "messages": [*body["messages"], turn]}


def _rest(columns: Sequence[str]) -> str:
    """A regular expression of the rest of an answer: a text, then those of `columns`."""
    return f" {TEXT}" + "".join(f", {re.escape(json.dumps(name))}: {TEXT}" for name in columns) + r"\}"


def _fits(form: object, beginning: str, columns: Sequence[str]) -> bool:
    """True if an answer that begins with `beginning` has the `form` that a client asks for."""
    from jsonschema import SchemaError, ValidationError, validate
    from referencing.exceptions import Unresolvable

    if not isinstance(form, dict) or form.get("type") == "json_object":
        return isinstance(form, dict)
    wrapper = form.get("json_schema")
    schema = wrapper.get("schema") if form.get("type") == "json_schema" and isinstance(wrapper, dict) else None
    if schema is None:
        return False
    example = json.loads(beginning + ' "text"' + "".join(f', {json.dumps(name)}: "text"' for name in columns) + "}")
    try:
        validate(example, schema)
    except (SchemaError, ValidationError, Unresolvable):
        return False
    return True


class PrefixedSend:
    """The `send` of an answer that puts `beginning` before what was written, in each choice."""

    def __init__(self, send: Send, beginning: str) -> None:
        self.send, self.beginning = send, beginning
        self._start: Message = {}
        self._is_answer = self._streams = False
        self._kept = b""
        self._begun = set[int]()  # choices that have had their beginning

    async def __call__(self, message: Message) -> None:
        """The ASGI side of it."""
        if message["type"] == "http.response.start":
            headers = {name.lower(): value for name, value in message.get("headers", ())}
            self._is_answer = message["status"] == 200
            self._streams = headers.get(b"content-type", b"").startswith(b"text/event-stream")
            self._start = message
            if self._is_answer and not self._streams:
                return  # its length is known at the end
        elif message["type"] == "http.response.body" and self._is_answer:
            return await (self._pass_on if self._streams else self._keep)(message)
        await self.send(message)

    async def _keep(self, message: Message) -> None:
        self._kept += message.get("body", b"")
        if message.get("more_body"):
            return
        body = self._with_beginnings(self._kept)
        headers = [(name, value) for name, value in self._start["headers"] if name.lower() != b"content-length"]
        await self.send({**self._start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await self.send({**message, "body": body})

    async def _pass_on(self, message: Message) -> None:
        """Events as they come. Each choice begins with an event of its own, before any that writes."""
        *events, self._kept = (self._kept + message.get("body", b"")).split(b"\n\n")
        body = b"".join(self._event(event) + b"\n\n" for event in events)
        if not message.get("more_body"):
            body, self._kept = body + self._kept, b""
        await self.send({**message, "body": body})

    def _event(self, event: bytes) -> bytes:
        data = event.removeprefix(b"data: ")
        is_beginning = data.startswith(b"{") and b'"role"' in data
        return b"data: " + self._with_beginnings(data) if is_beginning else event

    def _with_beginnings(self, content: bytes) -> bytes:
        value = json.loads(content)
        for choice in value.get("choices") or ():
            written = choice.get("message") or choice.get("delta")
            if choice["index"] not in self._begun and isinstance(written, dict):
                self._begun.add(choice["index"])
                written["content"] = self.beginning + (written.get("content") or "")
        return json.dumps(value).encode()
