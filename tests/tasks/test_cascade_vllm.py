"""Real vLLM behind a real labeller: an adapter that comes at run time, and the same after a kill."""

import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.models import labeller
from tasks.serve import slots, state, verify
from tasks.stages.cascade import Cascade, cascade
from tasks.weights.tuned import answer
from tests import encoders, tiny, tiny_classifier
from tests.flows import toy_cascade
from tests.real_vllm import state_of, vllm

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # it trains, and starts vLLM twice

NAME = "things@1"


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> SimpleNamespace:
    """`base`, `adapter` with its labeller, `predictions`; what is told is noise."""
    place = tmp_path_factory.mktemp("cascade")
    plain = tiny.write_prepared(place / "toys", 64)
    learnt, encoder = tiny_classifier.write_learnt(place / "labels", plain), encoders.make_base(place / "encoder")
    heads, prepared = tiny_classifier.write_heads(place / "heads", encoder, learnt), place / "prepared"
    params = Cascade(dataset="toys", model="teller", trained_on="labels")
    cascade(params, plain, learnt, encoder, heads, prepared, place / "report")
    test = read_jsonl(prepared / "test.jsonl")[:8]
    adapter = tiny.train_in(place, base, prepared, num_train_epochs=3).adapter
    predictions = answer(base, adapter, test, 8, 40, "tuned").predictions
    shutil.copytree(prepared / labeller.FOLDER, adapter / labeller.FOLDER)
    for file in (*base.glob("*token*"), base / "chat_template.jinja"):
        shutil.copy(file, adapter / file.name)
    return SimpleNamespace(base=base, adapter=adapter, predictions=predictions)


def served(folder: Path) -> dict[str, state.Served]:
    return {NAME: state.Served("1", "x", str(folder))}


def test_an_adapter_that_comes_at_run_time_is_labelled_also_after_a_kill(made: SimpleNamespace, tmp_path: Path) -> None:
    empty = state_of(made.base, 512)
    with vllm(empty, tmp_path / "log") as program:
        damaged = shutil.copytree(made.adapter, tmp_path / "damaged")
        (damaged / labeller.FOLDER / "head.safetensors").write_bytes(b"no")
        with pytest.raises(AnnealError, match="could not load things@2: .*the labeller of things@2"):
            slots.load(empty.url, "things@2", str(damaged))
        assert verify.served_names(empty.url) == ["base"]
        slots.load(empty.url, NAME, str(made.adapter))
        slots.load(empty.url, NAME, str(made.adapter))
        toy_cascade.check(empty.url, NAME, made.base, made.adapter, made.predictions)
        os.kill(program.pid, signal.SIGKILL)
        program.wait(30)
    asked = state_of(made.base, 512, adapters=served(made.adapter))
    with vllm(asked, tmp_path / "log"):
        toy_cascade.check(asked.url, NAME, made.base, made.adapter, made.predictions)
        slots.load(asked.url, NAME, str(made.adapter))
        slots.unload(asked.url, NAME)
        gone = httpx.post(f"{asked.url}/chat/completions", json={"model": NAME, "messages": []})
        assert gone.status_code == 404
