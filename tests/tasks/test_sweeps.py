"""Sweeps: what is refused, how long trials are, who wins, and what the page says."""

import math
import random
import re
import time
from types import SimpleNamespace

import pytest

from tasks.errors import AnnealError, ParamsError
from tasks.files import read_jsonl
from tasks.section import parse
from tasks.stages.train.params import Train
from tasks.sweeps import budget, children, page, progress, rows, space, words
from tasks.sweeps.judge import PRESENT, Finalist, verdict
from tasks.sweeps.params import Sweep
from tasks.tuners import combined
from tests import tiny
from tests.tasks import swept

OWN = Train(**tiny.TRAIN)
RATES = {"low": 1.0e-4, "high": 1.0e-2, "log": True}
RANKS = {"choices": [4, 8, 16]}


def sweep(**settings) -> Sweep:
    return parse(Sweep, {"space": {"learning_rate": RATES}, **settings}, "sweeps.things")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"space": {"learning_rate": {"low": 1.0, "high": 0.1}}}, "low must be below high"),
        ({"space": {"warmup_ratio": {"low": 0.0, "high": 0.1, "log": True}}}, "has no logarithm"),
        ({"space": {"learning_rate": {**RATES, "step": 1e-4}}}, "log and step exclude each other"),
        ({"space": {"tuner.r": {"low": 4, "high": 16, "step": 1.5}}}, "write a whole step"),
        ({"space": {}}, "at least 1 item"),
        ({"seconds": 90, "steps": 10}, "seconds and steps both limit a trial"),
        ({"trials": 1}, "at least 2"),
        ({"held_back": 1.0}, "less than 1"),
        ({"smapler": "tpe"}, "did you mean `sampler`"),
    ],
)
def test_a_wrong_table_is_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ParamsError, match=re.escape(sentence)):
        sweep(**settings)


def test_a_tuner_that_learns_nothing_cannot_be_tried():
    own = OWN.model_copy(update={"tuner": combined.Params(kind="combined")})
    (words,) = space.problems("things", sweep(space={"learning_rate": RATES}), own)
    assert words.endswith("train.tuner.kind is combined, and a trial trains, which it cannot.")


@pytest.mark.parametrize(
    ("key", "entry", "sentence"),
    [
        ("learning_rate", {"low": 0.1, "high": 2.0}, "2.0, which is not possible: train.learning_rate is 2.0"),
        ("lerning_rate", RATES, "did you mean `learning_rate`"),
        ("tuner.rank", RANKS, "train.tuner.rank is not a known key"),
        ("tunr.r", RANKS, "train.tunr.r is not a setting; did you mean `tuner`"),
        ("tuner.r", {"choices": [8, "many"]}, "'many', which is not possible"),
        ("max_length", {"choices": [128, 256]}, "other rows would be left out"),
        ("eval_steps", {"choices": [0.1, 0.2]}, "trials set it themselves"),
        ("objective.weights", {"choices": [1, 2]}, "it changes what the loss is"),
        ("num_train_epochs", {"choices": [1, 2]}, "leave these out, or this"),
        ("tuner.lora_alpha", {"times": 2, "of": "tuner.r"}, "which the space does not try"),
    ],
)
def test_what_the_training_does_not_take_is_refused_before_any_work(key, entry, sentence):
    found = list(space.problems("things", sweep(space={key: entry}, seconds=90), OWN))
    assert len(found) == 1 and sentence in found[0], found
    assert found[0].startswith(f"sweeps.things.space.{key}")


def test_a_grid_needs_steps_and_as_many_trials_as_points():
    entries = {"tuner.r": RANKS, "warmup_ratio": {"low": 0.0, "high": 0.2, "step": 0.1}}
    fitting = sweep(space=entries, sampler="grid", trials=9)
    assert not list(space.problems("things", fitting, OWN)) and len(space.grid(fitting)) == 9
    (few,) = space.problems("things", sweep(space=entries, sampler="grid", trials=8), OWN)
    assert "the grid has 9 points, and trials is 8" in few
    (stepless,) = space.problems("things", sweep(sampler="grid"), OWN)
    assert "has no step, which a grid needs" in stepless


def test_epochs_may_be_tried_where_trials_train_in_full():
    assert not list(space.problems("things", sweep(space={"num_train_epochs": {"choices": [1, 2]}}), OWN))


