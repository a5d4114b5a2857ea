"""What the gateway's /metrics say about the table it follows and the requests that run."""

import re
from dataclasses import dataclass, field

from tasks.serve.loopback import client
from tasks.serve.params import Gateway

LINE = re.compile(r"^(anneal_routes_revision|anneal_waiting|anneal_in_flight)(?:\{([^}]*)\})? ([0-9.e+]+)$", re.MULTILINE)


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
    """What the gateway says now; None when there is none. One that is too busy to say follows no table that we know of."""
    import httpx

    try:
        answer = client().get(f"{address(params)}/metrics", timeout=2)
    except httpx.ConnectError:
        return None
    except httpx.HTTPError:
        return View(-1)
    return view(answer.text) if answer.status_code == 200 else View(-1)


def view(text: str) -> View | None:
    """The view in a page of metrics; None when the page is not the gateway's."""
    found = {"anneal_routes_revision": None, "anneal_waiting": 0}
    in_flight: dict[str, int] = {}
    for name, labels, value in LINE.findall(text):
        if name == "anneal_in_flight":
            model = re.search(r'model="([^"]*)"', labels)
            if model:
                in_flight[model[1]] = in_flight.get(model[1], 0) + int(float(value))
        else:
            found[name] = int(float(value))
    revision = found["anneal_routes_revision"]
    return None if revision is None else View(revision, found["anneal_waiting"], in_flight)
