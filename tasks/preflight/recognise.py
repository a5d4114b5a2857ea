"""Tells the shape of a data set that names none, for params.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field

TEMPLATES = ("user", "answer")  # who writes one of these has a table


@dataclass(frozen=True)
class Recognised:
    """What a row of `datasets` leaves out: keys of its `prepare` and of its `ingest`; or why that cannot be told."""

    prepare: dict[str, object] = field(default_factory=dict)
    ingest: dict[str, object] = field(default_factory=dict)
    problem: str = ""


def recognised(dataset: Mapping[object, object]) -> Recognised:
    """What the row of `datasets`, as it was read, leaves out."""
    prepare = dataset.get("prepare", {})
    if not isinstance(prepare, Mapping) or "shape" in prepare:
        return Recognised()
    if any(key in prepare for key in TEMPLATES):
        return Recognised({"shape": "table"})
    return Recognised()
