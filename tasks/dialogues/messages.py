"""Messages of a chat: their text, whatever the format, and the kind of a logged request.

A version is trained on one kind of request: its template, filled in, after its system message. Other requests say
nothing about whether the task's requests have changed, so they are distinguished here, by their form alone.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

from tasks.errors import AnnealError
from tasks.texts import template
from tasks.texts.clean import clean

TEXT_PARTS = ("text", "refusal", "input_text", "output_text")  # the types of a part that holds text
# paths, as the records have them
CHAT, COMPLETIONS, TASKS, CLASSIFY = "/v1/chat/completions", "/v1/completions", "/tasks/{task}", "/classify"
RANK = "/rank"
TOOL_REASONS = ("tool_calls", "function_call")  # finish_reason of an answer that calls a tool
LIMITS = ("max_tokens", "max_completion_tokens")
# settings that make another answer of the same question, and values that do not
SHAPING: dict[str, tuple[object, ...]] = {
    "temperature": (0,),
    "stop": ([], ""),
    "stop_token_ids": ([],),
    "response_format": ({"type": "text"},),
    "structured_outputs": ({},),
    "guided_json": (), "guided_regex": (), "guided_choice": (), "guided_grammar": (),
    "logit_bias": ({},),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "presence_penalty": (0,), "frequency_penalty": (0,), "repetition_penalty": (1,),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "chat_template": (), "chat_template_kwargs": ({},), "documents": ([],),
    "add_generation_prompt": (True,), "continue_final_message": (False,),
}  # fmt: skip


class Kind(StrEnum):
    """The kind of a logged request. Only a `TASK` is what the version was trained for; the others are only counted."""

    TASK = "requests of the task"
    COMPLETION = "completions"
    TOOLS = "tool calls"
    DIALOGUE = "dialogues of several turns"
    SYSTEM = "other system messages"
    FORM = "texts in another form than the template's"
    MEDIA = "content that is not text"
    UNKNOWN = "requests without a kept input"


def text_of(content: object) -> str | None:
    r"""The text of a message's `content`, a text or a list of parts; None where a part is not a text.

    Parts are joined as vLLM joins them for a template that takes texts (`vllm/renderers/chat_utils.py`): with line
    breaks, empty ones left out.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [_text_of_part(part) for part in content]
    return None if None in texts else "\n".join(text for text in texts if text)


def _text_of_part(part: object) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("type") not in TEXT_PARTS:
        return None
    text = part.get("text", part.get("refusal"))
    return text if isinstance(text, str) else None


def last_text(messages: Sequence[object]) -> str:
    """The user's last message; empty if it is not a text."""
    contents = [
        entry.get("content") for entry in messages if isinstance(entry, Mapping) and entry.get("role") == "user"
    ]
    return (text_of(contents[-1]) or "") if contents else ""


def logged(body: Mapping[str, object]) -> dict[str, object]:
    """The record of a chat's checked `body`: messages, whether it has tools, and which settings shape its answer."""
    has_tools = any(body.get(name) for name in ("tools", "functions"))
    settings = sorted(
        name for name in (*SHAPING, *LIMITS) if name in body and body[name] not in (None, *SHAPING.get(name, ()))
    )
    return (
        {"messages": body["messages"]}
        | ({"tools": True} if has_tools else {})
        | ({"settings": settings} if settings else {})
    )


def is_own_answer(given: object, finish_reason: str | None = None) -> bool:
    """Whether a chat's settings may have changed its answer from the task's: a temperature, a schema, a limit that cut
    it.
    """
    settings = given.get("settings") if isinstance(given, Mapping) and isinstance(given.get("messages"), list) else None
    if not isinstance(settings, list):
        return False
    return any(name not in LIMITS for name in settings) or (bool(settings) and finish_reason == "length")


def kind_of(
    given: object, form: Mapping[str, object], path: str | None = None, finish_reason: str | None = None
) -> Kind:
    """The kind of a logged request: its input `given`, its `path`, and how its answer ended.

    `form` is the version's format.json (`system`, `user`, `tools`: whether its rows have any; to such a version a
    question with tools is a request like the others). Without a path, which old records lack, the input decides.
    """
    if path == COMPLETIONS:
        return Kind.COMPLETION
    if not isinstance(given, Mapping):
        return Kind.UNKNOWN
    messages = given.get("messages")
    if path == TASKS or not isinstance(messages, list):
        is_prompt = path != TASKS and set(given) == {"prompt"} and "prompt" not in template.columns(str(form["user"]))
        return Kind.COMPLETION if is_prompt else Kind.TASK
    if not form.get("tools") and (given.get("tools") or finish_reason in TOOL_REASONS):
        return Kind.TOOLS
    return _kind_of_chat(messages, form)


def _kind_of_chat(messages: Sequence[object], form: Mapping[str, object]) -> Kind:
    if not all(isinstance(entry, Mapping) for entry in messages):
        return Kind.MEDIA
    entries = [entry for entry in messages if isinstance(entry, Mapping)]
    roles = [entry.get("role") for entry in entries]
    if "tool" in roles or "function" in roles or any(entry.get("tool_calls") for entry in entries):
        return Kind.TOOLS
    if [role for role in roles if role not in ("system", "developer")] != ["user"]:
        return Kind.DIALOGUE
    if roles != ["user"] and not (
        roles == ["system", "user"] and _is_same(entries[0].get("content"), form.get("system"))
    ):
        return Kind.SYSTEM
    text = text_of(entries[-1].get("content"))
    if text is None:
        return Kind.MEDIA
    return Kind.TASK if any(template.fits(*pair) for pair in readings(text, str(form["user"]))) else Kind.FORM


def readings(text: str, user: str) -> list[tuple[str, str]]:
    """(text, template) to hold a logged text against the template `user`: as they are, then both cleaned, with personal
    data and without.

    What a client sends may end its lines in another way, or write its letters in parts; what the records keep is
    redacted, the words of the template included.
    """
    return [(text, user), (clean(text), clean(user)), (clean(text), clean(logged_template(user)))]


@lru_cache
def logged_template(user: str) -> str:
    """A template whose words are redacted as in the records; unchanged if that would change the name of a column."""
    redacted = _redacted(user)
    try:
        return redacted if template.columns(redacted) == template.columns(user) else user
    except AnnealError:
        return user


@lru_cache
def _redacted(text: str) -> str:
    from tasks.texts.redaction import redact

    return redact(text)


def _is_same(content: object, system: object) -> bool:
    text = text_of(content)
    return text is not None and isinstance(system, str) and clean(text) in (clean(system), clean(_redacted(system)))
