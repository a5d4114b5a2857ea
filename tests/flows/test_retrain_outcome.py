"""A retraining whose last model fails, or is refused, still releases the task's own model; what the task itself needs
is never passed over.
"""

import pytest

from flows import dag, pipeline, retrain_outcome
from flows.stage_failed import StageFailed
from tasks.errors import NotPromoted
from tests.flows.retraining import finish

BROKE = StageFailed("train@sort_preferred: the training loss is nan at step 3.", "train@sort_preferred")


def run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[list[str], list[str], str]:
    """What was run and said, and the outcome's words, when the pipeline of `sort_preferred` ends with `error`."""
    ran, heard = [], []

    def pipeline_run(model: str) -> None:
        ran.append(model)
        if model == "sort_preferred":
            raise error
        finish("2", ["champion"])

    monkeypatch.setattr(pipeline, "run", pipeline_run)
    needed = {"package@sort": ["train@sort", "package@sort"]}
    monkeypatch.setattr(dag, "stages", needed.__getitem__)
    outcome = retrain_outcome.make("sort", "sort_preferred", "1", heard.append)
    return ran, heard, outcome.words


@pytest.mark.parametrize("error", [BROKE, NotPromoted("sort_preferred", ("worse",))])
def test_the_tasks_own_model_is_released_without_one_that_fails_or_is_refused(tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    ran, heard, words = run(monkeypatch, error)
    assert ran == ["sort_preferred", "sort"]
    assert words.startswith("promoted: version 2, without sort_preferred (") and len(heard) == 1


def test_a_failure_of_what_the_task_needs_itself_fails_the_retraining(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageFailed, match="no rows"):
        run(monkeypatch, StageFailed("train@sort: there are no rows.", "train@sort"))
