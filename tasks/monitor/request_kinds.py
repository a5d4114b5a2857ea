"""Requests that are not judged: recognised by their form alone, counted, and reported."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from tasks.dialogues.messages import Kind, is_own_answer, kind_of
from tasks.records.database_rows import LoggedAnswer

APART = "not_judged"  # figure: the share of the latest requests; `not_judged: completions` counts one kind of them

OWN = "answers under settings of the client's own"  # what was asked is judged, the answer is not


Row = TypeVar("Row", bound=LoggedAnswer)


def of(row: LoggedAnswer, form: Mapping[str, object]) -> Kind:
    """The kind of a row of `requests`, or of a correction with its request's columns."""
    return kind_of(row["input"], form, row.get("path"), row.get("finish_reason"))


def judged(rows: Iterable[Row], form: Mapping[str, object]) -> list[Row]:
    """Those of `rows` that ask the task."""
    return [row for row in rows if of(row, form) is Kind.TASK]


def answered(rows: Iterable[Row]) -> list[Row]:
    """Those of judged `rows` whose answer is judged as well: there is one, and it is the task's, not one that a
    client's settings made.
    """
    return [row for row in rows if row.get("status", 200) == 200 and row["output"] is not None and not _is_own(row)]


def count(rows: Iterable[LoggedAnswer], form: Mapping[str, object]) -> dict[str, int]:
    """How many of `rows` are of each kind that is not judged, the commonest first."""
    counts: Counter[str] = Counter()
    for row in rows:
        kind = of(row, form)
        if kind is not Kind.TASK:
            counts[kind.value] += 1
        elif _is_own(row):
            counts[OWN] += 1
    return dict(counts.most_common())


def _is_own(row: LoggedAnswer) -> bool:
    return is_own_answer(row["input"], row.get("finish_reason"))


def figures(counts: Mapping[str, int], total: int) -> dict[str, float]:
    """The share of `total` requests that is not judged, and the number of each kind."""
    if not total:
        return {}
    return {APART: sum(counts.values()) / total} | {
        f"{APART}: {kind}": float(number) for kind, number in counts.items()
    }


def sentence(counts: Mapping[str, int], total: int) -> str:
    """The sentence about the requests that are not judged; empty if there are none."""
    if not counts:
        return ""
    kinds = ", ".join(f"{kind} {number}" for kind, number in counts.items())
    return f"{sum(counts.values()) / total:.0%} of {total} requests were of a kind that is not judged: {kinds}"


def new(counts: Mapping[str, int], known: Iterable[str], total: int) -> str:
    """The sentence of a check that sees a kind for the first time; empty when it sees none."""
    first = [kind for kind in counts if kind not in set(known)]
    return f"{sentence(counts, total)}; new since this version serves: {', '.join(first)}" if first else ""
