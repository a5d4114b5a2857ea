"""Writes the inferred shape of a dataset into params.yaml."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from tasks.preflight.recognise import Recognised, recognise
from tasks.preflight.yaml_edit import Change, as_written, in_one_line, insertion, into, table_of, value_of

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode

WHY = "because there was none"


@dataclass
class LeftOut:
    """What the rows of `datasets` leave out of their shapes, and why some cannot be inferred."""

    changes: list[Change] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def left_out(text: str, rows: "Iterable[tuple[str, Mapping[object, object], MappingNode]]") -> LeftOut:
    """Return what the rows (place, value, node) of `datasets` leave out."""
    shapes = LeftOut()
    for place, row, node in rows:
        inferred = recognise(row)
        shapes.changes += _changes(text, place, row, node, inferred)
        shapes.undecided += [f"{place} {inferred.undecided}"] if inferred.undecided else []
        shapes.unread += [f"{place} {inferred.unread}"] if inferred.unread else []
    return shapes


def _changes(
    text: str, place: str, row: Mapping[object, object], node: "MappingNode", inferred: Recognised
) -> "Iterator[Change]":
    for name, values in (("ingest", inferred.ingest), ("prepare", inferred.prepare)):
        written = {key: in_one_line(value) for key, value in values.items()}
        section = value_of(node, name)
        if written and section is not None:
            words = ", ".join(f"`{key}: {value}`" for key, value in written.items())
            edit = into(text, node, cast("MappingNode", section), written)
            yield Change(edit, f"{words} in {place}.{name}", WHY)
        elif written and name not in row:
            table = as_written(table_of(written), text, node)
            yield Change(insertion(text, node, {name: table}), f"`{name}: {table}` in {place}", WHY)
