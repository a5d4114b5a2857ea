"""Files behind a URL as a snapshot, from a real HTTP server on loopback: whole or not at all."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.errors import AnnealError, ParamsError, TransientError
from tasks.files import read_json
from tasks.sources import url
from tasks.stages.ingest import Ingest, read
from tasks.steps import snapshot

CSV = b"text,kind\nThe lamp is dark,fault\n"
FILES = {
    "/rows.csv": CSV,
    "/my%20rows.csv.gz": gzip.compress(CSV),
    "/export": CSV,
    "/torn.csv": b"text,kind\na,fault,more\n",
}


class Server(BaseHTTPRequestHandler):
    """Serves `files`; a path that begins with /half ends before its content does."""

    files = FILES

    def do_GET(self) -> None:
        """Answer as a server of files does."""
        path = self.path.partition("?")[0]
        content = self.files.get(path.removeprefix("/half"))
        if self.path.startswith("/closed"):
            self.send_error(403)
        elif content is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if path.startswith("/half") else content)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Server, "files", dict(FILES))
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def refresh(address: str, file: str | None = None, **ingest: object) -> bool:
    return snapshot.refresh("d", url.Params(url=address, file=file), Ingest(source="data/snapshots/d", **ingest))


def taken() -> list[tuple[str, str]]:
    params = Ingest(source="data/snapshots/d")
    return [(row["text"], row["kind"]) for row in read(params, Path(params.source))[0]]


def stored() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("data/snapshots").rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "file", "name"),
    [
        ("/rows.csv", None, "rows.csv"),
        ("/my%20rows.csv.gz", None, "my rows.csv.gz"),
        ("/rows.csv?format=x", None, "rows.csv"),
        ("/export", "tickets.csv", "tickets.csv"),
    ],
)
def test_a_file_is_taken_under_its_name(server, path, file, name):
    assert refresh(server + path, file, license="cc0-1.0")
    assert taken() == [("The lamp is dark", "fault")]
    manifest = read_json(Path("data/snapshots/d.json"))
    assert [entry["name"] for entry in manifest["files"]] == [name]
    assert (manifest["rows"], manifest["license"], manifest["source"]["url"]) == (1, "cc0-1.0", server + path)


@pytest.mark.slow
def test_the_same_content_leaves_every_byte_and_another_does_not(server):
    assert refresh(f"{server}/rows.csv")
    before = stored()
    assert not refresh(f"{server}/rows.csv") and stored() == before
    Server.files["/rows.csv"] = CSV + b"It is late,wish\n"
    assert refresh(f"{server}/rows.csv") and len(taken()) == 2
    assert {path for path, content in stored().items() if before.get(path) != content} == set(before)


@pytest.mark.slow
def test_what_breaks_off_leaves_the_last_snapshot(server):
    assert refresh(f"{server}/rows.csv")
    before = stored()
    with pytest.raises(TransientError, match="rows.csv was interrupted .*; nothing was written, run again"):
        refresh(f"{server}/half/rows.csv")
    with pytest.raises(AnnealError, match=r"http://\S+/torn.csv: torn.csv, line 2: has a different number of cells"):
        refresh(f"{server}/torn.csv")
    assert stored() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/none.csv", "/none.csv has no such file, or its server does not answer."),
        ("/closed.csv", "/closed.csv "),
        (
            "/export",
            "/export ends in 'export', which does not tell the format: write snapshot.file, for example rows.csv",
        ),
    ],
)
def test_a_url_without_a_file_is_refused_before_any_work(server, path, words):
    with pytest.raises(ParamsError) as error:
        refresh(server + path)
    assert str(error.value).startswith(f"params.yaml: datasets.d.snapshot: {server}{words}")
    assert not Path("data").exists()


@pytest.mark.slow
def test_a_server_that_takes_the_call_and_says_nothing_is_refused_in_seconds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(url, "SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        with pytest.raises(ParamsError, match=r"127\.0\.0\.1:\d+/rows.csv (does not answer|has no such file)"):
            refresh(f"http://127.0.0.1:{mute.getsockname()[1]}/rows.csv")
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://bucket/rows.csv", "s3:// needs the package s3fs, which is not installed."),
        ("gs://bucket/rows.csv", "gs:// needs the package gcsfs, which is not installed."),
        ("nosuch://x/rows.csv", "nosuch:// is not a scheme that fsspec supports: correct nosuch://x/rows.csv."),
        ("data/rows.csv", "data/rows.csv is not a URL (as in https://…); a path is written as ingest.source."),
        ("https://me:geheim@x/rows.csv", "the URL contains a password, which does not belong in params.yaml: put"),
        ("TICKETS_URL", "the environment variable TICKETS_URL is not set: set it to the URL."),
        ("http://127.0.0.1:1/rows.csv", "http://127.0.0.1:1/rows.csv "),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(tmp_path, monkeypatch, address, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError) as error:
        refresh(address)
    assert str(error.value).startswith(f"params.yaml: datasets.d.snapshot: {words}")
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_in_no_sentence_and_in_no_manifest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKETS_URL", "http://me:geheim@127.0.0.1:1/rows.csv?token=4711")
    with pytest.raises(ParamsError) as error:
        refresh("TICKETS_URL")
    assert "TICKETS_URL" in str(error.value) and "geheim" not in str(error.value) and "4711" not in str(error.value)


def test_several_files_are_named_with_a_star(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    for name in ("a.csv", "b.csv"):
        Path("there", name).write_bytes(CSV)
    assert refresh(f"file://{tmp_path}/there/*.csv")
    assert [path.name for path in sorted(Path("data/snapshots/d").iterdir())] == ["a.csv", "b.csv"]
