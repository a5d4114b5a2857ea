"""What a training says before its first step is what it does then, what cannot fit is refused, and a plan changes no
byte of what is learnt.
"""

import os

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, sha256
from tasks.plan import before, disk, memory
from tests import tiny
from tests.tasks.stopping import whole_checkpoints
from tests.tiny import train_in as run

pytestmark = pytest.mark.slow  # each test trains

# A last epoch that is not whole, last batches with fewer rows, last steps with fewer batches; dropout draws numbers.
UNEVEN = {
    "num_train_epochs": 2.4,
    "per_device_train_batch_size": 3,
    "gradient_accumulation_steps": 4,
    "eval_steps": 0.3,
    "tuner": {**tiny.LORA, "lora_dropout": 0.1},
}


@pytest.fixture(scope="module")
def uneven(base, few, tmp_path_factory):
    return run(tmp_path_factory.mktemp("uneven"), base, few, **UNEVEN)


def _silent(params: object, trainer: object, *_: object) -> before.Plan:
    return before.Plan("", before.amounts.count(params, trainer, _[0]), None, None, "", 0)


def test_a_plan_changes_no_byte_of_what_is_learnt(uneven, base, few, tmp_path, monkeypatch):
    monkeypatch.setattr(before, "announce", _silent)
    assert sha256(run(tmp_path, base, few, **UNEVEN).adapter) == sha256(uneven.adapter)


def test_parameters_rows_tokens_and_steps_are_those_of_the_run_and_the_last_run_tells_its_time(
    uneven, base, few, tmp_path, capfd
):
    first, second = (run(tmp_path, base, few, **UNEVEN) for _ in range(2))
    known, lines = read_json(second.report / "metrics.json"), capfd.readouterr().err.splitlines()
    plans = [line for line in lines if line.startswith("train: ")]
    assert known["steps"] == 5
    assert [plan.partition("; about")[0] for plan in plans] == 2 * [
        f"train: 135 k parameters, {known['trainable_parameters'] / 1000:.1f} k of them learn; {known['rows']} rows, "
        f"{known['tokens']:,} tokens, 5 steps"
    ]
    assert [plan.rpartition("(")[2] for plan in plans] == ["by its largest batch)", "by the last run here)"]
    timing = read_json(second.report / "timing.json")
    assert timing["planned_memory_gib"] == pytest.approx(timing["memory_gib"], rel=0.15)
    assert len((first.checkpoints / "past.jsonl").read_text().splitlines()) == 2


def test_what_does_not_fit_on_the_disk_is_refused_before_any_step(base, few, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free", lambda place: 2**20)
    with pytest.raises(AnnealError, match=r"does not fit on the disk of .*1 MiB are free; free some"):
        run(tmp_path, base, few)
    assert not whole_checkpoints(tmp_path) and not (tmp_path / "trained").exists()


@pytest.mark.parametrize(
    ("spare", "advice"),
    [
        (
            3.5,
            "up to 3 rows fit: set per_device_train_batch_size: 2 and gradient_accumulation_steps: 4",
        ),
        (0.5, "not even one row fits"),
    ],
)
def test_what_does_not_fit_in_memory_is_refused_before_any_step(spare, advice, base, few, tmp_path, monkeypatch):
    """A row takes 100 MiB here, and `spare` rows are free."""

    from tasks.plan.rehearsal import Cost

    def rehearse(trainer: object, rows: list) -> Cost:
        return Cost(1.0, memory.GIB + len(rows) * 100 * 2**20)

    monkeypatch.setattr(memory, "taken", lambda: memory.GIB)
    monkeypatch.setattr(memory, "free", lambda: int(spare * 100 * 2**20))
    monkeypatch.setattr("tasks.plan.rehearsal.rehearse", rehearse)
    with pytest.raises(AnnealError, match=advice) as refusal:
        run(tmp_path, base, few)
    assert "does not fit in memory" in str(refusal.value) and not whole_checkpoints(tmp_path)


def test_the_peak_of_memory_is_measured_anew(tmp_path):
    block = bytearray(os.urandom(1)) * (64 * 2**20)
    high = memory.peak()
    del block
    memory.forget_peak()
    assert memory.peak() < high - 32 * 2**20
    assert memory.peak() >= memory.taken() - 2**20


def test_a_container_s_limit_counts(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert memory.free(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free(tmp_path) > 2**20