def test_a_multiple_follows_its_setting_and_the_present_settings_are_a_point():
    tried = sweep(space={"learning_rate": RATES, "tuner.r": RANKS, "tuner.lora_alpha": {"times": 2, "of": "tuner.r"}})
    own = space.applied(OWN, {"learning_rate": 2e-3, "tuner.r": 16, "tuner.lora_alpha": 32})
    assert space.own_settings(tried, own) == {"learning_rate": 2e-3, "tuner.r": 16}
    assert space.own_settings(tried, space.applied(own, {"tuner.lora_alpha": 16})) is None  # not twice its rank
    assert space.own_settings(tried, space.applied(own, {"tuner.r": 32, "tuner.lora_alpha": 64})) is None
    drawn = space.completed(tried, {"learning_rate": 0.00123456, "tuner.r": 8})
    assert drawn == {"learning_rate": 0.001235, "tuner.r": 8, "tuner.lora_alpha": 16}
    section = space.budgeted(own, drawn, tried, 0.25)
    assert (section.tuner.lora_alpha, section.num_train_epochs, section.eval_steps) == (16, 0.25, 0.25)
    assert not section.load_best_model_at_end and own.tuner.lora_alpha == 32


def test_a_trial_gets_the_epochs_that_fit_its_seconds():
    pace = budget.Pace(startup=10.0, evaluation=2.0, epochs_per_second=0.01, memory=1)
    tried = sweep(seconds=100, evaluations=4)
    assert budget.epochs_in(100, pace, tried, most=3.0) == pytest.approx((0.85 * 100 - 10 - 8) * 0.01)
    assert budget.epochs_in(100, pace, tried, most=0.5) == 0.5
    with pytest.raises(AnnealError, match="raise seconds of the sweep in params.yaml to 42"):
        budget.epochs_in(20, pace, tried, most=3.0)
    assert budget.epochs_of(steps=10, batch=4, rows=160, most=3.0) == 0.25


@pytest.mark.parametrize(
    ("cores", "free", "memory", "devices", "fit"),
    [(2, 64, 1, 0, 1), (16, 64, 1, 0, 8), (16, 10, 4, 0, 2), (1, 1, 4, 0, 1), (16, 10, 4, 2, 2)],
)
def test_as_many_trials_run_at_once_as_there_is_room_for(cores, free, memory, devices, fit):
    assert children.room(cores, free, memory, devices) == fit


def test_rows_that_are_held_back_are_in_no_file_that_a_trial_reads(tmp_path):
    prepared = tiny.write_prepared(tmp_path / "prepared", 64)
    assert rows.split(prepared, tmp_path / "rows", 0.25, seed=1) == (12, 4)
    kept = {row["id"] for row in read_jsonl(tmp_path / "rows" / rows.HELD_BACK)}
    shown = {row["id"] for row in read_jsonl(tmp_path / "rows" / rows.SHOWN)}
    assert not kept & shown and len(kept | shown) == 16
    assert (tmp_path / "rows/train.jsonl").read_bytes() == (prepared / "train.jsonl").read_bytes()
    assert rows.split(prepared, tmp_path / "rows", 0.25, seed=1) == (12, 4)
    with pytest.raises(AnnealError, match="too few to hold back"):
        rows.split(prepared, tmp_path / "other", 0.01, seed=1)


def finalist(name: str, shown: float, held: float) -> Finalist:
    draw = random.Random(name)
    return Finalist(name, None, {}, [shown + draw.gauss(0, 0.02) for _ in range(50)], [held] * 50, 1.0, 1)


def test_the_winner_is_best_on_rows_that_no_trial_has_seen_not_on_those_it_was_chosen_by():
    lucky, sound, own = finalist("3", 0.5, 1.1), finalist("7", 0.9, 0.9), finalist(PRESENT, 1.0, 1.0)
    judged = verdict([lucky, sound, own], 20, greater=False, seed=1)
    assert judged.winner == "7" and judged.is_better and judged.lead.value == pytest.approx(0.1)
    assert verdict([lucky, own], 20, greater=False, seed=1).winner == PRESENT
    assert verdict([lucky, sound, own], 20, greater=True, seed=1).winner == "3"


