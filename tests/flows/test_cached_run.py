"""A run that finds nothing to do is seen in Prefect all the same, and a Prefect that is away stops nothing."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows import cached_run, prefect_server

STAGES = ("train@things", "gate")


@pytest.fixture
def prefect() -> Iterator[tuple[str, list[tuple[str, dict]]]]:
    """(the address of a server that takes all that is posted, what was)."""
    posted: list[tuple[str, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(201)
            self.end_headers()
            self.wfile.write(json.dumps({"id": f"id-{len(posted)}"}).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/api", posted
        running.shutdown()


@pytest.mark.slow
def test_prefect_gets_a_completed_flow_run_with_each_stage_cached(
    prefect: tuple[str, list[tuple[str, dict]]],
) -> None:
    url, posted = prefect
    cached_run.report_to_prefect(url, "things", STAGES)
    paths, bodies = zip(*posted, strict=True)
    run = "/api/flow_runs/id-2/set_state"
    assert paths == ("/api/flows/", "/api/flow_runs/", "/api/task_runs/", "/api/task_runs/", run)
    assert bodies[1]["name"] == "pipeline things" and bodies[1]["tags"] == [prefect_server.checkout_tag()]
    tasks = [(body["flow_run_id"], body["name"], body["state"]["type"], body["state"]["name"]) for body in bodies[2:4]]
    assert tasks == [("id-2", name, "COMPLETED", "Cached") for name in STAGES]
    assert bodies[4]["state"]["type"] == "COMPLETED"


def test_a_prefect_that_is_away_is_said_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cached_run.report_to_prefect("http://127.0.0.1:9/api", "things", STAGES)
    assert capsys.readouterr().out == "Prefect at http://127.0.0.1:9/api was not told of this run (ConnectError)\n"
