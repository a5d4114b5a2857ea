"""A whole run whose answers vLLM writes: one process for all stages that ask, and none when the run has ended."""

from pathlib import Path

import psutil
import pytest

from tasks.files import read_json
from tests import tiny
from tests.flows import project

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # the real vLLM answers, and then serves


def test_a_run_asks_one_process_and_leaves_none(untouched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "PYTHON", project.OWN)
    project.change(untouched, models__things__predict={**tiny.PREDICT, "engine": "vllm"})
    try:
        project.run(untouched, "flows.pipeline", "things")
        reports = untouched / "reports/things"
        stages = ("baseline", "few_shot", "predict")
        assert {name: read_json(reports / name / "timing.json")["engine"] for name in stages} == dict.fromkeys(
            stages, "vllm"
        )
        log = (untouched / ".anneal/logs/engine.log").read_text(encoding="utf-8")
        assert log.count(" answers written") == len(stages)
        commands = [
            process.info["cmdline"] or ()
            for process in psutil.process_iter(["cmdline", "cwd"])
            if process.info["cwd"] == str(untouched)
        ]
        assert not any("tasks.engine.server" in words for words in commands)
    finally:
        project.run(untouched, "tasks.serve.local", "down")
