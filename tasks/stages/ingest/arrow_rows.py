"""Rows of Arrow record batches as Python values: numbers and times as texts that remember their type."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import AnnealError
from tasks.stages.ingest.compressed import codec_of, content_of
from tasks.stages.ingest.values import Number, plain
from tasks.texts.clean import clean

if TYPE_CHECKING:
    import pyarrow as pa

Shape = Callable[[object], object]


@contextmanager
def open_file(path: Path, what: str) -> "Iterator[pa.NativeFile]":
    """The file for reading, decompressed; AnnealError if it is not a complete file of the format `what`."""
    import pyarrow as pa

    try:
        with pa.BufferReader(content_of(path)) if codec_of(path) else pa.memory_map(str(path)) as source:
            yield source
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        words = " ".join(str(error).split()).rstrip(".")
        raise AnnealError(f"{path}: not a complete {what} file ({words[:160]}); copy or save it again.") from None


def rows_of(
    schema: "pa.Schema", batches: "Iterable[pa.RecordBatch]", path: Path
) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(number, row) of each row by the clean names of its columns; AnnealError for two columns of one name."""
    columns = [clean(name) for name in schema.names]
    name, count = Counter(columns).most_common(1)[0] if columns else ("", 0)
    if count > 1:
        raise AnnealError(f"{path}: has the column `{name}` {count} times; rename all but one.")
    classes = _class_names(schema)
    shapes = [_class_shape(classes[field.name]) if field.name in classes else _shape(field.type) for field in schema]
    number = 0
    for batch in batches:
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            cells = zip(columns, shapes, values, strict=True)
            yield number, {column: None if value is None else shape(value) for column, shape, value in cells}


def _shape(kind: "pa.DataType") -> Shape:
    """The function that converts values of this type to JSON values; bytes, durations, NaN and infinity stay, and are
    refused if their column is read.
    """
    from pyarrow import types

    if types.is_dictionary(kind):
        return _shape(kind.value_type)
    if types.is_map(kind):
        return _pairs(_shape(kind.item_type))
    if types.is_nested(kind) and not types.is_struct(kind) and not types.is_union(kind):
        return _items(_shape(kind.value_type))
    if types.is_struct(kind):
        return _fields({field.name: _shape(field.type) for field in kind})
    if types.is_floating(kind) and not types.is_float64(kind):
        return _short_float
    return plain


def _short_float(value: object) -> object:
    """A float of 32 or 16 bits as it is displayed: 0.1, not the nearest number of 64 bits."""
    from numpy import float32

    return Number(str(float32(value))) if isinstance(value, float) and isfinite(value) else value


def _items(shape: Shape) -> Shape:
    def shaped(value: object) -> object:
        return [None if item is None else shape(item) for item in value] if isinstance(value, list) else value

    return shaped


def _pairs(shape: Shape) -> Shape:
    """A map as an object; one with a repeated key or keys that are not texts becomes a tuple, which is refused."""

    def shaped(value: object) -> object:
        if not isinstance(value, list):
            return value
        pairs = dict(value)
        if len(pairs) < len(value) or not all(isinstance(key, str) for key in pairs):
            return tuple(value)
        return {key: None if item is None else shape(item) for key, item in pairs.items()}

    return shaped


def _fields(shapes: Mapping[str, Shape]) -> Shape:
    def shaped(value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {key: None if item is None else shapes[key](item) for key, item in value.items()}

    return shaped


def _class_names(schema: "pa.Schema") -> dict[str, list[str]]:
    """column: the names of its classes, as `datasets` writes them into a schema whose cells are their numbers."""
    stored = (schema.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(stored).get("info", {}).get("features", {})
    return {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}


def _class_shape(names: list[str]) -> Shape:
    """The name of a class; -1 stands for a row without one."""
    return lambda value: names[value] if isinstance(value, int) and 0 <= value < len(names) else None
