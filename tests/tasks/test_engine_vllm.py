"""The real vLLM writes what transformers writes: a parent held to its form, an adapter, a cascade's beginnings, weights
trained whole and merged. One process is asked by all that stand on one parent, and lives as long as it is held.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tasks.dialogues.chat import GIVEN, REST
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.formats.answer import JsonAnswer
from tasks.inference import answers
from tasks.inference.engine import client, lifetime
from tasks.inference.engine.trained import MERGED, of_trained
from tasks.stages.baseline import baseline
from tasks.stages.few_shot import few_shot
from tasks.stages.predict.__main__ import predict
from tasks.stages.predict.params import Predict
from tasks.weights.tuned import answer
from tests import texts, tiny
from tests.house.project import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # it trains, and starts vLLM some times

FORM = JsonAnswer(tuple(tiny.PREPARE.answer))
ALIKE = 0.98  # share of tokens


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A folder with `base`, `prepared` and what was `trained` on them."""
    place = tmp_path_factory.mktemp("engine")
    shutil.copytree(base, place / "base")
    prepared = tiny.write_prepared(place / "prepared", 64)
    trained = tiny.train_in(place, place / "base", prepared, num_train_epochs=4).adapter
    return SimpleNamespace(place=place, base=place / "base", prepared=prepared, trained=trained)


@pytest.fixture
def inside(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The folder is the current one, and no process is left in it that nobody holds."""
    import torch

    for module in (answers, client):
        monkeypatch.setattr(module, "compute_dtype", lambda: torch.float32)  # where no two tokens are as likely
    monkeypatch.chdir(made.place)
    yield made
    lifetime.wait_for_end()
    assert not alive()


@pytest.fixture
def kept(inside: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """What is started goes on until the test ends."""
    keeper = lifetime.Keeper()
    keeper.hold()
    yield inside
    keeper.let_go()


def alive() -> list[int]:
    """The processes of the engine that belong to the current folder."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "cwd"])
        if "tasks.inference.engine.server" in (process.info["cmdline"] or ()) and process.info["cwd"] == str(Path.cwd())
    ]


def params(engine: str) -> Predict:
    return Predict(**tiny.PREDICT, engine=engine)


def same(ours: list[dict], theirs: list[dict]) -> float:
    """The share of equal tokens, place by place; all else that is told of a row is the same."""
    for a, b in zip(ours, theirs, strict=True):
        assert list(a) == list(b) and (a["nll"], a["tokens"]) == (b["nll"], b["tokens"])
        assert a["token_ids"] != b["token_ids"] or a == b
    tokens = [(a["token_ids"], b["token_ids"]) for a, b in zip(ours, theirs, strict=True)]
    equal = sum(x == y for a, b in tokens for x, y in zip(a, b, strict=False))
    return equal / sum(max(len(a), len(b)) for a, b in tokens)


def both(made: SimpleNamespace, trained: Path, rows: list[dict]) -> float:
    """`same` of what transformers and vLLM write to `rows`."""
    told = []
    for how in ("transformers", "vllm"):
        engine = of_trained(how, made.base, trained)
        told.append(answer(made.base, trained, rows, 8, 40, how, writer=engine))
    assert [each.engine for each in told] == ["transformers", "vllm"]
    return same(told[0].predictions, told[1].predictions)


def test_parent_few_shot_and_tuned_are_asked_of_one_process(kept: SimpleNamespace) -> None:
    stages = {
        "baseline": lambda how, out: baseline(params(how), kept.base, kept.prepared, out),
        "few_shot": lambda how, out: few_shot(params(how), kept.base, kept.prepared, out),
        "predict": lambda how, out: predict(params(how), kept.base, kept.trained, kept.prepared, out),
    }
    processes = set()
    for name, stage in stages.items():
        told = {}
        for how in ("transformers", "vllm"):
            stage(how, out := kept.place / how / name)
            told[how] = read_jsonl(out / "predictions.jsonl")
            assert read_json(out / "timing.json")["engine"] == how
        assert same(told["transformers"], told["vllm"]) >= ALIKE, name
        if name != "predict":
            assert all(FORM.read(row["text"]) and row["finished"] for row in told["vllm"])
        processes |= set(alive())
    assert len(processes) == 1
    given = [{**row, GIVEN: row["answer"].partition('"reply"')[0]} for row in tiny.prepared_rows(90, 6)]
    begun = [{**row, REST: row["answer"].removeprefix(row[GIVEN])} for row in given]
    assert both(kept, kept.trained, begun) >= ALIKE
    assert both(kept, kept.trained, texts.rows(0, 3)) >= ALIKE, "texts, which no question opens"
    assert set(alive()) == processes


def test_an_engine_that_is_killed_is_a_sentence_and_leaves_what_was_there(
    kept: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        (process,) = alive()
        os.kill(process, signal.SIGKILL)

    out = kept.place / "killed" / "baseline"
    baseline(params("transformers"), kept.base, kept.prepared, out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(client, "send", killed)  # it ends as it is asked
        with pytest.raises(AnnealError, match=r"^vLLM ended while it answered \(.*\); see .*, and run again, or set "):
            baseline(params("vllm"), kept.base, kept.prepared, out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert [folder.name for folder in out.parent.iterdir()] == ["baseline"]
    baseline(params("vllm"), kept.base, kept.prepared, out)
    assert read_json(out / "timing.json")["engine"] == "vllm"


@pytest.mark.parametrize("tuner", [{"kind": "full"}, {"kind": "ia3"}])
def test_what_is_no_adapter_is_asked_as_weights_and_of_a_process_that_ends(
    inside: SimpleNamespace, tuner: dict
) -> None:
    place = inside.place / tuner["kind"]
    rate = 1e-3 if tuner["kind"] == "full" else 1e-2
    trained = tiny.train_in(
        place, inside.base, inside.prepared, tuner=tuner, learning_rate=rate, num_train_epochs=2
    ).adapter
    assert both(inside, trained, tiny.prepared_rows(90, 6)) >= ALIKE
    lifetime.wait_for_end()
    assert not alive() and not list(lifetime.FOLDER.glob(f"{MERGED}*"))


ASKS = """
import sys, time
from pathlib import Path
from tasks.stages.baseline import baseline
from tasks.inference.engine import lifetime
from tasks.stages.predict.params import Predict
with lifetime.held():
    baseline(Predict(max_new_tokens=40, engine="vllm"), Path("base"), Path("prepared"), Path("alone"))
    print("asked", flush=True)
    time.sleep(600)
"""


def test_a_run_that_is_killed_leaves_no_process(inside: SimpleNamespace) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ASKS], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert run.stdout and run.stdout.readline() == "asked\n" and len(alive()) == 1
    run.kill()
    run.wait(10)
    until = time.monotonic() + 10
    while alive() and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive()
