"""A training whose weights are divided among two processes is that of one, and is continued from its checkpoint."""

import shutil
import socket
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.stages.train import processes, sharding
from tasks.stages.train.params import Train
from tests import tiny
from tests.tasks import matrix, own_params, sharded_runs, shared_runs


def params(**changes: object) -> Train:
    return Train(**{**tiny.KINDS, "fsdp": True, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": {"kind": "ppo"}}, "objective.kind ppo writes answers with the whole model"),
        ({"objective": {"kind": "classify_images"}}, "objective.kind classify_images keeps statistics"),
        ({"tuner": {"kind": "qlora"}}, "tuner.kind qlora is none of full and lora"),
        ({"tuner": {"kind": "prefix"}}, "tuner.kind prefix is none of full and lora"),
        ({"tuner": {"kind": "full", "gradual_unfreezing": True}}, "gradual_unfreezing changes what learns"),
        ({"tuner": {"kind": "lora", "init_lora_weights": "pissa"}}, "init_lora_weights pissa changes the parent"),
        ({"optim": "adamw_8bit"}, "optim adamw_8bit does not step parts of a weight"),
        ({"fp16": True, "bf16": False}, "fp16 scales the loss"),
    ],
)
def test_what_cannot_be_divided_is_refused_in_a_sentence(monkeypatch, changes, words) -> None:
    assert words in sharding.problem(params(**changes))
    assert not sharding.problem(params(**changes, **{"fsdp": False}))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv(processes.COUNT, "2")
    with pytest.raises(ParamsError):
        processes.wanted(params(**changes))


@pytest.mark.slow
def test_one_process_has_nobody_to_divide_weights_with(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for asked in ("", "1"):
        monkeypatch.setenv(processes.COUNT, asked)
        with pytest.raises(ParamsError, match="this training would be one: leave it out"):
            processes.wanted(params())
    monkeypatch.setenv(processes.COUNT, "2")
    assert processes.wanted(params()) == 2


def test_the_check_of_params_refuses_what_cannot_be_divided() -> None:
    from tasks.preflight import training

    changed = own_params.changed(models__mine__train={**tiny.KINDS, "fsdp": True, "optim": "adafactor"})
    assert [words for words in training.problems(changed, "mine") if "fsdp is true, and optim adafactor" in words]


@pytest.fixture(scope="module")
def made(_empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `one` by one process, and `divided` and `continued` by two."""
    folder = tmp_path_factory.mktemp("sharded")
    tiny.make_base(folder / "base")
    rows = matrix.prepared(folder / "rows", "sft", folder / "base")
    write_jsonl(rows / "train.jsonl", read_jsonl(rows / "train.jsonl")[: shared_runs.ROWS])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [matrix.PROCESSES.Process(target=sharded_runs.process, args=(folder, rank, port)) for rank in (0, 1, -1)]
    for rank, process in zip((0, 1, -1), started, strict=True):
        shutil.copy(_empty_store, folder / f"mlflow-{rank}.db")
        process.start()
    for process in started:
        process.join(120)
        process.kill()
    said = [(folder / f"said-{rank}.txt").read_text() for rank in (0, 1)]
    assert [process.exitcode for process in started] == [0, 0, 0], "\n".join(said)[-4000:]
    assert said[0].count(sharding.SKIPPED) == 3 and "continuing from checkpoint-4" in said[0]
    return folder


@pytest.mark.slow
def test_weights_that_are_divided_learn_as_whole_ones(made: Path) -> None:
    ours, theirs = (read_json(made / place / "report" / "metrics.json") for place in ("one", "divided"))
    known = {name: value for name, value in ours.items() if not name.startswith(("general_", "memorised"))}
    assert theirs == pytest.approx(known, rel=1e-4)
    assert sorted(path.name for path in (made / "one" / "trained").iterdir()) == sorted(
        path.name for path in (made / "divided" / "trained").iterdir()
    )
    _assert_learnt_alike(made, "one", "divided")
    assert (made / "one/trained/config.json").read_bytes() == (made / "divided/trained/config.json").read_bytes()


@pytest.mark.slow
def test_each_process_has_its_half_of_the_weights_and_the_first_writes_whole_ones(made: Path) -> None:
    for rank in (0, 1):
        held = read_json(made / f"held-{rank}.json")
        assert held["whole"] == read_json(made / "one/report/metrics.json")["trainable_parameters"]
        assert 0.45 < held["held"] / held["whole"] < 0.55 and held["optimizer"] == 2 * held["held"]


@pytest.mark.slow
def test_a_divided_training_goes_on_from_its_checkpoint(made: Path) -> None:
    _assert_learnt_alike(made, "divided", "continued")
    lines = [(made / place / "report/loss.csv").read_text().splitlines() for place in ("divided", "continued")]
    assert lines[0][0] == lines[1][0]
    told = [[[float(value or "nan") for value in line.split(",")] for line in part[1:]] for part in lines]
    for ours, theirs in zip(*told, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4, nan_ok=True)


def _assert_learnt_alike(made: Path, one: str, other: str) -> None:
    import torch
    from safetensors.torch import load_file

    base = load_file(made / "base" / "model.safetensors")
    ours, theirs = (load_file(made / place / "trained" / "model.safetensors") for place in (one, other))
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        most = float((weight - base[name]).abs().max())
        assert most > 0
        torch.testing.assert_close(theirs[name], weight, rtol=0, atol=1e-3 * most)
