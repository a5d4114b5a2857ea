"""Records of both kinds for tests: SQLite in a folder of their own, and a real PostgreSQL. And what the pairs of
test_matrix*.py are trained on.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL of the tests' own, on loopback, run by a user who may nothing else (it refuses root)."""
    from tests.tasks.gateway import wait_for

    tools = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not tools:
        assert os.environ.get("ANNEAL_ALL_TESTS") != "1", (
            "PostgreSQL is not installed (apt install postgresql), and ANNEAL_ALL_TESTS=1 asks for it"
        )
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    place = Path(tempfile.mkdtemp(prefix="anneal-postgres-"))  # pytest's own folders are closed to other users
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = _start(tools[-1], place, port)
    try:
        url = f"postgresql://anneal@127.0.0.1:{port}/postgres"
        wait_for(lambda: server.poll() is None and _answers(url), "PostgreSQL")
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        shutil.rmtree(place, ignore_errors=True)


def _start(initdb: Path, place: Path, port: int) -> subprocess.Popen:
    user = pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else getpass.getuser()
    if os.getuid() == 0:
        shutil.chown(place, user)
    as_user = {"user": user, "cwd": place} if os.getuid() == 0 else {"cwd": place}
    make = [initdb, "-D", place / "data", "-U", "anneal", "--auth=trust", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, **as_user)
    where = ["-D", str(place / "data"), "-p", str(port), "-k", str(place)]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    program = [initdb.with_name("postgres"), *where, *options]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user)


def _answers(url: str) -> bool:
    from tasks.errors import TransientError
    from tasks.records import database

    try:
        database.connect(url).dispose()
    except TransientError:
        return False
    return True


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind."""
    from tasks.records import database

    url = f"sqlite:///{tmp_path}/deep/records.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
    made = database.connect(url)
    yield made
    database.metadata.drop_all(made)
    made.dispose()


@pytest.fixture(scope="module")
def matrix_rows(tmp_path_factory: pytest.TempPathFactory, base: Path) -> dict[str, Path]:
    """objective: what it is trained on."""
    from tasks import kinds
    from tests.tasks import matrix

    place = tmp_path_factory.mktemp("rows")
    return {name: matrix.prepared(place / name, name, base) for name in kinds.names("tasks.objectives")}


@pytest.fixture(scope="module")
def matrix_bases(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """objective: the base that it trains."""
    from tasks import kinds
    from tests import encoders, pictures, sequences

    own = {
        "seq2seq": sequences.make_base(tmp_path_factory.mktemp("sequences") / "weights"),
        "classify_images": pictures.make_base(tmp_path_factory.mktemp("pictures") / "weights"),
        "extract": encoders.make_base(tmp_path_factory.mktemp("encoder") / "weights"),
    }
    return {name: own.get(name, base) for name in kinds.names("tasks.objectives")}
