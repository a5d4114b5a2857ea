"""Whether a gateway serves, and what its /metrics say about the table it follows and the requests that run."""

import re
import time
from dataclasses import dataclass, field
from enum import Enum

from tasks.errors import AnnealError, TransientError
from tasks.serve import supervisor
from tasks.serve.loopback import client
from tasks.serve.params import Gateway

LINE = re.compile(
    r"^(anneal_routes_revision|anneal_waiting|anneal_in_flight)(?:\{([^}]*)\})? ([0-9.e+]+)$", re.MULTILINE
)


PROGRAM = "gateway"
PATIENCE = 30.0  # seconds for a gateway that is starting; it needs about three


class Presence(Enum):
    """What is known of the gateway. Only ABSENT says that there is no traffic."""

    ANSWERS = "answers"
    STARTING = "is being started, or started again, or nobody knows"
    ABSENT = "does not run, and nobody asked for it"
    ELSEWHERE = "is kept by others than this supervisor, where this process may not see it"
    FAILED = "was asked for and does not start"


@dataclass(frozen=True)
class View:
    """The revision that the gateway routes by, requests that wait in it, and requests that run, by model."""

    revision: int
    waiting: int = 0
    in_flight: dict[str, int] = field(default_factory=dict)


def address(params: Gateway) -> str:
    """Where the gateway of this machine answers."""
    return f"http://{'127.0.0.1' if params.host == '0.0.0.0' else params.host}:{params.port}"


def look(params: Gateway) -> View | None:
    """What the gateway says now; None when there is none. One that is too busy to say follows no table that we know
    of.
    """
    import httpx

    try:
        answer = client().get(f"{address(params)}/metrics", timeout=2)
    except httpx.ConnectError:
        return None
    except httpx.HTTPError:
        return View(-1)
    return view(answer.text) if answer.status_code == 200 else View(-1)


def presence(params: Gateway) -> Presence:
    """Whether there is a gateway. A closed port alone says nothing: the supervisor may be starting it this moment."""
    if look(params) is not None:
        return Presence.ANSWERS
    if supervisor.is_external():
        return Presence.ELSEWHERE
    status = supervisor.status(PROGRAM)
    if status == "STOPPED":
        return Presence.ABSENT if supervisor.is_surely_stopped(PROGRAM) else Presence.STARTING
    return Presence.FAILED if status in ("FATAL", "UNKNOWN") else Presence.STARTING


def await_presence(params: Gateway) -> Presence:
    """ANSWERS, ABSENT or ELSEWHERE: one that starts is waited for; AnnealError when it does not come about."""
    end = time.monotonic() + PATIENCE
    while (now := presence(params)) is Presence.STARTING and time.monotonic() < end:
        time.sleep(0.2)
    log = f".anneal/logs/{PROGRAM}.log"
    if now is Presence.STARTING:
        raise TransientError(
            f"the gateway is starting and does not answer at {address(params)} within {PATIENCE:.0f} s; see {log}, "
            "and run again."
        )
    if now is Presence.FAILED:
        raise AnnealError(
            f"the gateway does not start ({supervisor.last_words(PROGRAM)}): mend it and `make up`, or set "
            f"release.canary to off; see {log}."
        )
    return now


def view(text: str) -> View | None:
    """The view in a page of metrics; None when the page is not the gateway's."""
    figures: dict[str, int] = {}
    in_flight: dict[str, int] = {}
    for name, labels, value in LINE.findall(text):
        if name == "anneal_in_flight":
            model = re.search(r'model="([^"]*)"', labels)
            if model:
                in_flight[model[1]] = in_flight.get(model[1], 0) + int(float(value))
        else:
            figures[name] = int(float(value))
    revision = figures.get("anneal_routes_revision")
    return None if revision is None else View(revision, figures.get("anneal_waiting", 0), in_flight)
