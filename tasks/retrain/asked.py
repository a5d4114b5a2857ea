"""What a version was asked and what it answered, as the records keep both: the prompt and the answer of a pair or a
rating, redacted once more.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

from tasks.dataset.rows import Message
from tasks.dialogues.messages import is_own_answer, text_of
from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.retrain.sift import PLACEHOLDER
from tasks.retrain.store import Correction
from tasks.retrain.thumbs import Thumb
from tasks.stages.prepare.rows import Templates
from tasks.texts import template
from tasks.texts.clean import clean, has_half_character, is_blank
from tasks.texts.redaction import redact

CUT = "length"  # finish_reason of an answer that ran out of tokens
TemplatesOf = Callable[[str | None], Templates | None]  # the templates of a version; None if they are unknown


Logged = Correction | Thumb


def version_templates(task: str) -> TemplatesOf:
    """The templates of the versions of `task`, as the registry has them; AnnealError if it does not answer."""
    from tasks.versions import registry

    @cache
    def templates_of(number: str | None) -> Templates | None:
        version = registry.read(task).versions.get(number or "")
        if version is None:
            return None
        spec = read_json(registry.folder(version, "adapter") / "format.json")
        return {"system": spec["system"], "user": spec["user"], "answer": spec["answer"]}

    return templates_of


def prompt_of(logged: Logged, templates_of: TemplatesOf) -> list[Message] | str:
    """The messages that the version was asked with, or why they are unknown, in one clause.

    A chat is kept as it was sent. Columns are filled into the templates of the version that answered, not into those
    that params.yaml has now.
    """
    given = logged.input
    if not isinstance(given, Mapping):
        return "its question was not kept"
    messages = given.get("messages")
    if isinstance(messages, list):
        return _sent(messages)
    templates = templates_of(logged.version)
    if templates is None:
        return f"version {logged.version} is not in the registry, so what it was asked is unknown"
    try:
        asked = template.messages(
            templates["system"], templates["user"], {name: clean(str(text)) for name, text in given.items()}
        )
    except AnnealError:
        return f"its columns are not those that version {logged.version} asks for"
    return [cast(Message, {**turn, "content": redact(turn["content"])}) for turn in asked]


def _sent(messages: list[object]) -> list[Message] | str:
    turns = []
    for entry in messages:
        text = text_of(entry.get("content")) if isinstance(entry, Mapping) else None
        if text is None or not isinstance(entry, Mapping):
            return "its question is not a text"
        role = "system" if entry.get("role") == "developer" else str(entry.get("role"))
        turns.append(cast(Message, {"role": role, "content": redact(text)}))
    return turns


def answer_of(logged: Logged) -> str:
    """The version's answer as it was logged, redacted."""
    return redact(logged.output or "")


def why_no_answer(logged: Logged) -> str:
    """Why the logged answer is not one to learn from, in one clause; empty if it is."""
    if is_blank(logged.output or ""):
        return "its answer is empty, or was not kept"
    if has_half_character(logged.output or ""):
        return "its answer holds half a character"
    if logged.finish_reason == CUT:
        return "its answer was cut off at the limit of tokens"
    if is_own_answer(logged.input, logged.finish_reason):
        return "settings of the client shaped its answer (a temperature, a schema)"
    if PLACEHOLDER.search(answer_of(logged)):
        return "its answer holds a redacted part, which the model did not write"
    return ""
