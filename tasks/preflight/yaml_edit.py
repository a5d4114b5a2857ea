"""Writes missing keys into params.yaml; everything else stays character by character."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import ParamsError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node


QUOTED_OR_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<rate>\d\.\d+e[-+]\d+)|\w+')
PLAIN = ("null", "true", "false")
WORD = re.compile("(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z_][a-z0-9_]*", re.IGNORECASE)


class Edit(NamedTuple):
    """Characters `start` to `end` of params.yaml become `text`."""

    start: int
    end: int
    text: str


class Change(NamedTuple):
    """An edit, what it writes and where, and why."""

    edit: Edit
    written: str
    why: str


def value_of(node: "Node", name: str) -> "Node | None":
    """Return the value of the key `name` in a table itself, not in one merged into it; None if it is missing."""
    from ruamel.yaml.nodes import MappingNode

    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def insertion(text: str, row: "MappingNode", sections: Mapping[str, str]) -> Edit:
    """Return the edit that writes `sections` (name: value): as lines after a block, or before the bracket that closes
    `{…}`.
    """
    first, last = row.value[0][0], row.value[-1][1]
    written = [f"{key_as_written(name, text, row)}: {value}" for name, value in sections.items()]
    if row.flow_style:
        place = last.end_mark.index
        return Edit(place, place, "".join(f", {section}" for section in written))
    line_end = "\r\n" if "\r\n" in text else "\n"
    indent = " " * first.start_mark.column
    place = _end_of_block(text, row)
    before = "" if not place or text[place - 1] == "\n" else line_end
    return Edit(place, place, before + "".join(f"{indent}{section}{line_end}" for section in written))


def into(text: str, row: "MappingNode", section: "MappingNode", values: Mapping[str, str]) -> Edit:
    """Return the edit that writes `values` (name: value) into a section of a `row`, which may be `{}`."""
    if section.value:
        return insertion(text, section, {name: as_written(value, text, row) for name, value in values.items()})
    place = section.end_mark.index - 1  # before the bracket that closes `{}`
    return Edit(place, place, as_written(table_of(values), text, row)[1:-1])


def table_of(values: Mapping[str, str]) -> str:
    """`{name: value, …}`."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"


def in_one_line(value: object) -> str:
    """Return a value in one line that is valid YAML; a plain word has no quotes."""
    if isinstance(value, str):
        return value if WORD.fullmatch(value) else quoted(value)
    if isinstance(value, Mapping):
        return table_of({in_one_line(key): in_one_line(entry) for key, entry in value.items()})
    return f"[{', '.join(map(in_one_line, value))}]" if isinstance(value, list) else json.dumps(value)


def as_written(value: str, text: str, row: "MappingNode") -> str:
    """Return a value of plain words, quoted if the row's keys are quoted: JSON stays JSON."""
    is_json = key_as_written("a", text, row) != "a"
    return QUOTED_OR_WORD.sub(_in_quotes, value) if is_json else value


def _in_quotes(word: re.Match[str]) -> str:
    is_plain = word["rate"] or word[0] in PLAIN or word[0].startswith('"')
    return word[0] if is_plain else quoted(word[0])


def key_as_written(name: str, text: str, row: "MappingNode") -> str:
    """Return a key, quoted if the row's own keys are: JSON stays JSON."""
    return quoted(name) if text[row.value[0][0].start_mark.index] == '"' else name


def _end_of_block(text: str, row: "MappingNode") -> int:
    """Return the index after the row's last line: blank lines, and comments further left, belong to what follows."""
    column: int = row.value[0][0].start_mark.column
    place: int = row.end_mark.index
    if not text[(start := text.rfind("\n", 0, place) + 1) : place].strip():
        place = start
    while place and _is_between(text[(start := text.rfind("\n", 0, place - 1) + 1) : place], column):
        place = start
    return place


def _is_between(line: str, column: int) -> bool:
    words = line.strip()
    return not words or (words.startswith("#") and len(line) - len(line.lstrip()) < column)


def quoted(value: str | list[str]) -> str:
    """Return a text, or a list of texts, quoted for YAML and JSON."""
    return json.dumps(value, ensure_ascii=False)


def applied(text: str, edits: list[Edit], path: Path) -> str:
    """Return `text` with `edits`; ParamsError if they would change anything else in the file."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    new = text
    for edit in sorted(edits, reverse=True):
        new = new[: edit.start] + edit.text + new[edit.end :]
    try:
        before, after = (YAML(typ="safe", pure=True).load(version) for version in (text, new))
    except YAMLError:
        before, after = {}, None
    if not _only_adds(before, after, _renamed(after)):
        missing = ", ".join(sorted(edit.text.strip() for edit in edits))
        raise ParamsError(
            f"{path}: sections are missing that DVC must find there, and its layout leaves no safe place to write "
            f"them: add {missing}."
        )
    return new


def _renamed(after: object) -> dict[object, object]:
    """{row of references: its dataset}, in whose place a model may name the row."""
    rows = after.get("references") if isinstance(after, dict) else None
    return {name: row.get("dataset") for name, row in rows.items()} if isinstance(rows, dict) else {}


def _only_adds(before: object, after: object, renamed: Mapping[object, object]) -> bool:
    """True if `after` is `before` plus sections and kinds, with `~` expanded and datasets `renamed`."""
    if isinstance(before, dict) and isinstance(after, dict):
        same = before.keys() <= after.keys() and all(_only_adds(before[key], after[key], renamed) for key in before)
        new = after.keys() - before.keys()
        return same and ("shape" in new or all(_is_written(key, after[key]) for key in new))  # a shape has its columns
    is_same = before == after or (before != before and after != after)  # .nan, which its own check refuses
    return is_same or (
        isinstance(before, str)
        and (renamed.get(after) == before if isinstance(after, str) and after in renamed else _is_home(before, after))
    )


def _is_home(before: str, after: object) -> bool:
    return before.startswith("~") and Path(before).expanduser().as_posix() == after


def _is_written(key: object, value: object) -> bool:
    """True if a new key and its value are among those that this package writes."""
    named = ("shape", "json_columns", "optional_columns", "image_column", "split", "dataset", "other", "trained_on")
    if key in (*named, "encoder", "by", "learning_rate"):
        return True
    if isinstance(value, dict) and value.keys() == {"dataset", "other", "share"}:  # between the parts of a mix
        return bool(value["share"] == "all")
    if isinstance(value, dict) and key == "references":
        return all(_is_written(name, row) for name, row in value.items())
    if isinstance(value, dict) and value.keys() >= {"dataset", "model"}:  # a row of references
        return value.keys() <= {"dataset", "model", "bf16", "quantization"}
    names = {"labels", "numbers", "tags", "kind", "objective", "tuner", "encoder", "learning_rate"}
    return isinstance(value, dict) and (set(value) <= names or (key == "prepare" and "shape" in value))
