"""Refuses JSON schemas that vLLM fails on: those that refer to themselves, to something missing, or to another
document.
"""

import json
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from tasks.serve.gateway.errors import bad

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
ANCHORS = ("$anchor", "$dynamicAnchor")
BY_NAME = (
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependencies",
)  # {name: schema}
DATA = ("const", "enum", "default", "example", "examples")  # their content is a value, not a schema


def check(body: Mapping[str, object]) -> None:
    """Refusal 400 when a schema in the `response_format`, `structured_outputs` or `tools` cannot be followed."""
    for param, schema in _schemas(body):
        if reason := problem(schema):
            raise bad(f"`{param}` has a JSON schema {reason}.", param, "invalid_schema")


def problem(schema: object) -> str | None:
    """Why the references of `schema` cannot be followed, in a clause that goes on after "a schema"; None when they can.

    A schema is a graph: from a schema to those inside it, and from a reference to what it names. One that refers to
    itself is a cycle there, found by a depth-first search without recursion: chains of references may be long.
    """
    anchors = _anchors(schema)
    entered, left = set[int](), set[int]()
    stack: list[tuple[object, str, bool]] = [(schema, "#", False)]  # (node, last reference on the way, was it entered)
    while stack:
        node, reference, is_done = stack.pop()
        if is_done:
            left.add(id(node))
            continue
        if id(node) in left:
            continue
        if id(node) in entered:
            return f"that refers to itself (`{reference[:80]}`); write out as many levels as you need"
        entered.add(id(node))
        stack.append((node, reference, True))
        stack += [(child, reference, False) for child in _children(node)]
        for name in _references(node):
            if not name.startswith("#"):
                return f"that refers to `{name[:80]}`: nothing that a request points to is fetched; put it under $defs"
            target = _target(schema, anchors, name)
            if not isinstance(target, dict | bool):
                return f"whose reference `{name[:80]}` leads to no schema in it"
            if isinstance(target, dict):
                stack.append((target, name, False))
    return None


def _schemas(body: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """(parameter, schema) of all that a request has."""
    yield from (("response_format", schema) for schema in _formats(body.get("response_format")))
    structured = body.get("structured_outputs")
    if isinstance(structured, dict):
        yield "structured_outputs", _parsed(structured.get("json"), "structured_outputs")
        tags = _parsed(structured.get("structural_tag"), "structured_outputs")
        yield from (("structured_outputs", schema) for schema in _formats(tags))
    yield "guided_json", _parsed(body.get("guided_json"), "guided_json")
    for param in ("tools", "functions"):
        for tool in _listed(body.get(param)):
            function = tool.get("function", tool) if isinstance(tool, dict) else None
            if isinstance(function, dict):
                yield param, function.get("parameters")


def _formats(value: object) -> Iterator[object]:
    """The schemas in a `response_format`: OpenAI's `{json_schema: {schema}}`, and those of vLLM's structural tags."""
    if isinstance(value, list):
        for entry in value:
            yield from _formats(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            is_wrapped = key == "json_schema" and isinstance(entry, dict) and isinstance(entry.get("schema"), dict)
            if key in ("schema", "json_schema") and not is_wrapped:
                yield entry
            else:
                yield from _formats(entry)


def _parsed(value: object, param: str) -> object:
    """vLLM takes some schemas as JSON text too."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise bad(f"`{param}` is not valid JSON.", param, "invalid_schema") from None


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _children(node: object) -> Iterator[object]:
    """The schemas (and lists of them) directly inside `node`."""
    if isinstance(node, list):
        yield from (entry for entry in node if isinstance(entry, dict | list))
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in BY_NAME and isinstance(value, dict):
                yield from (entry for entry in value.values() if isinstance(entry, dict | list))
            elif key not in DATA and isinstance(value, dict | list):
                yield value


def _references(node: object) -> list[str]:
    """The references that `node` makes; a property that is named `$ref` is not one: its value is a schema."""
    names = (node.get(key) for key in REFERENCES) if isinstance(node, dict) else ()
    return [name for name in names if isinstance(name, str)]


def _anchors(schema: object) -> dict[str, object]:
    """Name: the schema that calls itself so, by `$anchor`, or by an `$id` that begins with #."""
    named, stack = dict[str, object](), [schema]
    while stack:
        node = stack.pop()
        stack += _children(node)
        if isinstance(node, dict):
            named |= {node[key]: node for key in ANCHORS if isinstance(node.get(key), str)}
            ids = (node.get(key) for key in ("$id", "id"))
            named |= {name[1:]: node for name in ids if isinstance(name, str) and name.startswith("#")}
    return named


def _target(schema: object, anchors: Mapping[str, object], reference: str) -> object:
    """What a reference within `schema` names (RFC 6901, percent-encoded as in a URI fragment); None for nothing."""
    pointer, node = unquote(reference[1:]), schema
    if pointer and not pointer.startswith("/"):
        return anchors.get(pointer)
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(token)
        elif isinstance(node, list) and token.isascii() and token.isdigit() and int(token[:9]) < len(node):
            node = node[int(token[:9])]
        else:
            return None
    return node
