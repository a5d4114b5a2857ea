"""bench/tuners.py, ranks.py and quantised.py: the search for a rate, what is told of answers, memory by a model's
shape, and what a process used.
"""

import json
import math
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import quantised_arithmetic as arithmetic
from bench import stage_runs
from bench.tickets_project import few, lead, mean, quality, rights
from bench.tuner_trials import at_rate, climb, epochs
from bench.tuners import within
from tasks.stages.evaluate.predictions import Prediction


def valley(best: float) -> Callable[[float], float]:
    """A loss that is least at `best`."""
    return lambda rate: abs(math.log10(rate / best))


@pytest.mark.parametrize(
    ("best", "tried", "found"),
    [
        (1.0e-3, [3.2e-4, 1.0e-3, 3.2e-3], 1.0e-3),  # the middle of three: no more is tried
        (1.0e-2, [3.2e-4, 1.0e-3, 3.2e-3, 1.0e-2, 3.2e-2], 1.0e-2),
        (1.0e-4, [3.2e-5, 1.0e-4, 3.2e-4, 1.0e-3, 3.2e-3], 1.0e-4),
        (1.0, [3.2e-4, 1.0e-3, 3.2e-3, 1.0e-2, 3.2e-2], 3.2e-2),  # no more than five
    ],
)
def test_rates_are_tried_in_the_direction_in_which_the_loss_falls(
    best: float, tried: list[float], found: float
) -> None:
    losses = climb(1.0e-3, valley(best), 5)
    assert sorted(losses) == tried and min(losses, key=losses.__getitem__) == found


def test_a_rate_at_which_nothing_is_learnt_is_not_followed() -> None:
    losses = climb(1.0e-3, lambda rate: math.inf if rate > 1.0e-3 else -rate, 5)
    assert min(losses, key=losses.__getitem__) == 1.0e-3 and len(losses) == 3


@pytest.mark.parametrize("rows", [4, 859, 953])
@pytest.mark.parametrize("steps", [1, 30, 300])
def test_so_many_steps_are_trained_and_no_more(rows: int, steps: int) -> None:
    assert math.ceil(epochs(steps, rows, 4) * math.ceil(rows / 4)) == steps  # as transformers counts them


def test_where_only_the_head_learns_the_rate_is_the_heads() -> None:
    section = {"tuner": {"kind": "frozen"}, "objective": {"kind": "classify"}, "learning_rate": 1.0e-4}
    assert at_rate(section, 0.01)["objective"]["head_learning_rate"] == 0.01
    assert at_rate({**section, "tuner": {"kind": "full"}}, 0.01)["learning_rate"] == 0.01


def test_few_rows_know_all_classes() -> None:
    rows = [{"answer": json.dumps({"a": name, "b": "y"})} for name in "xxxxzx"]
    assert few(rows, 2) == [rows[0], rows[1], rows[4]]


def told(right: str, parsed: dict[str, str] | None, nll: float = 1.0) -> Prediction:
    return Prediction("", "", parsed, {"a": right, "b": "y"}, parsed is not None, nll, 2)


def test_labels_count_one_by_one_and_an_answer_out_of_form_has_none() -> None:
    rows = [told("x", {"a": "x", "b": "y"}), told("x", {"a": "x", "b": "z"}), told("x", None)]
    assert rights(rows, ["a", "b"]).tolist() == [1.0, 0.5, 0.0]
    assert quality(rows, ["a", "b"])["a"]["mean"] == pytest.approx(200 / 3, abs=1e-3)


def test_a_lead_is_of_the_same_rows() -> None:
    """Two models of which one is right wherever the other is and once more: unpaired, that would drown in chance."""
    theirs = [told("x", {"a": "x" if i % 2 else "z", "b": "y"}, 2.0) for i in range(100)]
    ours = [told("x", {"a": "x" if i % 2 or i < 20 else "z", "b": "y"}, 1.0) for i in range(100)]
    ahead = lead(ours, theirs, ["a"])
    assert ahead["points"]["mean"] == 10 and ahead["points"]["interval"][0] > 0
    assert ahead["nats_a_row"] == {"mean": 1.0, "interval": [1.0, 1.0]}
    low, high = mean(rights(ours, ["a"]))["interval"]
    assert low < 0.6 < high and mean(np.zeros(9)) == {"mean": 0.0, "interval": [0.0, 0.0]}


@pytest.mark.parametrize(
    ("interval", "apart", "words"),
    [
        ([-0.4, 0.3], 0.1, "within half a point: +0.1 points (95 % interval -0.4 to +0.3)"),
        (
            [-2.0, 2.2],
            0.1,
            "within half a point: +0.1 points (95 % interval -2.0 to +2.2), which so few rows do not settle",
        ),
        ([-4.0, -0.6], -2.0, "not within half a point: -2.0 points (95 % interval -4.0 to -0.6)"),
    ],
)
def test_half_a_point_is_claimed_only_where_the_rows_suffice(interval: list[float], apart: float, words: str) -> None:
    assert within({"mean": apart, "interval": interval}) == words


def test_memory_follows_from_the_shape() -> None:
    seven, eight = arithmetic.LLAMA_2_7B, arithmetic.LLAMA_31_8B
    assert seven.linear + seven.others == 6_738_415_616 and eight.linear + eight.others == 8_030_261_248
    assert arithmetic.BITS["qlora"] == pytest.approx(4.127, abs=1e-3)
    frozen = {tuner: arithmetic.memory(seven, tuner, 16)["frozen"] for tuner in arithmetic.BITS}
    assert frozen["lora"] == pytest.approx(6_738_415_616 * 2 / 2**20)
    assert frozen["qlora"] < frozen["qlora_8_bits"] < frozen["lora"]
    assert 5 < arithmetic.table(seven, 16, 2048)["qlora"]["all"] < 7.4  # GiB; 7.4 measured by torchtune at batch 2


@pytest.mark.slow
def test_a_process_is_run_once_and_its_peak_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-c", "print('{\"made\": %d}' % len(bytearray(400 * 2**20)))"]
    usage = stage_runs.process("made@things", words)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB; a process begins with its parent's peak
    assert 400 < usage.peak_mib < own + 2000 and stage_runs.last_line("made@things") == {"made": 400 * 2**20}
    assert stage_runs.process("made@things", ["-c", "raise SystemExit(1)"]) == usage
    small = stage_runs.process("small@things", ["-c", "pass"])  # begins with the memory of this process
    assert small.peak_mib <= max(usage.peak_mib, own)


@pytest.mark.slow
def test_what_fails_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        stage_runs.process("made@things", ["-c", "raise SystemExit('no room')"])
    assert not Path("done/made@things").exists() and "no room" in Path("logs/made@things.log").read_text()
