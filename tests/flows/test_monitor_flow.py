"""The monitor's flow looks at what is served, says plainly when that is nothing, and shows a check as a person reads
it.
"""

import pytest

from flows import monitor
from tasks.errors import AnnealError
from tasks.monitor.checks_table import MonitorCheck
from tasks.serve.routes import Table, Target, Task

FIRST = Target("3", "ab" * 32, "sort@3", "http://127.0.0.1:1/v1", "kept")
TABLE = Table(1, {"sort": Task({"champion": FIRST, "previous": FIRST}), "waiting": Task({"challenger": FIRST})})
FOUND = MonitorCheck(
    0.0,
    "sort",
    "3",
    "ab" * 32,
    12,
    True,
    ("the spelling of requests has changed",),
    {"words": 1.0, "spelling": 4.25},
    {"valid": 0.5},
    "reports/monitor/sort/x.html",
)


def test_every_champion_is_looked_at_and_a_challenger_is_not() -> None:
    assert monitor.champions(TABLE, None) == {"sort": FIRST} == monitor.champions(TABLE, "sort")
    assert monitor.champions(Table(), None) == {}


@pytest.mark.parametrize(
    ("table", "task", "words"), [(TABLE, "waiting", "there are: sort"), (Table(), "sort", "nothing is served yet")]
)
def test_a_task_without_a_champion_is_a_sentence(table: Table, task: str, words: str) -> None:
    with pytest.raises(AnnealError, match=words):
        monitor.champions(table, task)


def test_the_artifact_has_verdict_reasons_evidence_figures_and_report() -> None:
    text = monitor.markdown(FOUND)
    for words in (
        "## sort, version 3: alarm",
        "- the spelling of requests has changed",
        "| spelling | 10^4.2 |",
        "| valid | 0.5 |",
        "`reports/monitor/sort/x.html`",
        "12 requests",
    ):
        assert words in text
    assert text.index("| spelling |") < text.index("| words |")


def test_the_flow_is_called_monitor_and_takes_a_task() -> None:
    flow = monitor.monitor_flow()
    assert flow.name == "monitor" and list(flow.parameters.properties) == ["task"] and not flow.parameters.required
