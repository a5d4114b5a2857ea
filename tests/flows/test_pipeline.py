"""Two runs at once, and which Prefect server a run uses."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flows import pipeline, prefect_server
from tasks.errors import AnnealError, TransientError
from tasks.serve.params import Servers
from tests.flows.project import ROOT
from tests.sentences import Says

HOLD = """
    import sys
    from filelock import FileLock
    with FileLock(".anneal/pipeline.lock"):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.mark.slow
def test_a_second_run_says_that_it_waits_and_goes_on_when_the_first_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".anneal").mkdir()
    first = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "held\n"
    second = subprocess.Popen(
        [sys.executable, "-c", "from flows.pipeline import only_one\nwith only_one(): print('mine', flush=True)"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert "another run is going on in this checkout; waiting" in second.stdout.readline()
    first.kill()  # the kernel lets go of a killed holder's lock
    assert second.stdout.readline() == "mine\n"
    assert (first.wait(), second.wait()) == (-9, 0)
    with pipeline.only_one():
        assert capsys.readouterr().out == ""


def test_without_a_server_the_run_is_ephemeral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for name in ("PREFECT_HOME", "PREFECT_LOGGING_SERVER_LEVEL"):
        monkeypatch.setenv(name, str(tmp_path))
    assert prefect_server.choose(Servers()) is None
    monkeypatch.setattr(prefect_server, "MIN_FREE", 2**40)
    with pytest.raises(AnnealError, match=rf"^only \d+ MiB are free on the disk of {tmp_path}, and .* free some \("):
        prefect_server.choose(Servers())


LATE = """
import sys
from flows import prefect_server
from tasks.serve.params import Servers
from tasks.stage import guarded

def work():
    prefect_server.choose(Servers())
    from prefect import flow
    prefect_server.silence_tracebacks()
    with prefect_server.runs():
        flow(lambda: None, name="late")()

sys.exit(guarded(work))
"""


@pytest.mark.slow
def test_an_ephemeral_server_that_does_not_come_up_is_a_sentence(tmp_path: Path) -> None:
    settings = {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "0"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | settings
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == TransientError.exit_status and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == Says(
        "error: Prefect's ephemeral server", "busy", "disk is full", "run again", "`make up`"
    )


@pytest.mark.parametrize(("version", "error"), [("2.19.0", AnnealError), (None, TransientError)])
@pytest.mark.slow
def test_a_prefect_server_of_another_version_or_without_an_answer_is_refused(
    version: str | None, error: type, httpserver_at: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", "unused")
    monkeypatch.setenv("PREFECT_API_URL", httpserver_at(version))
    with pytest.raises(
        error, match=r"the Prefect server at http://127\.0\.0\.1:\d+/api (is version 2\.19\.0|does not answer)"
    ):
        prefect_server.choose(Servers())


@pytest.fixture
def httpserver_at(request: pytest.FixtureRequest) -> object:
    """A real HTTP server whose /api/admin/version says what is asked, or 503."""
    import json
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    def start(version: str | None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if version else 503)
                self.end_headers()
                self.wfile.write(json.dumps(version).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        found = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=found.serve_forever, daemon=True).start()
        request.addfinalizer(found.shutdown)
        return f"http://127.0.0.1:{found.server_port}/api"

    return start