def test_the_best_of_equal_finalists_is_rarely_called_better():
    wrong = 0
    for seed in range(60):
        draw = random.Random(seed)
        equal = [
            Finalist(name, None, {}, [0.0] * 2, [1 + draw.gauss(0, 0.1) for _ in range(40)], 1.0, 1)
            for name in ("1", "2", PRESENT)
        ]
        wrong += verdict(equal, 20, greater=False, seed=seed).is_better
    assert wrong <= 4


def test_the_optimism_is_about_what_the_best_of_equal_trials_seems_better_by():
    draw, count, size = random.Random(5), 20, 50
    gains, told = [], []
    for _ in range(40):
        hard = [draw.gauss(0, 1) for _ in range(size)]  # rows that are hard for all: no part of luck
        equal = [[level + draw.gauss(0, 0.1) for level in hard] for _ in range(count)]
        means = [sum(values) / size for values in equal]
        gains.append(sum(means) / count - min(means))
        chosen = [Finalist(str(n), n, {}, equal[n], equal[n], 1.0, 1) for n in range(2)]
        own = Finalist(PRESENT, None, {}, equal[2], equal[2], 1.0, 1)
        told.append(verdict([*chosen, own], count, greater=False, seed=1).optimism)
    assert sum(told) / 40 == pytest.approx(0.1 / math.sqrt(size) * math.sqrt(2 * math.log(count)), rel=0.1)
    assert 0.9 < sum(told) / sum(gains) < 1.5  # √(2 ln n) is what the expectation tends to from above


def test_the_page_tells_the_same_story_in_the_same_bytes_and_calls_nobody(tmp_path):
    outcome = swept.outcome()
    page.write(outcome, tmp_path)
    text = (tmp_path / page.PAGE).read_text()
    page.write(outcome, tmp_path / "again")
    assert text == (tmp_path / "again" / page.PAGE).read_text()
    assert not re.search(r"(?:src|href)=.?https?:", text) and "<script" not in text
    assert "Better settings for things" in text and "on 40 rows that no trial has seen" in text
    assert "the training loss is nan at step 3" in text and "pruned after 2 of 3 evaluations" in text
    assert text.count("<svg") == 3 and "learning_rate: 0.00" in text


def test_what_was_learnt_names_the_setting_that_matters_and_the_luck():
    said = " ".join(words.learnt(swept.outcome()))
    assert "is learning_rate (86 %)" in said and "per_device_train_batch_size and tuner.r hardly matter" in said
    assert "If all 16 trials were equal" in said and "3 pruned early and 1 could not be trained" in said


def test_nothing_is_advised_where_nothing_is_shown_to_be_better(tmp_path):
    small, worse = swept.outcome(gain=-0.014), swept.outcome(gain=-0.2)
    assert "which may be chance" in words.sentence(small) and "No settings shown to be better" in words.headline(small)
    assert words.headline(worse) == "things keeps its settings" and page.lines_to_write(worse) == ""
    page.write(worse, tmp_path)
    assert "no finalist is better" in (tmp_path / page.PAGE).read_text()


def test_the_front_holds_what_no_trial_beats_in_both():
    front = words.pareto(swept.outcome())
    values = [(row["figures"]["seconds"], row["value"]) for row in front]
    assert values == sorted(values) and [value for _, value in values] == sorted((v for _, v in values), reverse=True)
    for row in swept.trials():
        if row["value"] is not None and row["number"] not in {other["number"] for other in front}:
            assert any(s <= row["figures"]["seconds"] and v <= row["value"] for s, v in values)


def test_progress_tells_the_time_left_of_all_trials_and_of_all_finalists(tmp_path, monkeypatch):
    assert progress.of_trials(5, 20, 120.0, 4) == "trials: 5/20, 7:30 left"  # one was there before
    monkeypatch.setattr(time, "monotonic", lambda: 160.0)
    child = SimpleNamespace(folder=tmp_path, began=100.0)
    log = tmp_path / children.LOG
    log.write_text("train: 22.6 M parameters, about 3 min\n")
    assert progress.of_finalist("7", 1, 3, child, 1) is None
    log.write_text("train ██ 10%  step 12/120  loss 2.5  30 tokens/s  2:00 left\nvalidation loss 2.4 at step 12\n")
    # two minutes of this one, then two others of three minutes each, or both at once
    assert progress.of_finalist("7", 1, 3, child, 1) == "finalist 7, 1/3: step 12/120, 8:00 left"
    assert progress.of_finalist("7", 1, 3, child, 2) == "finalist 7, 1/3: step 12/120, 5:00 left"
