"""Whether a gateway is running, which table it follows, and which requests it is serving."""

import time
from enum import Enum

from tasks.errors import AnnealError, TransientError
from tasks.serve import supervisor
from tasks.serve.loopback import client
from tasks.serve.params import Gateway
from tasks.serve.routes import FOLLOWED, Followed

# For a gateway that is too busy to answer, too old for the route, or not ours: its table is unknown.
UNKNOWN = Followed(-1)
PROGRAM = "gateway"
PATIENCE = 30.0  # seconds for a gateway that is starting; it needs about three


class Presence(Enum):
    """What is known of the gateway. Only ABSENT says that there is no traffic."""

    ANSWERS = "answers"
    STARTING = "is starting or restarting, or its state is unknown"
    ABSENT = "is not running and was not requested"
    ELSEWHERE = "is run by something other than this supervisor, out of sight of this process"
    FAILED = "was requested but does not start"


def address(params: Gateway) -> str:
    """Where the gateway of this machine answers."""
    return f"http://{'127.0.0.1' if params.host == '0.0.0.0' else params.host}:{params.port}"


def followed(params: Gateway) -> Followed | None:
    """What the gateway follows now; UNKNOWN if it does not say, None only if nothing listens."""
    import httpx
    from pydantic import TypeAdapter, ValidationError

    try:
        answer = client().get(f"{address(params)}{FOLLOWED}", timeout=2)
        return TypeAdapter(Followed).validate_json(answer.content) if answer.status_code == 200 else UNKNOWN
    except httpx.ConnectError:
        return None
    except (httpx.HTTPError, ValidationError):
        return UNKNOWN


def presence(params: Gateway) -> Presence:
    """Whether there is a gateway. A closed port alone proves nothing: the supervisor may be starting it right now."""
    if followed(params) is not None:
        return Presence.ANSWERS
    if supervisor.is_external():
        return Presence.ELSEWHERE
    status = supervisor.status(PROGRAM)
    if status == "STOPPED":
        return Presence.ABSENT if supervisor.is_surely_stopped(PROGRAM) else Presence.STARTING
    return Presence.FAILED if status in ("FATAL", "UNKNOWN") else Presence.STARTING


def await_presence(params: Gateway) -> Presence:
    """ANSWERS, ABSENT or ELSEWHERE: waits for a gateway that is starting; AnnealError if it fails to start."""
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
            f"the gateway does not start ({supervisor.last_words(PROGRAM)}): fix it and run `make up`, or set "
            f"release.canary to off; see {log}."
        )
    return now
