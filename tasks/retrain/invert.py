"""Reads the columns back out of messages that a client wrote with a task's template, where there is only one way to do so."""

import re
from collections.abc import Iterable


def columns_of_input(given: dict | None, template: dict, columns: list[str], one_line: Iterable[str]) -> dict[str, str] | None:
    """The template's `columns` of a logged input, or None where they cannot be told.

    `given` is `{column: text}` or `{"messages": […]}`; `one_line` names the columns that never hold a line break.
    """
    if not isinstance(given, dict):
        return None
    if "messages" not in given:
        whole = set(given) == set(columns) and all(isinstance(text, str) for text in given.values())
        return {column: given[column] for column in columns} if whole else None
    asked = given["messages"]
    if not isinstance(asked, list) or not all(isinstance(message, dict) for message in asked):
        return None
    roles = [message.get("role") for message in asked]
    if roles not in (["user"], ["system", "user"]) or (roles[0] == "system" and asked[0].get("content") != template["system"]):
        return None  # another instruction is another task, and a dialogue is not what was trained
    text = asked[-1].get("content")
    return invert(text, template["user"], one_line) if isinstance(text, str) else None


def invert(text: str, template: str, one_line: Iterable[str] = ()) -> dict[str, str] | None:
    """The columns from which the Jinja `template` makes `text`, or None when there are none or more than one set of them."""
    parts = _parts(template)
    if parts is None:
        return None
    found = [_match(text, parts, set(one_line), lazy) for lazy in (True, False)]
    return found[0] if found[0] is not None and found[0] == found[1] else None


def _parts(template: str) -> list[tuple[str, str]] | None:
    """(kind, text) of each piece of a template of plain words and plain columns; None for one that computes something."""
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

    found = []
    for output in SandboxedEnvironment(keep_trailing_newline=True).parse(template).body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                found.append(("words", node.data))
            elif isinstance(node, nodes.Name):
                found.append(("column", node.name))
            else:
                return None
    return found


def _match(text: str, parts: list[tuple[str, str]], one_line: set[str], lazy: bool) -> dict[str, str] | None:
    """The columns when each takes as little as it can (`lazy`), or as much: where both agree there is one way only.

    That a column holds no line break matters where the template ends it with one.
    """
    pattern, seen = "", {}
    for (kind, piece), (_, after) in zip(parts, [*parts[1:], ("words", "")], strict=True):
        if kind == "words":
            pattern += re.escape(piece)
        elif piece in seen:
            pattern += f"(?P={seen[piece]})"
        else:
            seen[piece] = f"c{len(seen)}"
            any_character = r"[^\n]" if piece in one_line and after.startswith("\n") else "."
            pattern += f"(?P<{seen[piece]}>{any_character}*{'?' if lazy else ''})"
    match = re.fullmatch(pattern, text, re.DOTALL)
    return {column: match[group] for column, group in seen.items()} if match else None
