"""Writes into params.yaml what a row leaves out and DVC must find there: sections, and paths without `~`."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import AnnealError, ParamsError
from tasks.files import write_text
from tasks.params import Dataset, Model
from tasks.preflight.labels import labels_of
from tasks.section import Section

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node

TABLES: dict[str, type[Section]] = {"datasets": Dataset, "models": Model}


class Edit(NamedTuple):
    """Characters `start` to `end` of params.yaml become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Completion:
    """The `text` of params.yaml with what it leaves out, what that is (a line each), and why labels could not be
    looked for.
    """

    path: Path
    text: str
    lines: tuple[str, ...]
    left_out: tuple[str, ...]
    problems: tuple[str, ...]

    def write(self) -> None:
        """Put the text in place of the file; ParamsError for a file that nobody may write."""
        if not self.lines:
            return
        if not os.access(self.path, os.W_OK):
            raise ParamsError(
                f"{self.path} is read-only, and {'; '.join(self.left_out)} must be written into it: allow that "
                "(`chmod u+w`), or write it yourself."
            )
        write_text(self.path.resolve(), self.text, mode=self.path.stat().st_mode & 0o777)


def complete(path: Path = Path("params.yaml")) -> Completion:
    """The file at `path` with what its rows leave out; all else stays character by character, and nothing is written
    yet.

    A section that is left out is one that is all defaults; DVC cannot watch what is not there. Only `evaluate` gets the
    labels that the data set's answers hold, so that a classifier is judged as one. A source that begins with `~` is
    spelt out: DVC would look for a folder of that name. A file that does not parse is left to who reads it.
    """
    text = _read(path)
    edits, lines, missing, problems = [], [], [], []
    datasets = _table(text, "datasets")
    for table, key, row, node in _rows(text):
        if left_out := [name for name in _sections_of_defaults(TABLES[table]) if name not in row]:
            sections = dict.fromkeys(left_out, "{}")
            if "evaluate" in sections:
                labels, problem = _labels(datasets.get(str(row.get("dataset"))))
                sections["evaluate"] = f"{{{_key('labels', text, node)}: {_quoted(labels)}}}" if labels else "{}"
                problems += (
                    [f"models.{key} names no `evaluate`, and its labels cannot be looked for: {problem}"]
                    if problem
                    else []
                )
            edits.append(_insertion(text, node, sections))
            written = ", ".join(f"`{name}: {value}`" for name, value in sections.items())
            lines.append(f"{path}: wrote {written} into {table}.{key}, as it names none")
            missing.append(f"{written} in {table}.{key}")
        if source := _source_node(node):
            expanded = Path(source.value).expanduser().as_posix()
            edits.append(Edit(source.start_mark.index, source.end_mark.index, _quoted(expanded)))
            lines.append(
                f"{path}: wrote {expanded} for {source.value} into {table}.{key}.ingest.source, as DVC does not know "
                "`~`"
            )
            missing.append(f"{expanded} for {source.value} in {table}.{key}.ingest.source")
    return Completion(
        path, _applied(text, edits, path) if edits else text, tuple(lines), tuple(missing), tuple(problems)
    )


def _labels(dataset: object) -> tuple[list[str], str]:
    """(the labels of a row of `datasets`, why they cannot be looked for)."""
    try:
        return labels_of(dataset), ""
    except AnnealError as error:
        return [], str(error)


def _read(path: Path) -> str:
    """The text of the file as it stands, line ends included; empty when it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):  # load_yaml says which
        return ""


def _table(text: str, name: str) -> Mapping[object, object]:
    """The rows of a table as they are read, those that are one by an alias as well; none where the file does not
    parse.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError):
        return {}
    table = values.get(name) if isinstance(values, dict) else None
    return table if isinstance(table, dict) else {}


