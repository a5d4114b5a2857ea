"""The image file is linted and hardened, and the small programs that images carry do what they say."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.params import load
from tests.house.manifests import INFRA
from tests.house.project import ROOT

pytestmark = pytest.mark.slow  # each test starts servers or processes

IMAGES = INFRA / "images"
FILE = IMAGES / "Containerfile"
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def program(name: str) -> SimpleNamespace:
    """What a script of infra/images defines."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, IMAGES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faults(text: str) -> Iterator[str]:
    """Stages that are not pinned, and final stages that are root."""
    stages = re.split(r"(?m)^FROM ", text)[1:]
    names = {match[1] for stage in stages if (match := re.match(r"\S+ AS (\S+)", stage))}
    for stage in stages:
        image = stage.split()[0]
        if image not in names and not re.fullmatch(r"[\w./-]+:\d[\w.-]+", image):
            yield f"{image} is not pinned"
        if "\nCMD" in stage and not re.search(r"\nUSER [1-9]\d*:[1-9]\d*\n(?!.*\nUSER )", stage, re.DOTALL):
            yield f"{image} ends as root"
        if re.search(r"(?m)^\s*(ADD|RUN (curl|wget)) ", stage):
            yield "something is fetched that no lock file names"


def test_the_image_file_is_pinned_and_ends_without_root() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert list(faults(text)) == []
    assert len(list(faults(text.replace("USER 10001:10001", "USER root")))) == 1
    assert len(list(faults(text.replace("3.11.14-slim-bookworm", "latest")))) == 1
    assert len(list(faults(text + "ADD https://example.com/x /x\n"))) == 1


def test_versions_in_the_image_file_are_those_of_the_lock_file() -> None:
    lock = (INFRA / "requirements/cpu.lock").read_text(encoding="utf-8")
    pinned = re.findall(r"\b([a-z]+)(?:\[\w+\])?==([\d.]+)", FILE.read_text(encoding="utf-8"))
    assert {"mlflow", "psycopg"} <= {name for name, _ in pinned}
    assert [
        (name, version) for name, version in pinned if f"\n{name}==" in lock and f"\n{name}=={version}\n" not in lock
    ] == []


def test_the_image_file_passes_the_linter(tmp_path: Path) -> None:
    assert subprocess.run([HADOLINT, str(FILE)], capture_output=True, text=True).stdout == ""
    planted = tmp_path / "Containerfile"
    planted.write_text("FROM python:latest\nRUN cd /tmp && sudo apt-get install gcc\n")
    assert subprocess.run([HADOLINT, str(planted)], capture_output=True).returncode


def test_addresses_change_two_values_and_keep_the_rest(tmp_path: Path) -> None:
    copy = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", copy)
    program("addresses").readdress(copy)
    before, after = load(ROOT / "params.yaml"), load(copy)
    assert (after.gateway.host, after.deploy.host) == ("0.0.0.0", "vllm")
    same = {
        "gateway": after.gateway.model_copy(update={"host": before.gateway.host}),
        "deploy": after.deploy.model_copy(update={"host": before.deploy.host}),
    }
    assert after.model_copy(update=same) == before
    assert copy.read_text().count("#") == (ROOT / "params.yaml").read_text().count("#")


def test_the_workspace_gets_the_image_and_keeps_what_was_harvested(tmp_path: Path) -> None:
    image, volume = tmp_path / "image", tmp_path / "volume"
    for folder in (image / "tasks", volume / "data"):
        folder.mkdir(parents=True)
    (image / "tasks/x.py").write_text("new")
    (volume / "data/harvested.jsonl").write_text("kept")
    env = {**os.environ, "ANNEAL_REVISION": "abc123", "GIT_CONFIG_GLOBAL": os.devnull}
    for _ in range(2):
        subprocess.run(
            [str(IMAGES / "workspace.sh"), str(image), str(volume)], check=True, env=env, capture_output=True
        )
    assert (volume / "tasks/x.py").read_text() == "new" and (volume / "data/harvested.jsonl").read_text() == "kept"
    assert (
        subprocess.run(["git", "log", "-1", "--format=%s"], cwd=volume, capture_output=True, text=True).stdout
        == "image built from abc123\n"
    )


