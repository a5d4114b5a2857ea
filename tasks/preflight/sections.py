"""Writes into params.yaml what a row leaves out and DVC needs there: sections, and paths without `~`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks.errors import AnnealError, ParamsError
from tasks.files import write_text
from tasks.params import Dataset, Model
from tasks.preflight import cascades, mixes, probes, references, samples, shape
from tasks.preflight.defaults import has_encoder, kinds_for, missing_in
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

COMBINED = ("mixes", "cascades", "rubrics", "reward_models", "retests", "references", "bundles")  # of datasets
TABLES: dict[str, type[Section]] = {"datasets": Dataset, "models": Model}


@dataclass(frozen=True)
class Completion:
    """The completed `text` of params.yaml, and a line for each addition.

    `undecided` are the shapes that the rows leave open, `unread` the sources that could not be read, `problems` why
    labels could not be inferred.
    """

    path: Path
    text: str
    lines: tuple[str, ...]
    left_out: tuple[str, ...]
    undecided: tuple[str, ...]
    unread: tuple[str, ...]
    problems: tuple[str, ...]

    def write(self) -> None:
        """Replace the file with the text; ParamsError if it is read-only."""
        if not self.lines:
            return
        if not os.access(self.path, os.W_OK):
            raise ParamsError(
                f"{self.path} is read-only, and {'; '.join(self.left_out)} must be written into it: allow that "
                "(`chmod u+w`), or write it yourself."
            )
        write_text(self.path.resolve(), self.text, mode=self.path.stat().st_mode & 0o777)


def complete(path: Path = Path("params.yaml")) -> Completion:
    """Return the file at `path` with what its rows leave out; all else stays character by character. Writes nothing.

    A missing section becomes an empty one, all defaults, since DVC cannot watch a missing key. Only `evaluate` gets the
    labels in the dataset's answers, so that a classifier is judged as one. A source that begins with `~` is expanded:
    DVC would look for a folder of that name. A file that does not parse is reported when it is loaded.
    """
    text = _read(path)
    rows = [(f"{table}.{key}", row, node) for table, key, row, node in _rows(text) if table == "datasets"]
    shapes = shape.left_out(text, rows)
    first = _applied(text, shapes.changes, path)
    expanded = [*mixes.left_out(first), *cascades.left_out(first), *samples.left_out(first)]
    first = _applied(first, expanded, path)
    datasets = _table(first, "datasets")
    combined = {name: row for table in COMBINED for name, row in _table(first, table).items()}
    models, bases = _table(first, "models"), _table(first, "bases")
    changes, problems, aliased = list[Change](), list[str](), set[int]()
    for table, key, row, node in _rows(first):
        dataset = datasets.get(_main(str(row.get("dataset")), combined))
        kinds = kinds_for(dataset, has_encoder(str(row.get("parent")), models, bases))
        columns = dict[str, list[str]]()
        if table == "models" and "evaluate" not in row:
            columns, problem = _measured(dataset)
            if problem:
                problems.append(f"models.{key} has no `evaluate`, and its labels cannot be inferred: {problem}")
        is_missing = table == "models" and not probes.is_named(row)  # looking for an encoder takes seconds
        encoder = probes.encoder_for(str(row.get("parent")), bases) if is_missing else ""
        changes += _sections(first, f"{table}.{key}", row, node, columns, kinds, encoder)
        if table == "models":
            changes += _kinds(first, f"{table}.{key}", row, node, kinds)
            changes += probes.left_out(first, f"{table}.{key}", row, node, encoder, aliased)
        changes += _home(f"{table}.{key}", node)
    second = _applied(first, changes, path)
    compared = [*references.left_out(second)]  # of objectives that may just have been written
    all_changes = [*shapes.changes, *expanded, *changes, *compared]
    return _completion(path, _applied(second, compared, path), all_changes, shapes, problems)


def _completion(path: Path, text: str, changes: list[Change], shapes: shape.LeftOut, problems: list[str]) -> Completion:
    lines = tuple(dict.fromkeys(f"{path}: wrote {change.written}, {change.why}" for change in changes))
    left_out = tuple(dict.fromkeys(change.written for change in changes))
    unknown = tuple(shapes.undecided), tuple(shapes.unread), tuple(problems)
    return Completion(path, text, lines, left_out, *unknown)


def _main(name: str, combined: Mapping[object, object]) -> str:
    """Return the row of `datasets` that a mix or a cascade, possibly nested, is measured on; else `name` itself."""
    for _ in combined:  # mixes are not nested deeper, unless in a cycle
        row = combined.get(name)
        name = (
            str(row.get("tested_on") if "tested_on" in row else row.get("dataset"))
            if isinstance(row, Mapping)
            else name
        )
    return name


def _applied(text: str, changes: list[Change], path: Path) -> str:
    """Return `text` with all changes; an edit that an alias repeats is made once."""
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
    """Yield the sections that the row at `place` leaves out."""
    table = place.partition(".")[0]
    sections = {name: "{}" for name in _sections_of_defaults(TABLES[table]) if name not in row}
    if table == "models" and "train" not in row:
        sections = {"train": as_written(table_of(missing_in({}, kinds)), text, node), **sections}
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
    """Yield the kinds that the `train` section of a model leaves out, and a learning rate for them."""
    train, section = row.get("train"), value_of(node, "train")  # None if it is merged in from another row
    if not isinstance(train, dict) or section is None:
        return  # reported when the section is parsed
    # A section that other rows build on keeps the rate that it does not state: theirs may be other kinds.
    if missing := missing_in(train, defaults, has_rate=bool(section.anchor)):
        edit = into(text, node, cast("MappingNode", section), missing)
        written = ", ".join(f"`{name}: {value}`" for name, value in missing.items())
        yield Change(edit, f"{written} in {place}.train", "because there was none")


def _home(place: str, node: "MappingNode") -> "Iterator[Change]":
    """Yield the expanded path of a source that begins with `~`."""
    if source := _source_node(node):
        expanded = Path(source.value).expanduser().as_posix()
        edit = Edit(source.start_mark.index, source.end_mark.index, quoted(expanded))
        written = f"{expanded} for {source.value} in {place}.ingest.source"
        yield Change(edit, written, "because DVC does not expand `~`")


def _measured(dataset: object) -> tuple[dict[str, list[str]], str]:
    """Return (the keys of `evaluate` for a row of `datasets`, why its labels cannot be inferred)."""
    try:
        return measured(dataset), ""
    except AnnealError as error:
        return {}, str(error)


def _read(path: Path) -> str:
    """Return the text of the file, with its line ends; empty if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):  # reported by load_yaml
        return ""


def _table(text: str, name: str) -> Mapping[object, object]:
    """Return the parsed rows of a table, aliases included; none if the file does not parse."""
    table = _values(text).get(name)
    return table if isinstance(table, dict) else {}


@lru_cache(maxsize=2)  # the file before and after; several tables are read from each
def _values(text: str) -> Mapping[object, object]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _rows(text: str) -> "Iterator[tuple[str, str, Mapping[object, object], MappingNode]]":
    """Yield (table, key, value, node) of each row of `datasets` and `models` that is a table of keys; aliased rows come
    once.
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
    """Return the keys of a row that are sections with defaults for all values."""
    sections = {field.alias or name: field.annotation for name, field in row.model_fields.items()}
    return [
        name
        for name, kind in sections.items()
        if isinstance(kind, type)
        and issubclass(kind, Section)
        and not any(field.is_required() for field in kind.model_fields.values())
    ]


def _source_node(row: "MappingNode") -> "Node | None":
    """Return the node of `ingest.source` if it begins with `~`."""
    ingest = value_of(row, "ingest")
    source = value_of(ingest, "source") if ingest else None
    return source if source and isinstance(source.value, str) and source.value.startswith("~/") else None
