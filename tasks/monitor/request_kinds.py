"""Recognises requests that are not judged, by their form alone, and counts and reports them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from tasks.dialogues.messages import Kind, is_own_answer, kind_of
from tasks.records.database_rows import LoggedAnswer

NOT_JUDGED = "not_judged"  # figure: the share of the latest requests; `not_judged: completions` counts one kind of them

OWN_SETTINGS = "answers under settings of the client's own"  # what was asked is judged, the answer is not


Row = TypeVar("Row", bound=LoggedAnswer)


def kind_of_request(row: LoggedAnswer, form: Mapping[str, object]) -> Kind:
    """Return the kind of a row of `requests`, or of a correction with its request's columns."""
    return kind_of(row["input"], form, row.get("path"), row.get("finish_reason"))


def judged_requests(rows: Iterable[Row], form: Mapping[str, object]) -> list[Row]:
    """Return the `rows` that are requests for the task."""
    return [row for row in rows if kind_of_request(row, form) is Kind.TASK]


def judged_answers(rows: Iterable[Row]) -> list[Row]:
    """Return the judged `rows` whose answer is judged as well: it exists, and no settings of the client changed it."""
    return [row for row in rows if row.get("status", 200) == 200 and row["output"] is not None and not _is_own(row)]


def count_unjudged(rows: Iterable[LoggedAnswer], form: Mapping[str, object]) -> dict[str, int]:
    """Count the `rows` of each kind that is not judged, the most common first."""
    counts: Counter[str] = Counter()
    for row in rows:
        kind = kind_of_request(row, form)
        if kind is not Kind.TASK:
            counts[kind.value] += 1
        elif _is_own(row):
            counts[OWN_SETTINGS] += 1
    return dict(counts.most_common())


def _is_own(row: LoggedAnswer) -> bool:
    return is_own_answer(row["input"], row.get("finish_reason"))


def figures(counts: Mapping[str, int], total: int) -> dict[str, float]:
    """Return the share of the `total` requests that is not judged, and the number of each kind."""
    if not total:
        return {}
    return {NOT_JUDGED: sum(counts.values()) / total} | {
        f"{NOT_JUDGED}: {kind}": float(number) for kind, number in counts.items()
    }


def sentence(counts: Mapping[str, int], total: int) -> str:
    """Return the sentence about the requests that are not judged; empty if there are none."""
    if not counts:
        return ""
    kinds = ", ".join(f"{kind} {number}" for kind, number in counts.items())
    return f"{sum(counts.values()) / total:.0%} of {total} requests were of a kind that is not judged: {kinds}"


def new_kinds_sentence(counts: Mapping[str, int], known: Iterable[str], total: int) -> str:
    """Return the sentence about kinds that a check sees for the first time; empty if there are none."""
    first = [kind for kind in counts if kind not in set(known)]
    return f"{sentence(counts, total)}; new since this version serves: {', '.join(first)}" if first else ""
