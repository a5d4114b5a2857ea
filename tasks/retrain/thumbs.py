"""Thumbs in the records: what a person said of an answer without correcting it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, select

from tasks.records.corrections import is_correction
from tasks.records.database import feedback, requests
from tasks.records.database_rows import Input


@dataclass(frozen=True)
class Thumb:
    """The newest thumb of a person about an answer, with the request it belongs to."""

    request_id: str
    at: float
    key_id: str | None
    thumb: int  # 1 or -1
    requested_at: float
    version: str | None
    template_sha256: str | None
    input: Input | None
    output: str | None
    path: str | None
    finish_reason: str | None


@dataclass(frozen=True)
class Rated:
    """A request that was rated: its newest thumb, whether all who rated it agree, and whether it was corrected."""

    thumb: Thumb
    is_agreed: bool
    is_corrected: bool


def rated(engine: Engine, task: str) -> dict[str, Rated]:
    """By request: what people said with thumbs of the task's answers. Of one person the newest thumb counts."""
    columns = (feedback.c.request_id, feedback.c.at, feedback.c.key_id, feedback.c.thumb)
    asked = (
        requests.c.at.label("requested_at"), requests.c.version, requests.c.template_sha256, requests.c.input,
        requests.c.output, requests.c.path, requests.c.finish_reason,
    )  # fmt: skip
    query = select(*columns, *asked, feedback.c.correction)
    query = query.join(requests, requests.c.id == feedback.c.request_id)
    with engine.connect() as connection:
        rows = connection.execute(query.where(requests.c.task == task).order_by(feedback.c.id)).all()
    corrected = {row.request_id for row in rows if is_correction(row.correction)}
    return _by_request((Thumb(*row[:-1]) for row in rows if row.thumb in (1, -1)), corrected)


def _by_request(given: Iterable[Thumb], corrected: set[str]) -> dict[str, Rated]:
    by_request: Mapping[str, dict[str | None, Thumb]] = defaultdict(dict)
    for thumb in given:
        by_request[thumb.request_id].pop(thumb.key_id, None)
        by_request[thumb.request_id][thumb.key_id] = thumb  # the newest is the last
    return {
        request: Rated(
            [*of_keys.values()][-1], len({each.thumb for each in of_keys.values()}) == 1, request in corrected
        )
        for request, of_keys in by_request.items()
    }
