"""Requests of a kind that is not judged: kept apart by their form alone, counted, and said."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.messages import Kind, kind_of

APART = "not_judged"  # figure: the share of the latest requests; `not_judged: completions` counts one kind of them


def of(row: Mapping[str, Any], form: Mapping[str, object]) -> Kind:
    """The kind of a row of `requests`, or of a correction with its request's columns."""
    return kind_of(row["input"], form, row.get("path"), row.get("finish_reason"))


def judged(rows: Iterable[dict[str, Any]], form: Mapping[str, object]) -> list[dict[str, Any]]:
    """Those of `rows` that ask the task."""
    return [row for row in rows if of(row, form) is Kind.TASK]


def count(rows: Iterable[Mapping[str, Any]], form: Mapping[str, object]) -> dict[str, int]:
    """How many of `rows` are of each kind that is not judged, the commonest first."""
    return dict(Counter(kind.value for row in rows if (kind := of(row, form)) is not Kind.TASK).most_common())


def figures(counts: Mapping[str, int], total: int) -> dict[str, float]:
    """The share of `total` requests that is not judged, and the number of each kind."""
    if not total:
        return {}
    return {APART: sum(counts.values()) / total} | {f"{APART}: {kind}": float(number) for kind, number in counts.items()}


def sentence(counts: Mapping[str, int], total: int) -> str:
    """What a person reads of the requests that are not judged; empty when there are none."""
    if not counts:
        return ""
    kinds = ", ".join(f"{kind} {number}" for kind, number in counts.items())
    return f"{sum(counts.values()) / total:.0%} of {total} requests were of a kind that is not judged: {kinds}"


def new(counts: Mapping[str, int], known: Iterable[str], total: int) -> str:
    """The sentence of a check that sees a kind for the first time; empty when it sees none."""
    first = [kind for kind in counts if kind not in set(known)]
    return f"{sentence(counts, total)}; new since this version serves: {', '.join(first)}" if first else ""
