"""A dataset of a hub as a snapshot: the libraries' own calls, answered on loopback by a server with one dataset."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.files import read_json
from tasks.section import parse
from tasks.sources import hub
from tasks.stages.ingest import Ingest, read

CSV = b"text,kind\nThe lamp is dark,fault\nIt is late,wish\n"
OID = hashlib.sha1(b"blob %d\0" % len(CSV) + CSV).hexdigest()
REVISION = "a" * 40
ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from tasks import stage
from tasks.steps import snapshot
from tasks.stages.ingest import Ingest
from tasks.sources import hub
params = hub.Params(**json.loads(sys.argv[1]))
sys.exit(stage.guarded(lambda: print(snapshot.refresh("d", params, Ingest(source="data/snapshots/d")))))
"""


class Hub(BaseHTTPRequestHandler):
    """Has org/tickets at one commit, with one file."""

    def answer(self) -> None:
        """The answers that huggingface_hub and datasets ask for."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        api, path = "/api/datasets/org/tickets", self.path.partition("?")[0]
        file = {"type": "file", "oid": OID, "size": len(CSV), "path": "train.csv"}
        about = {"_id": "1", "id": "org/tickets", "sha": REVISION, "siblings": [{"rfilename": "train.csv"}]}
        answers = {
            f"{api}/revision/{REVISION}": json.dumps(about | {"private": False, "tags": []}).encode(),
            f"{api}/tree/{REVISION}": json.dumps([file]).encode(),
            f"/datasets/org/tickets/resolve/{REVISION}/train.csv": CSV,
        }
        path = path.removesuffix("/data")  # a folder where data may lie
        content = answers.get(path, b"")
        self.send_response(200 if path in answers else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{OID}"')
        self.send_header("X-Repo-Commit", REVISION)
        if path not in answers:
            missing = "EntryNotFound" if REVISION in path else "RevisionNotFound"
            code = missing if "org/tickets" in path else "RepoNotFound"
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the hub, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def refresh(address: str, **params: object) -> tuple[int, str]:
    """(exit status, the last line) of a program of its own: the libraries read the hub's address when they load."""
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(Path("hub").absolute()), "PYTHONPATH": str(ROOT)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    words = json.dumps({"id": "org/tickets", "revision": REVISION} | params)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, words], env=clean | settings, capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.slow
def test_a_data_set_is_taken_once_and_the_hub_is_not_asked_again(address):
    assert refresh(address) == (0, "True")
    params = Ingest(source="data/snapshots/d")
    rows = read(params, Path(params.source))[0]
    assert [(row["text"], row["kind"]) for row in rows] == [("The lamp is dark", "fault"), ("It is late", "wish")]
    manifest = read_json(Path("data/snapshots/d.json"))
    assert manifest["rows"] == 2
    assert manifest["source"] == {"kind": "hub", "id": "org/tickets", "revision": REVISION, "split": "train"}
    assert refresh("http://127.0.0.1:1") == (0, "False")  # a commit never changes
    assert refresh(address, split="train[:1]") == (0, "True")
    assert len(read(params, Path(params.source))[0]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({"id": "org/nothing"}, 2, "snapshot: the hub has no dataset org/nothing (or you have no access: set HF_TOKEN"),
        ({"revision": "b" * 40}, 2, "snapshot: the hub "),
        ({"split": "tst"}, 1, 'error: org/tickets at aaaaaaaaaaaa cannot be taken: Unknown split "tst". Should be'),
        ({"subset": "x"}, 1, "error: org/tickets at aaaaaaaaaaaa cannot be taken: BuilderConfig 'x' not found."),
    ],
)
def test_what_the_hub_does_not_have_is_refused(address, params, status, words):
    code, line = refresh(address, **params)
    assert (code, words in line) == (status, True), line
    assert not Path("data/snapshots/d").exists()


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, line = refresh("http://127.0.0.1:1")
    assert code == 2 and "datasets.d.snapshot: the hub does not answer (ConnectError): try again." in line


def test_a_branch_is_no_revision():
    with pytest.raises(ParamsError, match="d.revision is 'main'; it should match pattern .*a commit, 40 hexadecimal"):
        parse(hub.Params, {"id": "org/tickets", "revision": "main"}, "d")
