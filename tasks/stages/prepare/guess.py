"""What the first rows of a source suggest about their shape: column names and contents."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from tasks.section import Section
from tasks.stages.prepare.turns import is_turn
from tasks.texts import template

Row = Mapping[str, object]
FEW, WHOLE = 12, re.compile(r"[-+]?\d{1,9}(\.0*)?")  # numbers, as of a scale from 0 to 10


def columns_set(params: Section, *keys: str) -> tuple[str, ...]:
    """The columns of those optional `keys` that are set in params.yaml."""
    return tuple(str(getattr(params, key)) for key in keys if key in params.model_fields_set and getattr(params, key))


def value_of(cell: object) -> object:
    """A cell, parsed if it is the text of a JSON list or object."""
    if not isinstance(cell, str) or cell.strip()[:1] not in ("[", "{"):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def is_dialogue(cell: object) -> bool:
    """Whether a cell holds turns: a list of turns, or one."""
    value = value_of(cell)
    return is_turn(value) or (isinstance(value, list) and bool(value) and all(map(is_turn, value)))


def holds_turns(rows: Sequence[Row], column: str) -> bool:
    """Whether every cell of a column holds turns or an empty list, and not all are empty."""
    cells = [value_of(row.get(column)) for row in rows]
    return any(map(is_dialogue, cells)) and all(cell == [] or is_dialogue(cell) for cell in cells)


def is_text(rows: Sequence[Row], column: str) -> bool:
    """Whether every cell of a column is a text."""
    return all(isinstance(row.get(column), str) for row in rows)


def list_columns(rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    """The columns of turns; those with one of `names` come first, in the order of `names`."""
    columns = [column for column in (rows[0] if rows else ()) if holds_turns(rows, column)]
    yield from sorted(columns, key=lambda column: names.index(column) if column in names else len(names))


def first_of(rows: Sequence[Row], names: Sequence[str]) -> str | None:
    """The first of `names` that is a column of the rows, whatever its case."""
    columns = {column.casefold(): column for column in (rows[0] if rows else ())}
    return next((columns[name] for name in names if name in columns), None)


def keys(columns: Mapping[str, str | None]) -> dict[str, object]:
    """The keys of `prepare` for columns whose name differs from the key."""
    return {key: column for key, column in columns.items() if column is not None and column != key}


def is_prose(rows: Sequence[Row], column: str) -> bool:
    """Whether a column holds texts, most of which are distinct and have several words or are not ASCII (scripts without
    blanks).
    """
    cells = [row.get(column) for row in rows]
    texts = {cell for cell in cells if isinstance(cell, str) and (" " in cell.strip() or not cell.isascii())}
    return is_text(rows, column) and len(texts) > len(cells) / 2


def are_few_and_whole(values: Sequence[object]) -> bool:
    """Whether all cells are whole numbers with few distinct values: classes, or a scale."""
    texts = {str(value).strip() for value in values}
    return len(texts) <= FEW and all(WHOLE.fullmatch(text) for text in texts)


def references(columns: Sequence[str]) -> str:
    """A template of `columns`, one below another."""
    return "\n\n".join(map(template.reference, columns))
