"""A small world for tests of serving: a registry with versions, stub servers on two slots, what a
gateway follows, no supervisor.
"""

import http.server
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks import params as settings
from tasks.files import sha256, write_json, write_jsonl
from tasks.serve import ports, routes, state, supervisor
from tasks.versions import promotion, registry, verdict_tags
from tests.house.project import ROOT
from tests.stub_vllm import Stub, running
from tests.tasks.promoting import promote

BASE = "b" * 64
TASK = "things"
DATABASES = ("mlflow/mlflow.db", "records.db")  # of a test, in its folder


@dataclass
class World:
    """The folder of a project, its params, and what runs on its slots."""

    folder: Path
    params: settings.Params
    stack: ExitStack
    stubs: dict[str, Stub] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)  # programs
    stopped: list[str] = field(default_factory=list)

    def version(self, what: str, parity: bool = True, base: str = BASE, **tags: str) -> registry.Version:
        """The version of the artifact named `what`, registered when it is new; it becomes @challenger."""
        adapter, evaluate = self.folder / "made" / what / "adapter", self.folder / "made" / what / "evaluate"
        write_jsonl(adapter / "adapter_model.safetensors", [{"weights": what}])
        write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": what}])
        trained = sha256(adapter / "adapter_model.safetensors")
        write_json(
            adapter / "artifact.json",
            {
                "artifact_sha256": f"hash-of-{what}",
                "base_sha256": base,
                "parts": {"adapter_model.safetensors": trained},
            },
        )
        champion = registry.read(TASK).at("champion")
        compared = champion.version if champion else verdict_tags.NOTHING
        known = {"gate": "passed", verdict_tags.COMPARED: compared, "base_sha256": base, **tags}
        return promotion.register(TASK, adapter, evaluate, known | ({"parity": "1.0"} if parity else {}), {})

    def serve(self, slot: str, base: str = BASE, since: float = 1.0, engine: str = "vllm") -> Stub:
        """A verified server on `slot` with the weights `base`."""
        port = state.port(slot, self.params.deploy)
        stub = Stub(load_delay=0.0)
        self.stack.enter_context(running(stub, port))
        self.stubs[slot] = stub
        weights = str(state.base_folder(base))
        Path(weights).mkdir(parents=True, exist_ok=True)
        options = state.options(self.params.deploy)
        state.write(slot, state.State(weights, "127.0.0.1", port, options, engine=engine, verified=True, since=since))
        return stub


def champion_and_challenger(world: World) -> None:
    """Version 1 is the champion, version 2 verified and passed."""
    promote(world.version("one"))
    world.version("two")


def begin(world: World, work: Callable[[World], None]) -> None:
    """Do `work`, which only registers and promotes, in a world that is new and has the `store` of its test; in the next
    one that begins so, put back what it came to: each version takes a third of a second.
    """
    kept, here = world.folder.parent / f"begun by {work.__name__}", world.folder
    if not kept.exists():
        work(world)
        shutil.copytree(here / "made", kept / "made")
        copies = {here / name: kept / Path(name).name for name in DATABASES}
    else:
        shutil.copytree(kept / "made", here / "made")
        copies = {kept / Path(name).name: here / name for name in DATABASES}
    for source, target in copies.items():
        with closing(sqlite3.connect(source)) as whole, closing(sqlite3.connect(target)) as copy:
            whole.backup(copy)


@contextmanager
def world(folder: Path, patch: pytest.MonkeyPatch, port: int) -> Iterator[World]:
    """A world in `folder` with slots on `port` and the next one up, and no gateway."""
    patch.chdir(folder)
    patch.setenv("ANNEAL_DATABASE_URL", f"sqlite:///{folder}/records.db")
    shipped = settings.load(ROOT / "params.yaml")
    params = shipped.model_copy(
        update={
            "models": {TASK: shipped.models["triage"]},
            "deploy": shipped.deploy.model_copy(update={"port": port, "serve": "adapter"}),
            "gateway": shipped.gateway.model_copy(update={"port": port + 2}),
        }
    )
    with ExitStack() as stack:
        made = World(folder, params, stack)
        patch.setattr(supervisor, "ensure", lambda servers: None)
        patch.setattr(supervisor, "is_up", lambda: False)
        patch.setattr(supervisor, "start", made.started.append)
        patch.setattr(supervisor, "stop", made.stopped.append)
        patch.setattr(supervisor, "status", lambda program: "RUNNING")
        patch.setattr(ports, "refuse_taken_port", lambda *_: None)
        yield made


@contextmanager
def gateway(port: int, followed: dict[str, object] | None) -> Iterator[None]:
    """A gateway that only says which table it follows: `followed` at the time. None: an older one, without that
    route.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if followed is not None and self.path == routes.FOLLOWED else 404)
            self.end_headers()
            self.wfile.write(json.dumps(followed).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
