"""Tools and tool calls, in the form that chat templates take."""

import json
from collections.abc import Mapping, Sequence

from tasks.dataset.rows import Message
from tasks.formats.tools import Function, Tool, ToolCall
from tasks.stages.prepare.rows import SetAside


def tools_of(value: object, what: str) -> list[Tool]:
    """The functions that a dialogue may call (a list, or one; bare, or as OpenAI wraps them; as JSON text too)."""
    value = _plain(value, what)
    items = [value] if isinstance(value, Mapping) else value or []
    if not isinstance(items, list):
        raise SetAside("malformed", f"`{what}` is not a list of tools")
    return [_tool(_plain(item, what), f"tool {number} of `{what}`") for number, item in enumerate(items, 1)]


def _tool(item: object, what: str) -> Tool:
    function = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise SetAside("malformed", f"{what} has no name")
    parameters = _plain(function.get("parameters") or {"type": "object", "properties": {}}, what)
    if not isinstance(parameters, Mapping):
        raise SetAside("malformed", f"the parameters of {what} are not a JSON schema")
    description = str(function.get("description") or "")
    about: Function = {"name": function["name"], "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": about}


def calls_of(value: object, what: str) -> list[ToolCall]:
    """The calls of a turn (a list, or one; bare, or as OpenAI wraps them; arguments as an object or as JSON text)."""
    value = _plain(value, what)
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list) or not items:
        raise SetAside("malformed", f"{what} calls a tool, and its call is not an object with a name and arguments")
    return [_call(_plain(item, what), what) for item in items]


def _call(item: object, what: str) -> ToolCall:
    function = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise SetAside("malformed", f"{what} calls a tool without a name")
    arguments = function.get("arguments", function.get("parameters"))
    arguments = {} if arguments in (None, "") else _plain(arguments, what)
    if not isinstance(arguments, Mapping):
        raise SetAside("malformed", f"{what} calls {function['name']}, and its arguments are not an object")
    call: ToolCall = {"type": "function", "function": {"name": function["name"], "arguments": dict(arguments)}}
    identity = identity_of(item.get("id") if isinstance(item, Mapping) else None, what)
    return {"id": identity, **call} if identity else call


def identity_of(value: object, what: str) -> str | None:
    """The id of a call in a call or a result; None if it has none."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise SetAside("malformed", f"{what} has {value!r} for the id of a call, which is not a text")
    return str(value)


def _plain(value: object, what: str) -> object:
    """A value, parsed if it is JSON text; None for an empty text."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        shown = value if len(value) <= 40 else f"{value[:39]}…"
        raise SetAside("malformed", f"{what} holds {shown!r}, which is not JSON") from None


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def unknown_tool(call: ToolCall, tools: Sequence[Tool]) -> str:
    """Why a call is of none of the `tools`; empty if it is, or if the dialogue has no tools."""
    names = [tool["function"]["name"] for tool in tools]
    name = call["function"]["name"]
    return f"calls `{name}`, which is not one of its tools ({', '.join(names)})" if names and name not in names else ""


def unknown_call(result: Message, calls: Sequence[ToolCall]) -> str:
    """Why a tool's `result` belongs to none of the `calls` before it; empty if it does, or if it names none."""
    for key, names in (
        ("tool_call_id", [call["id"] for call in calls if "id" in call]),
        ("name", [call["function"]["name"] for call in calls]),
    ):
        value = result.get(key)
        if value is not None and value not in names:
            known = ", ".join(names) or "the calls have none"
            return f"is the result of `{value}`, which is not the {key} of an earlier call ({known})"
    return ""


def repeated_id(calls: Sequence[ToolCall]) -> str:
    """Why the ids of `calls` do not identify them; empty if they do."""
    ids = [call["id"] for call in calls if "id" in call]
    repeated = next((identity for identity in ids if ids.count(identity) > 1), None)
    return f"gives the id `{repeated}` to two calls" if repeated else ""


def to_json(calls: Sequence[ToolCall]) -> str:
    """The calls as the text of an answer: `[{"name": …, "arguments": {…}}]`."""
    functions = [call["function"] for call in calls]
    pairs = [{"name": function["name"], "arguments": function["arguments"]} for function in functions]
    return json.dumps(pairs, ensure_ascii=False)
