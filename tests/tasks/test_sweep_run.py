"""Sweeps on the tiny model: trials that train, are pruned, fail or are killed, and the finalists in full."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.section import parse
from tasks.stages.train.params import Train
from tasks.sweeps import children, page, rows, run, study, trial, trials
from tasks.sweeps.children import Child
from tasks.sweeps.outcome import FILE
from tasks.sweeps.params import Sweep
from tasks.sweeps.place import Place, place_of
from tasks.sweeps.task import EVALUATIONS, RESULT, RUN, SETTINGS, Task, write_task
from tasks.sweeps.tracked import Tracked
from tasks.versions import tracking
from tests import encoders, tiny

pytestmark = pytest.mark.slow  # it trains

PROJECT = Path(__file__).parents[2]
OWN = {**tiny.TRAIN, "num_train_epochs": 0.25}  # 4 steps
DONE = {"training": 1.0, "evaluating": 0.1, "startup": 1.0, "epochs": 0.1, "steps": 1, "tokens_per_second": 1.0}
SPACE = {"learning_rate": {"low": 1.0e-3, "high": 5.0e-2, "log": True}, "tuner.r": {"choices": [4, 16]}}
SWEEP = {"space": SPACE, "trials": 3, "steps": 2, "evaluations": 2, "finalists": 1, "at_once": 1, "pruner": "none"}


def place(folder: Path, base: Path, prepared: Path, **settings: object) -> Place:
    sweep = parse(Sweep, {**SWEEP, **settings}, "sweeps.things")
    return place_of("things", sweep, Train(**OWN), base, prepared, folder / "report")


class Ended:
    """A process that has ended, as subprocess has it."""

    def __init__(self, code: int) -> None:
        self.returncode = code

    def poll(self) -> int:
        return self.returncode

    wait = poll


def at_once(folder: Path, task: Task, number: int, side_by_side: int) -> Child:
    """Train in this process: to start one takes longer than the training. The real one is in the test of a kill."""
    folder.mkdir(parents=True, exist_ok=True)
    write_task(task, folder)
    try:
        trial.run(folder)
    except AnnealError as error:
        (folder / children.LOG).write_text(f"error: {error}\n")
        return Child(folder, Ended(1), number)
    return Child(folder, Ended(0), number)


@pytest.fixture
def here(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sweep_ends_with_a_verdict_a_page_and_a_run_for_each_trial(here, base, prepared, monkeypatch):
    began = []
    monkeypatch.setattr(children, "begin", lambda folder, *rest: began.append(folder) or at_once(folder, *rest))
    before, swept = (sha256(prepared), sha256(base)), place(here, base, prepared)
    lines: list[str] = []
    outcome = run.run(swept, lines.append)
    assert [line.partition(",")[0] for line in lines if line.endswith(" left")] == [f"trials: {n}/3" for n in (1, 2, 3)]
    assert (sha256(prepared), sha256(base)) == before
    assert [row["state"] for row in outcome["trials"]] == ["complete"] * 3
    assert all(len(row["curve"]) == 2 and row["figures"]["steps"] == 2 for row in outcome["trials"])
    assert {len(entry["held_back"]) for entry in outcome["finalists"]} == {16} == {outcome["rows"]["held_back"]}
    assert read_json(swept.report / FILE) == json.loads(json.dumps(outcome)) and (swept.report / page.PAGE).exists()
    assert not list(swept.home.rglob("checkpoint-*")) and not list(swept.home.rglob("*.safetensors"))
    client = tracking.client()
    runs = client.search_runs([tracking.experiment_id(client)])
    (whole,) = [made for made in runs if made.data.tags["stage"] == "sweep"]
    below = [made for made in runs if made.data.tags.get("mlflow.parentRunId") == whole.info.run_id]
    assert len(below) == len(began) and {made.info.status for made in runs} == {"FINISHED"}
    assert all({"tokens_per_second", "memory", "training"} <= made.data.metrics.keys() for made in below)
    assert {"learning_rate", "tuner.r"} <= below[0].data.params.keys()
    began.clear()
    assert run.run(swept, print)["verdict"] == outcome["verdict"] and began == []  # all of it is kept


def test_a_trial_without_hope_is_pruned_and_leaves_nothing(here, base, prepared, monkeypatch):
    stopped = []

    class Slow(Child):
        """Evaluates twice, the second time a little later, and would go on; those with a high rate are bad."""

        def news(self) -> list[dict[str, float]]:
            rate = float(read_json(self.folder / SETTINGS)["section"]["learning_rate"])
            self.read += 1
            self.values.append(rate)
            if self.read == 3:
                (self.folder / RESULT).write_text(json.dumps(DONE))
                self.process = Ended(0)
            return [{"number": self.read, "value": rate, "seconds": 1.0, "step": 1}]

        def stop(self) -> None:
            stopped.append(self.folder)

    class Running(Ended):
        def poll(self) -> int | None:
            return None

    def begin(folder: Path, task: Task, number: int, side_by_side: int) -> Child:
        write_task(task, folder)
        (folder / RUN / "checkpoint-1").mkdir(parents=True)
        return Slow(folder, Running(0), number)

    monkeypatch.setattr(children, "begin", begin)
    monkeypatch.setattr(trials, "POLL", 0.0)
    swept = place(here, base, prepared, trials=12, evaluations=3, pruner="median")
    opened = study.open_study(swept.home, swept.sweep, swept.own)
    trials.Trials(swept, opened, Tracked("things", swept.home), 0.1, 1, print).run()
    pruned = [trial for trial in study.settled(opened) if trial.user_attrs["ended"] == "pruned"]
    assert len(stopped) == len(pruned) > 0 and not list((swept.home / "trials").glob("*"))
    best = study.best(opened, 1)[0].value
    assert all(list(trial.intermediate_values) == [1, 2] and trial.intermediate_values[2] > best for trial in pruned)


def test_trials_that_all_fail_stop_the_sweep_with_their_own_sentence(here, base, prepared, monkeypatch):
    def begin(folder: Path, task: Task, number: int, side_by_side: int) -> Child:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / children.LOG).write_text("error: there is no such layer; name another.\n")
        return Child(folder, Ended(1), number)

    monkeypatch.setattr(children, "begin", begin)
    with pytest.raises(AnnealError, match=r"none of the first 3 trials could be trained: there is no such layer"):
        run.run(place(here, base, prepared, trials=8), print)


def test_a_trial_whose_time_is_over_ends_with_an_evaluation(here, base, prepared):
    swept = place(here, base, prepared)
    rows.split(prepared, swept.rows, 0.5, 1)
    section = Train(**{**OWN, "num_train_epochs": 50, "load_best_model_at_end": False}).model_dump()
    at_once(here / "trial", Task(section, str(base), str(swept.rows), probe=0.2), 0, 1)
    result = read_json(here / "trial" / RESULT)
    assert result["cut"] and 0 < result["epochs"] < 50
    (line,) = [json.loads(line) for line in (here / "trial" / EVALUATIONS).read_text().splitlines()]
    assert line["step"] == result["steps"]


PROGRAM = """
import json, sys
from pathlib import Path
from tasks.sweeps import run
from tasks.sweeps.outcome import FILE
from tasks.sweeps.params import Sweep
from tasks.sweeps.place import place_of
from tasks.section import parse
from tasks.stages.train.params import Train
base, rows, own, sweep = sys.argv[1:]
settings = parse(Sweep, json.loads(sweep), "sweeps.things")
run.run(place_of("things", settings, Train(**json.loads(own)), Path(base), Path(rows), Path("report")), print)
"""


def test_a_sweep_that_is_killed_goes_on(here, base, prepared, monkeypatch):
    """The real processes, killed as the second trial trains; what is left then runs here."""
    words = [sys.executable, "-c", PROGRAM, str(base), str(prepared), json.dumps(OWN), json.dumps(SWEEP)]
    killed = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=subprocess.DEVNULL)
    swept = place(here, base, prepared)
    while not (swept.home / "trials/1" / RUN).exists():
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = study.settled(study.open_study(swept.home, swept.sweep, swept.own))
    assert len(before) == 1 and before[0].user_attrs["ended"] == "complete"
    monkeypatch.setattr(children, "begin", at_once)
    outcome = run.run(swept, print)
    assert [row["state"] for row in outcome["trials"]] == ["complete"] * 3
    assert outcome["trials"][0]["value"] == before[0].value and outcome["verdict"]["winner"]
    client = tracking.client()
    states = [made.info.status for made in client.search_runs([tracking.experiment_id(client)])]
    assert states.count("FAILED") == 1 and "RUNNING" not in states


def in_full(folder: Path, parent: Path, prepared: Path, section: dict, held_back: list[dict]) -> dict:
    """What a training in full comes to, with these rows to be judged on."""
    shutil.copytree(prepared, folder / "rows")
    write_jsonl(folder / "rows" / rows.HELD_BACK, held_back)
    write_task(Task(section, str(parent), str(folder / "rows"), in_full=True), folder)
    trial.run(folder)
    return read_json(folder / RESULT)


def test_a_finalist_is_judged_on_words_that_no_training_row_has(here, encoder):
    """Of an embedding only the rows of tokens that are read are kept in a training."""
    prepared = encoders.write_prepared(here / "prepared", 24)
    other = encoders.rows(500, 4)
    for row in other:
        row["messages"][0]["content"] = "quiz? zebra: 0123456789"
    section = {"objective": {"kind": "classify"}, "tuner": {"kind": "full"}, "num_train_epochs": 1, "bf16": False}
    assert len(in_full(here / "run", encoder, prepared, section, other)["held_back"]) == 4


def test_a_finalist_is_judged_on_rows_that_begin_unlike_all_others(here, base, prepared):
    """What all rows that are read begin with is read once: it is none of what only training rows share."""
    alike, other = (read_jsonl(prepared / "validation.jsonl")[:4] for _ in range(2))
    for row in other:
        row["messages"] = [{"role": "user", "content": "big?"}]
    short = {**OWN, "learning_rate": 1.0e-9, "bf16": False}  # all end with the same weights
    apart = in_full(here / "apart", base, prepared, short, other)["held_back"]
    together = in_full(here / "together", base, prepared, short, alike + other)["held_back"]
    unshared = in_full(here / "unshared", base, prepared, {**short, "gradient_checkpointing": True}, other)["held_back"]
    assert apart == pytest.approx(unshared, rel=1e-4) and together[4:] == pytest.approx(unshared, rel=1e-4)
