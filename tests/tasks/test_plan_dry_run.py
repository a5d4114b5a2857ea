"""A dry run counts what a run will do, keeps nothing, and says what fits."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.errors import AnnealError
from tasks.plan import disk, memory, program, result
from tasks.plan.dry_run import dry_run
from tasks.stages.train.params import Train
from tests import tiny
from tests.tasks import matrix

pytestmark = pytest.mark.slow  # each test trains a little


@pytest.fixture
def tried(base, few, tmp_path, monkeypatch, capsys):
    """What a dry run with changed settings prints, as a result."""

    def attempt(rows=few, **changes: object) -> result.Result:
        monkeypatch.chdir(tmp_path)
        dry_run(Train(**{**tiny.TRAIN, **changes}), base, rows, tmp_path / "checkpoints")
        assert list(tmp_path.iterdir()) == []
        return result.of_json(capsys.readouterr().out.splitlines()[-1])

    return attempt


@pytest.fixture
def project(base, few, tmp_path, monkeypatch):
    """A folder with a base, rows and a row of params.yaml, `mine`; and that row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for link, place in (("models/tiny/weights", base), ("data/prepared/few", few)):
        (tmp_path / link).parent.mkdir(parents=True)
        (tmp_path / link).symlink_to(place)
    train = {**tiny.TRAIN, "weight_decay": 0.01, "gradient_accumulation_steps": 2, "tuner": {"kind": "full"}}
    (tmp_path / "params.yaml").write_text(json.dumps({"models": {"mine": {"train": train}}}))
    return SimpleNamespace(parent="tiny", dataset="few", train=Train(**train))


def test_it_counts_measures_and_keeps_nothing(project, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    made = program.dry_run("mine", project)
    assert sorted(tmp_path.rglob("*")) == before
    assert (made.amounts.steps, made.amounts.evaluations, made.amounts.rows, made.held_out) == (8, 4, 16, 4)
    assert made.amounts.trained == made.amounts.parameters
    spared = made.amounts.trained - made.decayed
    assert spared == 5 * 64  # the norms of two layers and the last one; this base has no biases
    times = made.times
    assert min(times.start, times.training, times.evaluations, times.checkpoints) > 0
    assert made.peak < made.limit and made.largest > 8 and made.advice == ""
    assert made.disk == 3 * disk.checkpoint(Train(**tiny.TRAIN), made.amounts.trained) + 3 * 4 * made.amounts.trained


def test_a_dry_run_that_fails_says_so_in_its_own_sentence(project):
    with pytest.raises(AnnealError, match=r"dry run of yours failed: params.yaml: models.yours.train is missing; add"):
        program.dry_run("yours", project)


def test_what_does_not_fit_is_not_tried(tried, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 0)
    monkeypatch.setattr("tasks.plan.timed.times", None)
    made = tried()
    assert made.times is None and "not even one row fits" in made.advice


def test_a_model_that_writes_what_it_learns_from_is_timed_by_a_rollout(tried, base, tmp_path_factory):
    rows = matrix.prepared(tmp_path_factory.mktemp("rows") / "ppo", "ppo", base)
    made = tried(rows, **matrix.settings("ppo", "lora"))
    assert made.amounts.steps == matrix.STEPS and made.amounts.tokens is None and made.largest > 0
    assert made.times.training > 0 and made.times.evaluations > 0


def test_weights_that_are_more_than_the_memory_are_refused(base, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 1000)
    with pytest.raises(AnnealError, match=r"take .* and 0 MiB of memory are free: use a smaller base"):
        program.refuse_too_large(base)