def _rows(text: str) -> "Iterator[tuple[str, str, Mapping[object, object], MappingNode]]":
    """(table, key, value, node) of each row of `datasets` and `models` that is a table of keys; rows that are one by
    an alias come once.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode

    tables = {name: _table(text, name) for name in TABLES}
    root = YAML(typ="safe", pure=True).compose(text) if any(tables.values()) else None
    known: set[int] = set()
    for table_key, table in root.value if isinstance(root, MappingNode) else []:
        if table_key.value not in TABLES or not isinstance(table, MappingNode):
            continue
        for key, node in table.value:
            value = tables[table_key.value].get(key.value)
            if isinstance(node, MappingNode) and node.value and isinstance(value, dict) and id(node) not in known:
                known.add(id(node))
                yield table_key.value, key.value, value, node


def _sections_of_defaults(row: type[Section]) -> list[str]:
    """The keys of a row that are sections whose every value has a default."""
    sections = {field.alias or name: field.annotation for name, field in row.model_fields.items()}
    return [
        name
        for name, kind in sections.items()
        if isinstance(kind, type)
        and issubclass(kind, Section)
        and not any(field.is_required() for field in kind.model_fields.values())
    ]


def _source_node(row: "MappingNode") -> "Node | None":
    """The node of `ingest.source` when it begins with `~`."""
    ingest = _value_of(row, "ingest")
    source = _value_of(ingest, "source") if ingest else None
    return source if source and isinstance(source.value, str) and source.value.startswith("~/") else None


def _value_of(node: "Node", name: str) -> "Node | None":
    from ruamel.yaml.nodes import MappingNode

    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _insertion(text: str, row: "MappingNode", sections: Mapping[str, str]) -> Edit:
    """Where and how `sections` (name: value) are written: as more lines of a block, or before the bracket that
    closes `{…}`.
    """
    first, last = row.value[0][0], row.value[-1][1]
    written = [f"{_key(name, text, row)}: {value}" for name, value in sections.items()]
    if row.flow_style:
        place = last.end_mark.index
        return Edit(place, place, "".join(f", {section}" for section in written))
    line_end = "\r\n" if "\r\n" in text else "\n"
    indent = " " * first.start_mark.column
    place = _end_of_block(text, row)
    before = "" if not place or text[place - 1] == "\n" else line_end
    return Edit(place, place, before + "".join(f"{indent}{section}{line_end}" for section in written))


def _key(name: str, text: str, row: "MappingNode") -> str:
    """A key as the row writes its own: JSON stays JSON."""
    return _quoted(name) if text[row.value[0][0].start_mark.index] == '"' else name


def _end_of_block(text: str, row: "MappingNode") -> int:
    """The place after the row's last line: blank lines, and comments further left, belong to what follows."""
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


def _quoted(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _applied(text: str, edits: list[Edit], path: Path) -> str:
    """`text` with `edits`; ParamsError when the file would then say anything else than before besides."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    new = text
    for edit in sorted(edits, reverse=True):
        new = new[: edit.start] + edit.text + new[edit.end :]
    try:
        before, after = (YAML(typ="safe", pure=True).load(version) for version in (text, new))
    except YAMLError:
        before, after = {}, None
    if not _only_adds(before, after):
        missing = ", ".join(sorted(edit.text.strip() for edit in edits))
        raise ParamsError(
            f"{path}: sections are missing that DVC must find there, and its layout leaves no safe place to write "
            f"them: add {missing}."
        )
    return new


def _only_adds(before: object, after: object) -> bool:
    """Whether `after` is `before` with sections more, and homes spelt out."""
    if isinstance(before, dict) and isinstance(after, dict):
        same = before.keys() <= after.keys() and all(_only_adds(before[key], after[key]) for key in before)
        return same and all(after[key] == {} or list(after[key]) == ["labels"] for key in after.keys() - before.keys())
    return before == after or (
        isinstance(before, str) and before.startswith("~") and Path(before).expanduser().as_posix() == after
    )