def test_the_bucket_is_made_once_and_a_refusal_is_no_missing_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(Exception):
        def __init__(self, status: int) -> None:
            self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}

    made, status = [], [404]

    def head(**_: str) -> None:
        if status[0] != 200:
            raise Refused(status[0])

    store = SimpleNamespace(head_bucket=head, create_bucket=lambda Bucket: made.append(Bucket))
    monkeypatch.setitem(sys.modules, "boto3", SimpleNamespace(client=lambda *_, **__: store))
    monkeypatch.setitem(sys.modules, "botocore.exceptions", SimpleNamespace(ClientError=Refused))
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://objects:8333")
    make = program("bucket").make
    make("mlflow")
    status[0] = 200
    make("mlflow")
    assert made == ["mlflow"]
    status[0] = 403
    with pytest.raises(Refused):
        make("mlflow")


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The keeper's program, its state files in a folder of the test's own."""
    found = program("slots")
    monkeypatch.setattr(found, "FOLDER", tmp_path)
    monkeypatch.setattr(found, "ALIVE", tmp_path / "alive")
    return found


def ask(folder: Path, **values: object) -> None:
    """Ask for a server of slot a."""
    (folder / "a.json").write_text(
        json.dumps(
            {
                "weights": "base",
                "host": "127.0.0.1",
                "port": 19500,
                "options": {},
                "merged": {},
                "adapters": {},
                **values,
            }
        )
    )


def test_a_slot_follows_its_state_file(slots: SimpleNamespace, tmp_path: Path) -> None:
    keeper = slots.Keeper("a", [sys.executable, "-c", "import time; time.sleep(60)"])
    keeper.turn(0)
    assert keeper.process is None
    ask(tmp_path)
    keeper.turn(1)
    first = keeper.process
    ask(tmp_path, adapters={"triage@3": {}}, verified=True)  # adapters are loaded over HTTP
    keeper.turn(2)
    assert keeper.process is first and first.poll() is None
    ask(tmp_path, weights="another")
    keeper.turn(3)
    assert first.poll() is not None and keeper.process is not first and keeper.process.poll() is None
    second = keeper.process
    (tmp_path / "a.json").unlink()
    keeper.turn(4)
    assert keeper.process is None and second.poll() is not None


def test_a_server_that_dies_comes_back_after_pauses_that_double(slots: SimpleNamespace, tmp_path: Path) -> None:
    ask(tmp_path)
    keeper = slots.Keeper("a", [sys.executable, "-c", "raise SystemExit(3)"])
    starts, now = [], 0.0
    while len(starts) < 5:
        was = keeper.process
        keeper.turn(now)
        if keeper.process is not None and keeper.process is not was:
            starts.append(now)
            keeper.process.wait()
        now += 0.5
    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert waits == [1.5, 2.5, 4.5, 8.5]
    keeper.pause = 60.0
    keeper.turn(now)
    assert keeper.pause == 60.0


def test_the_keeper_ends_its_servers_and_shows_that_it_lives(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    for folder in (".anneal/serving", "tasks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tasks/serve.py").write_text(
        f"import os, time\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    ask(tmp_path / ".anneal/serving")
    start = {"cwd": tmp_path, "env": {**os.environ, "TMPDIR": str(tmp_path)}}
    question = [sys.executable, str(IMAGES / "slots.py"), "alive"]
    assert subprocess.run(question, **start).returncode == 1
    keeper = subprocess.Popen([*question[:2], "a", "b"], **start)
    end = time.monotonic() + 20
    while not (pids.exists() and pids.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    assert subprocess.run(question, **start).returncode == 0
    keeper.terminate()
    assert keeper.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


def test_ready_means_that_a_server_answers(slots: SimpleNamespace, tmp_path: Path) -> None:
    from tests.stub_vllm import Stub, running

    assert not slots.is_ready() and not slots.is_alive()
    stub = Stub()
    with running(stub) as url:
        ask(tmp_path, port=int(re.search(r":(\d+)", url)[1]))
        assert slots.is_ready()
        stub.healthy = False
        assert not slots.is_ready()
