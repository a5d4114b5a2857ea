"""Rows of `requests` and `feedback` as they are read: a typed view of tables in tasks/records/database.py."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

Input = dict[str, Any]  # JSON as a client sent it: columns by name, or messages, or a prompt
Probabilities = Mapping[str, Mapping[str, float]]  # {column: {class: its probability}}


class LoggedAnswer(TypedDict):
    """The part of a request that shows its kind, and its answer."""

    id: str | int  # of the request, or of the feedback on it
    input: Input | None
    path: str | None
    finish_reason: str | None
    output: str | None
    probabilities: Probabilities | None
    status: NotRequired[int]


class LoggedRequest(LoggedAnswer):
    """A row of `requests`, as far as it is read."""

    at: float
    latency: float | None


class CorrectedRequest(LoggedAnswer):
    """A request with a person's correction of its answer."""

    correction: dict[str, str]
