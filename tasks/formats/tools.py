"""Tool calls: parsed from a model's output, written as canonical JSON, and validated against the tools of a row.

A call is `{"name": str, "arguments": object}`. Models write it in Hermes form (`<tool_call>{…}</tool_call>`), and data
hold it as a JSON list; both are read.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired, TypedDict, cast

HERMES = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
# What a template writes before a call, and the name of vLLM's parser that reads it back.
PARSERS = {"<tool_call>": "hermes", "[TOOL_CALLS]": "mistral", "<|python_tag|>": "llama3_json"}


class Call(TypedDict):
    """A call of a tool."""

    name: str
    arguments: dict[str, object]


class ToolCall(TypedDict):
    """A call in a message."""

    id: NotRequired[str]
    type: NotRequired[str]
    function: Call


class Function(TypedDict):
    """The definition of a function."""

    name: str
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, object] | None]  # the JSON schema of its arguments


class Tool(TypedDict):
    """A tool, as data and chat templates have it."""

    type: NotRequired[str]
    function: Function


class MalformedCallError(ValueError):
    """A text that begins a tool call and is not a complete one."""


def read(text: str) -> list[Call] | None:
    """The calls in an answer; None if it calls nothing. Raises MalformedCallError if a call is not complete.

    Text beside calls is left out. A JSON list (or one object) that holds nothing but calls is read as calls.
    """
    blocks = HERMES.findall(text)
    if blocks:
        return [call_of(_json(block)) for block in blocks]
    try:
        value = _json(text)
    except MalformedCallError:
        return None
    entries = value if isinstance(value, list) else [value]
    try:
        return [call_of(entry) for entry in entries] or None
    except MalformedCallError:
        return None


def canonical(calls: Iterable[Mapping[str, object]]) -> str:
    """Calls as one text, the same for calls that are equal as JSON: their order matters, that of keys does not."""
    plain = [{"name": call["name"], "arguments": _plain(call["arguments"])} for call in calls]
    return json.dumps(plain, ensure_ascii=False, sort_keys=True)


def of_message(calls: Iterable[ToolCall]) -> list[Call]:
    """The calls of a message's `tool_calls`; MalformedCallError for an entry that is not a call."""
    return [call_of(entry["function"]) for entry in calls]


def problem(calls: Iterable[Call], tools: Iterable[Tool]) -> str | None:
    """Why `calls` are not calls of `tools`, in one clause; None if names are known and arguments fit the schemas."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
    for call in calls:
        if call["name"] not in schemas:
            return f"there is no tool `{call['name']}` ({', '.join(schemas) or 'there are none'})"
        if reason := _misfit(call["arguments"], schemas[call["name"]]):
            return f"the arguments of `{call['name']}` do not fit: {reason}"
    return None


def _misfit(arguments: Mapping[str, object], schema: Mapping[str, object]) -> str | None:
    """Why `arguments` do not fit; None also if the schema is invalid or refers to others: nothing is fetched."""
    from jsonschema.exceptions import SchemaError, ValidationError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
        kind(schema, registry=Registry()).validate(arguments)
    except ValidationError as error:
        return str(error.message)
    except (SchemaError, Unresolvable, RecursionError):
        return None
    return None


def template_tools(tools: Iterable[Tool]) -> list[Tool]:
    """`tools` with only the keys that vLLM passes to a template."""
    return [{"type": "function", "function": _template_function(tool["function"])} for tool in tools]


def _template_function(function: Function) -> Function:
    description, parameters = function.get("description"), function.get("parameters")
    return {"name": function.get("name"), "description": description, "parameters": parameters}


def openai_messages(messages: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """`messages` as OpenAI's API takes them: calls have ids (their own, or numbered), arguments are JSON in a text.

    A result that names no call is matched to the next call, in order.
    """
    turns = [{key: value for key, value in turn.items() if key != "weight"} for turn in messages]
    ids, answered = list[str](), 0
    for turn in turns:
        if calls := cast("list[ToolCall] | None", turn.get("tool_calls")):
            new = [call.get("id", f"call_{len(ids) + place}") for place, call in enumerate(calls)]
            pairs = zip(new, calls, strict=True)
            turn["tool_calls"] = [{"id": id_, **call, "function": _openai(call["function"])} for id_, call in pairs]
            ids += new
        elif turn["role"] == "tool":
            turn.setdefault("tool_call_id", ids[answered] if answered < len(ids) else f"call_{answered}")
            answered += 1
    return turns


def _openai(function: Call) -> dict[str, str]:
    return {"name": function["name"], "arguments": json.dumps(function["arguments"], ensure_ascii=False)}


def parser(template: str) -> str | None:
    """The name of vLLM's parser for the calls that a chat template writes; None if none is known."""
    return next((name for mark, name in PARSERS.items() if mark in template), None)


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
        return value
    except (ValueError, RecursionError):
        raise MalformedCallError(text[:80]) from None


def call_of(value: object) -> Call:
    """`value` as a call; arguments may be JSON text, as OpenAI sends them, and their key may be `parameters`."""
    if not isinstance(value, Mapping):
        raise MalformedCallError(str(value)[:80])
    arguments = value.get("arguments", value.get("parameters"))
    arguments = _json(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(value.get("name"), str) or not isinstance(arguments, Mapping):
        raise MalformedCallError(str(value)[:80])
    return {"name": value["name"], "arguments": dict(arguments)}


def _plain(value: object) -> object:
    """A JSON value in which 5.0 becomes 5, since both are the same number in JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
