"""Writes the shape of a data set that names none into params.yaml."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from tasks.preflight.recognise import recognised
from tasks.preflight.yaml_edit import Change, as_written, insertion, into, quoted, table_of, value_of

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode

WORD = re.compile("(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z_][a-z0-9_]*", re.IGNORECASE)


def changes(text: str, place: str, row: Mapping[object, object], node: "MappingNode") -> tuple[list[Change], str]:
    """(what the row at `place` of `datasets` needs more, why that cannot be told)."""
    told = recognised(row)
    made = []
    for name, values in (("ingest", told.ingest), ("prepare", told.prepare)):
        written = {key: _yaml(value) for key, value in values.items()}
        section = value_of(node, name)
        if written and section is not None:
            edit = into(text, node, cast("MappingNode", section), written)
            words = ", ".join(f"`{key}: {value}`" for key, value in written.items())
            made.append(Change(edit, f"{words} in {place}.{name}", "as it names none"))
        elif written and name not in row:
            table = as_written(table_of(written), text, node)
            made.append(
                Change(insertion(text, node, {name: table}), f"`{name}: {table}` in {place}", "as it names none")
            )
    return made, f"{place} {told.problem}" if told.problem else ""


def _yaml(value: object) -> str:
    """A value in one line, as YAML and JSON have it; a plain word without quotes."""
    if isinstance(value, str):
        return value if WORD.fullmatch(value) else quoted(value)
    return f"[{', '.join(map(_yaml, value))}]" if isinstance(value, list) else json.dumps(value)
