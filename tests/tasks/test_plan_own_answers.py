"""A training that writes its own answers is known to fit, or refused, before it writes the first one."""

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, sha256
from tasks.plan import fitting, memory
from tasks.plan.rehearsal import Cost
from tasks.stages.train.fit import make_trainer
from tasks.stages.train.params import Train
from tasks.stages.train.ready import ready
from tests.tasks import matrix
from tests.tasks.stopping import whole_checkpoints

pytestmark = pytest.mark.slow  # each test makes a trainer, or trains
KINDS = pytest.mark.parametrize("kind", ["ppo", "grpo", "rloo"])
LONGEST = 4  # matrix.OBJECTIVES: max_completion_length
MIB = 2**20


@pytest.fixture
def rows(base, tmp_path, kind):
    return matrix.prepared(tmp_path / "rows", kind, base)


@pytest.fixture
def trainer(base, rows, kind, tmp_path):
    params = Train(**matrix.settings(kind, "lora"))
    begun = ready(params, base, rows)
    return make_trainer(params, base, begun.processor, begun.rows, tmp_path / "run", rows)[0]


@KINDS
def test_a_plan_changes_no_byte_of_what_is_learnt(kind, base, rows, tmp_path, monkeypatch):
    few = matrix.settings(kind, "lora", num_train_epochs=0.5)
    planned = matrix.run(tmp_path / "planned", base, rows, few)
    monkeypatch.setattr(fitting, "measure", lambda *_: None)
    monkeypatch.setattr(fitting, "refuse", lambda *_: None)
    assert sha256(matrix.run(tmp_path / "plain", base, rows, few).adapter) == sha256(planned.adapter)


@KINDS
def test_what_is_rehearsed_is_the_longest_prompt_with_the_longest_answer(trainer, rows):
    shapes, length = [], max(len(row["input_ids"]) for row in prompts(trainer))
    trainer.model.register_forward_pre_hook(
        lambda _, __, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    longest = next(row for row in prompts(trainer) if len(row["input_ids"]) == length)
    trainer.rehearsed([longest] * 3).backward()
    learnt = [weight for name, weight in trainer.model.named_parameters() if name in trainer.names]
    assert shapes == [(3, length + LONGEST)] and all(weight.grad is not None for weight in learnt)


def prompts(trainer):
    """The prompts of the training rows."""
    return trainer.prompts["train"] if hasattr(trainer, "prompts") else trainer.questions


@KINDS
@pytest.mark.parametrize(
    ("a_row", "an_answer", "advice"),
    [(100, 1, "batches of up to 2 rows fit: set per_device_train_batch_size: 2"), (1, 100, "answers are written at")],
)
def test_what_does_not_fit_is_refused_before_an_answer_is_written(
    kind, a_row, an_answer, advice, base, rows, tmp_path, monkeypatch
):
    """Rows of a batch, or answers that are written at once, take so many MiB each, and 300 are free."""
    monkeypatch.setattr(memory, "taken", lambda: memory.GIB)
    monkeypatch.setattr(memory, "free", lambda: 300 * MIB)
    for name, each in (("rehearse", a_row), ("rehearse_writing", an_answer)):
        monkeypatch.setattr(
            f"tasks.plan.rehearsal.{name}", lambda _, rows, each=each: Cost(1.0, memory.GIB + len(rows) * each * MIB)
        )
    with pytest.raises(AnnealError, match=f"does not fit in memory.*{advice}"):
        matrix.run(tmp_path, base, rows, matrix.settings(kind, "lora"))
    assert not whole_checkpoints(tmp_path)


@KINDS
def test_the_last_run_tells_the_time_of_the_next(kind, base, rows, tmp_path, capfd):
    """How long answers will be is not known before the first run."""
    few = matrix.settings(kind, "lora", num_train_epochs=0.5)
    timings = [read_json(matrix.run(tmp_path, base, rows, few).report / "timing.json") for _ in range(2)]
    plans = [line for line in capfd.readouterr().err.splitlines() if line.startswith("train: ")]
    assert ["; about " in plan for plan in plans] == [False, True] and plans[1].endswith("(by the last run here)")
    assert ["planned_seconds" in timing for timing in timings] == [False, True]
