"""Which engine writes answers, what is said where it cannot, and how long its process lives; without a vLLM."""

import fcntl
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows import pipeline_flow
from tasks.errors import AnnealError
from tasks.inference.engine import choice, lifetime
from tasks.inference.engine.choice import of_parent, uses_vllm
from tasks.inference.engine.client import RESERVE, no_room
from tasks.inference.engine.trained import why_never
from tasks.inference.engine.wire import Settings, key
from tasks.kinds import load
from tasks.preflight import checks
from tests.house.project import ROOT
from tests.tasks.own_params import ROWS, changed, refusal, write_rows

SETTINGS = Settings("w", "k", "t", "bfloat16", 2048, 16, 1000)
LIVES = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tasks.inference.engine import lifetime
lifetime.end_when_let_go()
running = lifetime.runs()
print("lives", flush=True)
time.sleep(60)
"""


def settings(kind: str) -> Any:
    return load("tasks.tuners", kind).Params(kind=kind)


@pytest.mark.parametrize("kind", ["lora", "qlora", "full", "ia3"])
def test_what_can_be_loaded_or_merged_is_written_by_vllm(kind: str) -> None:
    assert why_never(settings(kind), "lm") == ""


@pytest.mark.parametrize("kind", ["prefix", "prompt", "p_tuning"])
def test_what_can_be_neither_loaded_nor_merged_is_not(kind: str) -> None:
    assert (
        why_never(settings(kind), "lm") == f"vLLM does not load what tuner.kind {kind} trains, which cannot be merged"
    )


def test_what_does_not_write_alone_is_not() -> None:
    assert why_never(settings("lora"), "classes") == "the model reads and does not write"
    assert why_never(settings("lora"), "seq2seq") == "the model has an encoder beside what writes"


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"tuner": {"kind": "prefix"}}, "vLLM does not load what tuner.kind prefix trains, which cannot be merged"),
        ({"objective": {"kind": "seq2seq"}}, "the model has an encoder beside what writes"),
    ],
)
def test_vllm_is_refused_before_work_where_it_cannot_write(
    train: dict, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(ROWS)
    train = {"objective": {"kind": "sft"}, "tuner": {"kind": "lora"}, **train}
    told = refusal(models__mine__train=train, models__mine__predict={"engine": "vllm"})
    assert told == f"models.mine.predict.engine is vllm, and {words}; set it to auto or transformers."
    for engine in ("auto", "transformers"):
        checks.check(changed(models__mine__train=train, models__mine__predict={"engine": engine}), ["mine"])


def test_vllm_is_refused_before_work_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(ROWS)
    checks.check(changed(models__mine__predict={"engine": "vllm"}), ["mine"])
    monkeypatch.setattr("tasks.preflight.serving.is_installed", lambda: False)
    words = "models.mine.predict.engine is vllm, and vLLM is not installed here; set it to auto or transformers."
    assert refusal(models__mine__predict={"engine": "vllm"}) == words


@pytest.mark.parametrize(
    ("engine", "device", "expected"),
    [
        ("auto", "cpu", False),
        ("auto", "cuda", True),
        ("auto", "mps", False),
        ("transformers", "cuda", False),
        ("vllm", "cpu", True),
        ("vllm", "cuda", True),
    ],
)
def test_auto_is_vllm_on_a_gpu(engine: str, device: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "device", lambda: device)
    assert uses_vllm(engine, lambda: "") is expected


def test_what_vllm_cannot_do_is_said_on_a_gpu_and_an_error_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(choice, "device", lambda: "cuda")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    monkeypatch.setattr(choice, "is_installed", lambda: False)
    assert of_parent("auto", tmp_path) is None
    assert capsys.readouterr().err == "answered by transformers: vLLM is not installed here\n"
    with pytest.raises(AnnealError, match=r"^predict.engine is vllm, and vLLM is not installed here: set it to auto"):
        of_parent("vllm", tmp_path)


@pytest.mark.parametrize("name", ["max_model_len", "max_lora_rank", "kv_bytes"])
def test_a_process_with_more_room_serves_and_one_with_less_does_not(name: str) -> None:
    assert SETTINGS.serves(SETTINGS)
    more = replace(SETTINGS, **{name: getattr(SETTINGS, name) + 1})
    assert more.serves(SETTINGS) and not SETTINGS.serves(more)


@pytest.mark.parametrize("name", ["weights", "key", "tokenizer", "dtype"])
def test_a_process_with_other_weights_does_not_serve(name: str) -> None:
    assert not replace(SETTINGS, **{name: "another"}).serves(SETTINGS)


def test_weights_that_were_written_again_have_another_key(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"1")
    before = key(tmp_path, "*.safetensors")
    assert key(tmp_path, "*.safetensors") == before
    time.sleep(0.01)
    file.write_bytes(b"2")
    assert key(tmp_path, "*.safetensors") != before


def test_a_gpu_without_room_is_told_and_what_another_process_holds_is_free(tmp_path: Path) -> None:
    assert no_room(10, 5, 25 + RESERVE, None) == ""
    assert no_room(2**30, 2**30, 0, None) == (
        "vLLM wants 5.0 GiB of the GPU beside the model, and 0.0 are free"  # twice the weights, the cache, the reserve
    )
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    running = replace(SETTINGS, weights=str(tmp_path), kv_bytes=20)
    assert no_room(10, 5, RESERVE, running) == "" and no_room(11, 5, RESERVE, running)


def process(folder: Path) -> subprocess.Popen:
    """One that lives as long as it is held."""
    started = subprocess.Popen([sys.executable, "-c", LIVES, str(ROOT)], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert started.stdout and started.stdout.readline() in ("lives\n", "")
    return started


@pytest.mark.slow
def test_the_process_lives_while_a_stage_or_a_run_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keeper = lifetime.Keeper()
    keeper.hold()
    with lifetime.held():
        lives = process(tmp_path)
    time.sleep(3 * lifetime.EVERY)
    assert lives.poll() is None, "the stage has ended, and the run holds it"
    keeper.hold()
    keeper.let_go()
    assert lives.wait(5) == 0


@pytest.mark.slow
def test_nobody_holds_it_once_its_holder_was_killed(tmp_path: Path) -> None:
    holds = "import sys, time; sys.path.insert(0, sys.argv[1])\nfrom tasks.inference.engine import lifetime\n"
    holds += "with lifetime.held():\n    print('holds', flush=True)\n    time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", holds, str(ROOT)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "holds\n"
    lives = process(tmp_path)
    assert lives.poll() is None
    holder.kill()
    assert lives.wait(5) == 0


def test_a_run_holds_it_from_the_first_stage_that_asks_to_what_wants_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keeper, told = lifetime.Keeper(), {}
    for name in ("prepare", "train", "baseline", "few_shot", "predict", "evaluate", "package", "gate", "deploy"):
        pipeline_flow.hold_or_release(keeper, name)
        told[name] = is_held()
    assert [name for name, holds in told.items() if holds] == [
        "baseline",
        "few_shot",
        "predict",
        "evaluate",
        "package",
        "gate",
    ]


def is_held() -> bool:
    if not (lifetime.FOLDER / lifetime.HELD).exists():
        return False
    with (lifetime.FOLDER / lifetime.HELD).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
