"""Advice, the batch that fits and the words of a plan follow from counts; each rule has its case, and its opposite."""

from dataclasses import replace

import pytest

from tasks.plan import advice, past, remedies, words
from tasks.plan.amounts import Amounts
from tasks.plan.remedies import Needs
from tasks.plan.result import Result, Times
from tasks.stages.train.params import Train

GIB = 2**30
USUAL = {
    "objective": {"kind": "sft"},
    "tuner": {"kind": "lora"},
    "learning_rate": 2.0e-4,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 8,
}
COUNTED = Amounts(
    parameters=134_500_000,
    trained=4_900_000,
    rows=2000,
    steps=750,
    tokens=600_000,
    cells=640_000,
    largest=(1, 2),
    held_out_cells=20_000,
    evaluations=4,
)
RUN = Result(
    amounts=COUNTED,
    lengths=tuple(range(20, 220)),
    left_out=0,
    held_out=100,
    decayed=4_000_000,
    times=Times(10.0, 100.0, 8.0, 2.0),
    peak=2 * GIB,
    limit=8 * GIB,
    largest=40,
    advice="",
    disk=GIB,
    disk_free=9 * GIB,
)


def run(**changes: object) -> Result:
    counts = {name: changes.pop(name) for name in ("rows", "steps") if name in changes}
    return replace(RUN, amounts=replace(COUNTED, **counts), **changes)


def test_usual_settings_need_no_advice():
    assert advice.given(Train(**USUAL), RUN) == []


@pytest.mark.parametrize(
    ("settings", "of", "words"),
    [
        ({}, {"rows": 300}, "300 rows are fewer than the 1,000 that sft usually needs (Zhou"),
        ({"objective": {"kind": "dpo"}, "num_train_epochs": 1, "learning_rate": 2e-5}, {"rows": 90}, "dpo usually"),
        ({"per_device_train_batch_size": 128}, {}, "a step has 128 rows: above 64"),
        ({"per_device_train_batch_size": 2}, {}, "a step has 2 rows, whose gradients are noisy"),
        ({}, {"steps": 12}, "12 steps, too few"),
        ({"num_train_epochs": 30, "load_best_model_at_end": False}, {}, "30 epochs are more than the 15"),
        ({"tuner": {"kind": "full"}, "learning_rate": 2e-5, "warmup_ratio": 0.0}, {}, "the rate rises over 0.0 steps"),
        ({"warmup_ratio": 0.5}, {}, "rises for 50% of the run"),
        ({"weight_decay": 0.3}, {}, "4,000,000 weights to zero, and none of the 900,000 of biases and norms; above"),
        ({}, {"left_out": 100}, "100 rows are left out"),
        ({}, {"lengths": (*range(20, 219), 900)}, "max_length: 218 saves it"),
        ({}, {"held_out": 12}, "chosen by 12 validation rows"),
        ({"learning_rate": 0.5}, {}, "learning_rate 0.5 is outside of"),
    ],
)
def test_each_rule_has_its_case_and_its_source(settings, of, words):
    (sentence,) = advice.given(Train(**{**USUAL, **settings}), run(**of))
    assert words in sentence and ("[" in sentence or "(" in sentence)


def test_a_batch_is_as_large_as_memory_allows_and_a_step_stays_the_same():
    params = Train(**{**USUAL, "gradient_accumulation_steps": 2})
    needs = Needs(fixed=GIB, state=0, gradients=0, a_row=GIB, common=0.0, parameters=0)
    assert (needs.largest(6 * GIB), needs.largest(2 * GIB), needs.of(0)) == (4, 0, GIB)
    words = "set per_device_train_batch_size: 4 and gradient_accumulation_steps: 4"
    assert words in remedies.advice(params, needs, 6 * GIB)


@pytest.mark.parametrize(
    ("settings", "needs", "words"),
    [
        ({}, Needs(GIB, 0, 0, 8.0 * GIB, 0.0, 0), "set gradient_checkpointing: true"),
        ({"tuner": {"kind": "full"}}, Needs(GIB, 6 * GIB, 0, 0.1 * GIB, 0.0, 0), "set optim: adamw_8bit"),
        ({}, Needs(6 * GIB, 0, 0, 0.1 * GIB, 0.0, 2 * GIB), "set tuner: {kind: qlora}"),
        ({}, Needs(60 * GIB, 0, 0, 0.1 * GIB, 0.0, GIB), "no single setting changes that"),
    ],
)
def test_where_not_one_row_fits_the_setting_is_named_that_changes_it(settings, needs, words):
    assert words in remedies.advice(Train(**{**USUAL, **settings}), needs, 4 * GIB)


def test_peaks_of_several_batches_tell_what_a_row_takes_and_what_all_share():
    needs = remedies.of_rows(Train(**USUAL), COUNTED, 100, {1: 400, 5: 1200})
    assert (needs.a_row, needs.common, needs.state) == (200, 100, 8 * COUNTED.trained)


def test_a_plan_in_words():
    lines = words.lines("mine", Train(**USUAL), RUN, past.Run("", 320_000, 70.0, 3 * GIB))
    assert lines == [
        "mine: 134,500,000 parameters, 4,900,000 of them learn (3.64%)",
        "rows: 2,000 of 20 to 219 tokens (median 120), 0 left out, 100 held out",
        "steps: 750 of 8 x 1 rows, 600,000 tokens, 4 evaluations",
        "memory: 2.0 GiB of 8.0 GiB, which fits; batches of up to 40 rows do",
        "time: 2 min (steps 2 min, evaluations 8 s, checkpoints 2 s), by a few steps",
        "by the last run here: 2 min, 3.0 GiB",
        "disk: at most 1.0 GiB of 9.0 GiB that are free",
    ]


def test_the_journal_keeps_the_last_runs_and_passes_over_torn_lines(tmp_path):
    for seconds in range(past.KEPT + 5):
        past.keep(tmp_path, past.Run("a", 10, float(seconds), 1))
    past.keep(tmp_path, past.Run("b", 10, 1.0, 1))
    with (tmp_path / past.FILE).open("a") as file:
        file.write('{"key": "a", "cel')
    assert len((tmp_path / past.FILE).read_text().splitlines()) == past.KEPT + 1
    assert past.last(tmp_path, "a").seconds == past.KEPT + 4
    assert past.last(tmp_path, "c") is None
