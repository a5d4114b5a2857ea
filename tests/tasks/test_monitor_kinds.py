"""The monitor judges what asks the task, in whatever form, and keeps other kinds of request apart: counted, said, in
no stream.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tasks.dialogues.messages import CHAT, COMPLETIONS, TASKS, Kind
from tasks.monitor import check_page, evidently_page
from tasks.monitor.check import check
from tasks.monitor.checks_table import MonitorCheck
from tasks.monitor.params import Monitor
from tasks.records import database
from tasks.serve.routes import Target
from tests.sentences import Says
from tests.tasks.monitored import HOUR, START, answer, ask, chat, correct, log, ticket, vectors, version

PARAMS = Monitor(report_rows=200, permutations=99)
FRAME = "Message: {{ text }}"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An empty database; Evidently and the plot, which take seconds, stay out."""
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    return database.connect(f"sqlite:///{tmp_path}/records.db")


@pytest.fixture
def look(engine: Engine, tmp_path: Path) -> Callable[..., MonitorCheck]:
    """A check so many hours after the start, of a version whose template has words of its own."""
    target: Target = version(tmp_path / "kept", user=FRAME)
    return lambda hours: check(
        engine, "sort", target, PARAMS, START + hours * HOUR, vectors, tmp_path / "monitor", tmp_path / "reports"
    )


def tickets(count: int, seed: object, **how: object) -> list[dict]:
    """So many tickets."""
    dice = random.Random(str(seed))
    return [ticket(dice, **how) for _ in range(count)]


def said(rows: list[dict]) -> list[str]:
    """The version's answers."""
    dice = random.Random(5)
    return [answer(row, dice) for row in rows]


def parts(text: str) -> list:
    """`text` as the content of a message, in parts."""
    return [{"type": "text", "text": text}]


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_the_same_text_in_parts_raises_no_alarm_and_scores_the_same(
    engine: Engine, look: Callable[..., MonitorCheck], share: float
) -> None:
    ask(engine, tickets(100, "usual"), START, "usual")
    assert not look(1).alarm
    rows = tickets(100, "then")
    texts = [f"Message: {row['text']}" for row in rows]
    inputs = [chat(parts(text) if i < share * 100 else text) for i, text in enumerate(texts)]
    log(engine, inputs, said(rows), START + HOUR, "parts", path=CHAT)
    found = look(2)
    assert (found.alarm, found.reasons, found.figures["not_judged"]) == (False, (), 0)
    assert found.figures["latest"] == 200


def test_the_evidence_does_not_depend_on_the_form(
    engine: Engine, look: Callable[..., MonitorCheck], tmp_path: Path
) -> None:
    rows, evidence = tickets(60, "same"), []
    for place, form in enumerate((lambda text: text, parts, lambda text: [text])):
        other = database.connect(f"sqlite:///{tmp_path}/{place}.db")
        log(other, [chat(form(f"Message: {row['text']}")) for row in rows], said(rows), START, "a", path=CHAT)
        target = version(tmp_path / "kept", user=FRAME)
        found = check(
            other, "sort", target, PARAMS, START + HOUR, vectors, tmp_path / f"m{place}", tmp_path / "reports"
        )
        evidence.append(found.evidence)
    assert evidence[0] == evidence[1] == evidence[2]


NOISE = "SELECT 1; DROP TABLE x; лампа"
OTHER_KINDS = {
    Kind.COMPLETION: ({"prompt": NOISE}, {"path": COMPLETIONS}),
    Kind.DIALOGUE: (
        {"messages": [{"role": role, "content": NOISE} for role in ("user", "assistant", "user")]},
        {"path": CHAT},
    ),
    Kind.SYSTEM: (
        {"messages": [{"role": role, "content": f"Message: {NOISE}"} for role in ("system", "user")]},
        {"path": CHAT},
    ),
    Kind.TOOLS: (chat(f"Message: {NOISE}", tools=True), {"path": CHAT, "output": ""}),
    Kind.FORM: (chat(NOISE), {"path": CHAT}),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_new_kind_of_client_raises_no_alarm_and_is_said(
    engine: Engine, look: Callable[..., MonitorCheck], kind: Kind
) -> None:
    ask(engine, tickets(100, "usual"), START, "usual", path=TASKS)
    assert look(1).reasons == ()
    given, changes = OTHER_KINDS[kind]
    ids = log(engine, [given] * 50, ["Certainly, here is a poem."] * 50, START + HOUR, "other", **changes)
    correct(engine, ids, tickets(50, "right"), START + HOUR + 60)
    found = look(2)
    assert not found.alarm and "kind_accuracy_n" not in found.figures
    assert found.reasons == (
        Says("100% of 50 requests", f"not judged: {kind} 50", f"new since this version serves: {kind}"),
    )
    assert found.figures["not_judged"] == pytest.approx(1 / 3) and found.figures[f"not_judged: {kind}"] == 50
    page = Path(found.report).read_text(encoding="utf-8")
    assert (
        "Nothing has changed" in page
        and f"33% of 150 requests were of a kind that is not judged: {kind} 50" in page.replace("&#39;", "'")
    )
    log(engine, [given] * 5, ["x"] * 5, START + 3 * HOUR, "more", **changes)
    assert look(4).reasons == ()  # it is not new any more


@pytest.mark.parametrize("form", [str, parts])
def test_drift_in_chats_of_the_tasks_form_is_seen_among_other_kinds(
    engine: Engine, look: Callable[..., MonitorCheck], form: Callable[[str], object]
) -> None:
    given, changes = OTHER_KINDS[Kind.COMPLETION]
    log(engine, [given] * 50, ["x"] * 50, START, "other", **changes)
    rows = tickets(150, "shift", new=0.5)
    log(engine, [chat(form(f"Message: {row['text']}")) for row in rows], said(rows), START + 60, "s", path=CHAT)
    found = look(1)
    assert found.alarm and found.evidence["topics of requests"] > found.figures["threshold"]
    assert found.reasons[-1].startswith("25% of 200 requests were of a kind that is not judged: completions 50")


def test_an_answer_under_a_clients_own_settings_is_not_judged_but_what_was_asked_is(
    engine: Engine, look: Callable[..., MonitorCheck]
) -> None:
    rows = tickets(100, "usual")
    ask(engine, rows, START, "usual", path=TASKS)
    assert not look(1).alarm
    asked = [chat(f"Message: {row['text']}", settings=["response_format"]) for row in tickets(50, "own")]
    ids = log(engine, asked, ["Certainly!"] * 50, START + HOUR, "own", path=CHAT)
    correct(engine, ids, tickets(50, "right"), START + HOUR + 60)
    found = look(2)
    assert not found.alarm and found.figures["latest"] == 150 and "kind_accuracy" not in found.figures
    assert found.reasons[0].startswith(
        "100% of 50 requests were of a kind that is not judged: answers under settings of the client's own 50"
    )
    shifted = tickets(150, "shift", new=0.5)
    log(
        engine,
        [chat(f"Message: {row['text']}", settings=["stop"]) for row in shifted],
        said(shifted),
        START + 3 * HOUR,
        "s",
        path=CHAT,
    )
    assert look(4).evidence["topics of requests"] > found.figures["threshold"]
