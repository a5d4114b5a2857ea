"""The report of a training by reward shows what was earned, and says whether the guard has stopped it."""

from pathlib import Path

from tasks.files import write_json
from tasks.steps.report.reward_plot import reward_curves
from tests.tasks.reported import SUMMARY, rendered, small_run, write_table

COLUMNS = ["step", "loss", "eval_loss", "learning_rate", "eval_reward", "held_out", "kl", "reward"]
STEPS = [[1, 0.1, "", 1e-4, "", 0.5, 0.0, 0.2], [2, 0.1, -0.7, 1e-4, 0.7, 0.4, 0.125, 0.6]]


def test_what_was_earned_and_how_far_the_model_is_from_its_parent():
    plot = reward_curves([dict(zip(COLUMNS, map(str, step), strict=True)) for step in STEPS])
    assert plot.caption == (
        "The first 2 steps earned 0.400 an answer, the last ones 0.400. At the end the model was 0.125 nats a token "
        "away from its parent."
    )
    for words in ("reward in training", "reward in validation", "measured, not rewarded"):
        assert words in plot.svg
    assert reward_curves([{"step": "1", "loss": "2", "eval_loss": "1"}]) is None


def test_the_page_says_why_a_training_was_stopped(tmp_path: Path):
    folders = small_run(tmp_path)
    plain = rendered(tmp_path, SUMMARY)
    assert "The lowest validation loss" in plain and "training stopped" not in plain
    write_table(folders["train"] / "loss.csv", COLUMNS, STEPS)
    words = "training stopped at step 16: the reward rose from 0.2 to 0.8, but answers repeat 90% of their words"
    write_json(folders["train"] / "metrics.json", {"steps": 16, "stopped": words})
    page = rendered(tmp_path, SUMMARY)
    assert f"<p>The {words}.</p>" in page and "The first 2 steps earned" in page
    assert "The model learnt from answers that it wrote itself" in page and "The loss measures" not in page


def test_the_page_says_what_guards_noticed(tmp_path: Path):
    folders = small_run(tmp_path)
    assert "What was noticed" not in rendered(tmp_path, SUMMARY)
    line = {"step": 7, "guard": "finite", "action": "skip", "words": "the training loss is nan; the batch is <skipped>"}
    write_json(folders["train"] / "guards.json", [line])
    assert "<li>Step 7: the training loss is nan; the batch is &lt;skipped&gt;.</li>" in rendered(tmp_path, SUMMARY)
