"""Dialogues in common formats (ShareGPT, OpenAI, HH): turns with known roles, each with one text."""

import json
import re
from collections.abc import Mapping, Sequence

from tasks.dataset.rows import Message
from tasks.formats.tools import Tool, ToolCall
from tasks.stages.prepare.rows import SetAside
from tasks.stages.prepare.tools import calls_of, identity_of, repeated_id, unknown_call, unknown_tool
from tasks.texts.clean import clean, is_blank

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "calls"),  # an assistant's turn whose text is its calls
    **dict.fromkeys(("tool", "observation", "function", "tool_response", "ipython"), "tool"),
}
FOLLOWERS = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
    "calls": ("tool",),
    "tool": ("assistant", "tool"),
}
ROLE_KEYS, TEXT_KEYS = ("role", "from"), ("content", "value")
SPEAKER = re.compile(r"^(?:Human|Assistant):\s*", re.MULTILINE)  # how HH writes a dialogue as one text


def cell(row: Mapping[str, str], column: str) -> object:
    """The JSON value of a cell; SetAside if it is not JSON."""
    try:
        return json.loads(row[column], parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise SetAside("malformed", f"`{column}` is not JSON ({_short(row[column])})") from None


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def is_turn(value: object) -> bool:
    """Whether a value is a turn: an object with a role."""
    return isinstance(value, Mapping) and any(key in value for key in ROLE_KEYS) and not set(value) >= _CALL_ITEM


_CALL_ITEM = {"name", "arguments"}


def turns_of(value: object, what: str, roles: Mapping[str, str]) -> list[Message]:
    """A list of turns (or a single one) as messages; SetAside for anything else.

    Calls that follow an assistant's turn are merged into it, as in one message of OpenAI's form.
    """
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list):
        raise SetAside("malformed", f"`{what}` is not a list of turns ({_short(value)})")
    if not items:
        raise SetAside("blank", f"`{what}` holds no turn")
    turns: list[Message] = []
    for number, item in enumerate(items, 1):
        turn = _turn(item, f"turn {number} of `{what}`", roles)
        if turn["role"] == "system" and not turn["content"]:
            continue
        if "tool_calls" in turn and not turn["content"] and turns and turns[-1]["role"] == "assistant":
            calls = [*turns[-1].get("tool_calls", ()), *turn["tool_calls"]]
            turns[-1] = {**turns[-1], **turn, "content": turns[-1]["content"], "tool_calls": calls}
        else:
            turns.append(turn)
    return turns


def text_or_turns(text: str, what: str, roles: Mapping[str, str], speaker: str) -> list[Message]:
    """The messages of a cell: turns as JSON or in HH's notation, or else one text by `speaker`."""
    if text[:1] in ("[", "{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if is_turn(value) or (isinstance(value, list) and value and all(map(is_turn, value))):
            return turns_of(value, what, roles)
    cleaned = clean(text)
    if cleaned.startswith(("Human:", "Assistant:")) and len(SPEAKER.findall(cleaned)) > 1:
        return _hh_turns(cleaned)
    return [{"role": speaker, "content": cleaned}]


def _hh_turns(text: str) -> list[Message]:
    marks = list(SPEAKER.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [
        {"role": ROLES[mark[0].split(":")[0].lower()], "content": text[mark.end() : end].strip()}
        for mark, end in zip(marks, ends, strict=True)
    ]


def _turn(item: object, what: str, roles: Mapping[str, str]) -> Message:
    if not isinstance(item, Mapping):
        raise SetAside("malformed", f"{what} is not an object with a role and a text ({_short(item)})")
    role_name = next((item[key] for key in ROLE_KEYS if key in item), None)
    role = roles.get(str(role_name), ROLES.get(str(role_name).lower()))
    if role is None:
        known = ", ".join(sorted({*ROLES, *roles}))
        raise SetAside("malformed", f"{what} has the role {_short(role_name)}; known are {known}")
    content = _text(next((item[key] for key in TEXT_KEYS if key in item), None), what)
    if role == "calls":
        calls = calls_of(_decoded(content, what), what)
        return _with_weight({"role": "assistant", "content": "", "tool_calls": calls}, item, what)
    turn: Message = {"role": role, "content": content}
    if role == "assistant":
        if called := item.get("tool_calls") or item.get("function_call"):
            turn["tool_calls"] = calls_of(called, what)
        return _with_weight(turn, item, what)
    return _with_call(turn, item, what) if role == "tool" else turn


def _with_weight(turn: Message, item: Mapping[str, object], what: str) -> Message:
    if item.get("weight") is not None:
        turn["weight"] = _weight(item["weight"], what)
    return turn


def _with_call(turn: Message, item: Mapping[str, object], what: str) -> Message:
    """A tool's turn with the id of the call and the name of the tool that it is the result of, if it gives them."""
    if call := identity_of(item.get("tool_call_id"), what):
        turn["tool_call_id"] = call
    if name := identity_of(item.get("name"), what):
        turn["name"] = name
    return turn


def _text(value: object, what: str) -> str:
    """The text of a content: a string, or a list of parts of text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return clean("\n".join(_part(part, what) for part in value))
    return json.dumps(value, ensure_ascii=False)  # what a tool returned


def _part(part: object, what: str) -> str:
    text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        kind = part.get("type") if isinstance(part, Mapping) else None
        raise SetAside("malformed", f"{what} has a part that is not text ({_short(kind or part)})")
    return text


def _weight(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1000:
        raise SetAside("malformed", f"{what} has the weight {_short(value)}, which is not a number of 0 or more")
    return float(value)


def _decoded(text: str, what: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise SetAside("malformed", f"{what} calls a tool, and its call is not JSON ({_short(text)})") from None


def check(turns: Sequence[Message], what: str, tools: Sequence[Tool] = ()) -> None:
    """Raise SetAside unless `turns` are in order, end with the assistant, and none is blank."""
    state: str | None = None
    calls: Sequence[ToolCall] = ()
    for number, turn in enumerate(turns, 1):
        role, where = turn["role"], f"turn {number} of `{what}`"
        if role not in FOLLOWERS[state]:
            expected = " or ".join(FOLLOWERS[state])
            raise SetAside("malformed", f"{where} is of the {role}, where a turn of the {expected} is expected")
        if role in ("user", "assistant") and not turn.get("tool_calls") and is_blank(turn["content"]):
            raise SetAside("blank", f"{where}, of the {role}, is empty")
        if role == "tool":
            problems = [unknown_call(turn, calls)]
        else:
            calls = turn.get("tool_calls", ())
            problems = [*(unknown_tool(call, tools) for call in calls), repeated_id(calls)]
        if problem := next(filter(None, problems), None):
            raise SetAside("malformed", f"{where} {problem}")
        state = "calls" if turn.get("tool_calls") else role
    if state not in ("assistant", "calls"):
        raise SetAside("malformed", f"the last turn of `{what}` is not of the assistant")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
