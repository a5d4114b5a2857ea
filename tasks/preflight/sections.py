"""Writes into params.yaml what a row leaves out and DVC must find there: sections, and paths without `~`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks.errors import AnnealError, ParamsError
from tasks.files import write_text
from tasks.params import Dataset, Model
from tasks.preflight import cascades as tellers
from tasks.preflight import mixes as mixtures
from tasks.preflight import probes, shape
from tasks.preflight.defaults import has_encoder, kinds_for
from tasks.preflight.labels import measured
from tasks.preflight.yaml_edit import (
    Change,
    Edit,
    applied,
    as_written,
    insertion,
    into,
    key_as_written,
    quoted,
    table_of,
    value_of,
)
from tasks.section import Section

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node

TABLES: dict[str, type[Section]] = {"datasets": Dataset, "models": Model}


@dataclass(frozen=True)
class Completion:
    """The `text` of params.yaml with what it leaves out, and what that is (a line each).

    `undecided` says which shapes the rows do not tell, `unread` why those of others could not be looked for, `problems`
    why labels could not be.
    """

    path: Path
    text: str
    lines: tuple[str, ...]
    left_out: tuple[str, ...]
    undecided: tuple[str, ...]
    unread: tuple[str, ...]
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
    labels that the dataset's answers hold, so that a classifier is judged as one. A source that begins with `~` is
    spelt out: DVC would look for a folder of that name. A file that does not parse is left to who reads it.
    """
    text = _read(path)
    rows = [(f"{table}.{key}", row, node) for table, key, row, node in _rows(text) if table == "datasets"]
    shapes = shape.left_out(text, rows)
    first = _applied(text, shapes.changes, path)
    mixed = [*mixtures.left_out(first), *tellers.left_out(first)]
    first = _applied(first, mixed, path)
    datasets, mixes = _table(first, "datasets"), {**_table(first, "mixes"), **_table(first, "cascades")}
    models, bases = _table(first, "models"), _table(first, "bases")
    changes, problems, aliased = list[Change](), list[str](), set[int]()
    for table, key, row, node in _rows(first):
        dataset = datasets.get(_main(str(row.get("dataset")), mixes))
        kinds = kinds_for(dataset, has_encoder(str(row.get("parent")), models, bases))
        columns = dict[str, list[str]]()
        if table == "models" and "evaluate" not in row:
            columns, problem = _measured(dataset)
            if problem:
                problems.append(f"models.{key} has no `evaluate`, and its labels cannot be inferred: {problem}")
        is_missing = table == "models" and not probes.is_named(row)  # to look for one takes seconds
        encoder = probes.encoder_for(str(row.get("parent")), bases) if is_missing else ""
        changes += _sections(first, f"{table}.{key}", row, node, columns, kinds, encoder)
        if table == "models":
            changes += _kinds(first, f"{table}.{key}", row, node, kinds)
            changes += probes.left_out(first, f"{table}.{key}", row, node, encoder, aliased)
        changes += _home(f"{table}.{key}", node)
    every = [*shapes.changes, *mixed, *changes]
    return _completion(path, _applied(first, changes, path), every, shapes, problems)


def _completion(path: Path, text: str, changes: list[Change], shapes: shape.LeftOut, problems: list[str]) -> Completion:
    lines = tuple(dict.fromkeys(f"{path}: wrote {change.written}, {change.why}" for change in changes))
    left_out = tuple(dict.fromkeys(change.written for change in changes))
    unknown = tuple(shapes.undecided), tuple(shapes.unread), tuple(problems)
    return Completion(path, text, lines, left_out, *unknown)


def _main(name: str, mixes: Mapping[object, object]) -> str:
    """The row of `datasets` that a mix, a mix of mixes or a cascade is measured on; another name is its own."""
    for _ in mixes:  # as deep as mixes can be nested, and no deeper where they are a ring
        mixed = mixes.get(name)
        name = str(mixed.get("dataset")) if isinstance(mixed, Mapping) else name
    return name


def _applied(text: str, changes: list[Change], path: Path) -> str:
    """`text` with all changes; what an alias repeats is written once."""
    edits = list(dict.fromkeys(change.edit for change in changes))
    return applied(text, edits, path) if edits else text


def _sections(
    text: str,
    place: str,
    row: Mapping[object, object],
    node: "MappingNode",
    columns: Mapping[str, list[str]],
    kinds: Mapping[str, str],
    encoder: str,
) -> "Iterator[Change]":
    """What the row at `place` needs more: the sections that it does not name."""
    table = place.partition(".")[0]
    sections = {name: "{}" for name in _sections_of_defaults(TABLES[table]) if name not in row}
    if table == "models" and "train" not in row:
        sections = {"train": as_written(table_of(kinds), text, node), **sections}
    if probes.KEY in sections:
        sections[probes.KEY] = probes.section(text, node, encoder)
    if "evaluate" in sections and columns:
        pairs = (f"{key_as_written(key, text, node)}: {quoted(names)}" for key, names in columns.items())
        sections["evaluate"] = f"{{{', '.join(pairs)}}}"
    if sections:
        written = ", ".join(f"`{name}: {value}`" for name, value in sections.items())
        yield Change(insertion(text, node, sections), f"{written} in {place}", "because there was none")


def _kinds(
    text: str, place: str, row: Mapping[object, object], node: "MappingNode", defaults: Mapping[str, str]
) -> "Iterator[Change]":
    """The kinds that the `train` section of a model does not name."""
    train, section = (
        row.get("train"),
        value_of(node, "train"),
    )  # one that is merged in from another row is written there
    if not isinstance(train, dict) or section is None:
        return  # the check of the section says what is wrong with it
    if kinds := {name: value for name, value in defaults.items() if name not in train}:
        edit = into(text, node, cast("MappingNode", section), kinds)
        written = ", ".join(f"`{name}: {value}`" for name, value in kinds.items())
        yield Change(edit, f"{written} in {place}.train", "because there was none")


def _home(place: str, node: "MappingNode") -> "Iterator[Change]":
    """A source that begins with `~`, spelt out."""
    if source := _source_node(node):
        expanded = Path(source.value).expanduser().as_posix()
        edit = Edit(source.start_mark.index, source.end_mark.index, quoted(expanded))
        written = f"{expanded} for {source.value} in {place}.ingest.source"
        yield Change(edit, written, "because DVC does not expand `~`")


def _measured(dataset: object) -> tuple[dict[str, list[str]], str]:
    """(what `evaluate` says of a row of `datasets`, why its labels cannot be looked for)."""
    try:
        return measured(dataset), ""
    except AnnealError as error:
        return {}, str(error)


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
    table = _values(text).get(name)
    return table if isinstance(table, dict) else {}


@lru_cache(maxsize=2)  # a file as it stands and as it is fixed: each is asked for several tables
def _values(text: str) -> Mapping[object, object]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


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
    ingest = value_of(row, "ingest")
    source = value_of(ingest, "source") if ingest else None
    return source if source and isinstance(source.value, str) and source.value.startswith("~/") else None
