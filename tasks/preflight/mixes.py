"""Expands a mix of several datasets into rows of two parts each, as DVC needs them."""

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from tasks.preflight.yaml_edit import Change, insertion, key_as_written, table_of, value_of

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode


def left_out(text: str) -> Iterator[Change]:
    """Yield what the rows of `mixes` in a params.yaml lack: the parts of a mix that has only `shares`, and intermediate
    rows. A mix with fewer than two shares, or with some of its parts, is left to the check.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import MappingNode

    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError, RecursionError):
        return  # reported when the file is loaded
    table = value_of(root, "mixes") if root else None
    if not isinstance(table, MappingNode):
        return
    for key, row in table.value:
        shares = value_of(row, "shares")
        names = [name.value for name, _ in shares.value] if isinstance(shares, MappingNode) else []
        if len(names) > 1 and not value_of(row, "dataset") and not value_of(row, "other"):
            yield from _parts(text, table, key.value, row, names)


def _parts(text: str, table: "MappingNode", name: str, row: "MappingNode", names: list[str]) -> Iterator[Change]:
    taken, between, last = {key.value for key, _ in table.value}, dict[str, str](), names[0]
    for part in names[1:-1]:
        link = next(link for number in count(2) if (link := f"{name}_{number}") not in {*taken, *between})
        between[link] = _written({"dataset": last, "other": part, "share": "all"}, text, row)
        last = link
    parts = {"dataset": last, "other": names[-1]}
    why = "because DVC handles two parts of a mix"
    words = ", ".join(f"`{key}: {part}`" for key, part in parts.items())
    edit = insertion(text, row, {key: key_as_written(part, text, row) for key, part in parts.items()})
    yield Change(edit, f"{words} in mixes.{name}", why)
    if between:
        rows = ", ".join(f"`{link}: {value}`" for link, value in between.items())
        yield Change(insertion(text, table, between), f"{rows} in mixes", why)


def _written(values: dict[str, str], text: str, row: "MappingNode") -> str:
    return table_of({key_as_written(key, text, row): key_as_written(value, text, row) for key, value in values.items()})
