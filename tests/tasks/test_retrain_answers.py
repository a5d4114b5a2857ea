"""Corrections of any answer become rows, or are passed over with a reason: text answers, labels as people write
them, requests in parts.
"""

import unicodedata
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tasks.dialogues.messages import CHAT, COMPLETIONS, TASKS
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.params import Params
from tasks.records import database
from tasks.retrain.gather import labelled
from tasks.retrain.harvest import Harvest, harvest
from tests.sentences import Says
from tests.tasks.corrections import NOW, USER, ask, params, task, ticket


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The records of a project with eight tickets."""
    monkeypatch.chdir(tmp_path)
    data([{"id": f"T-{i}", **ticket(i)} for i in range(8)])
    return database.connect()


def data(rows: list[dict]) -> None:
    """Put `rows` where the dataset is read."""
    write_jsonl(Path("data/seed/tickets/tickets.jsonl"), rows)


def take(engine: Engine, of: Params) -> Harvest:
    """Harvest now."""
    return harvest(engine, of, "triage", NOW + 10)


def question(seed: int) -> dict[str, str]:
    """The question's columns of a ticket."""
    return {name: ticket(seed)[name] for name in ("subject", "body")}


def rows(found: Harvest) -> list[dict]:
    """What was harvested."""
    return read_jsonl(Path(found.file))


def reasons(heap: str, number: int = 1) -> dict[str, str]:
    """Request: its first reason, of one heap of a harvest."""
    told = read_json(Path(f".anneal/harvest/tickets/harvested-{number:04}.json"))[heap]
    return {entry["request"]: entry["reasons"][0] for entry in told}


def count(engine: Engine, of: Params) -> int:
    """How many new labelled rows a decision counts."""
    return len(labelled(engine, "triage", "tickets", of.datasets["tickets"].templates))


TEXT_COLUMNS = ("subject", "body", "reply")


@pytest.mark.parametrize(
    "correction", [{"reply": "A new lamp is on its way."}, {"text": " A new lamp is on its way.\n"}]
)
def test_a_corrected_text_answer_becomes_a_row(engine: Engine, correction: dict) -> None:
    of = task("{{ reply }}", [], TEXT_COLUMNS)
    ask(engine, "r1", question(100), correction)
    assert count(engine, of) == 1
    found = take(engine, of)
    assert found == Harvest("data/seed/tickets/harvested-0001.jsonl", taken=1)
    assert rows(found) == [{"id": "feedback-r1", **question(100), "reply": "A new lamp is on its way."}]


def test_a_label_as_a_text_answer_is_checked_and_learnt(engine: Engine) -> None:
    of = task("Category: {{ category }}", ["category"], ("subject", "body", "category"))
    ask(engine, "good", question(100), {"category": "shipping"})
    ask(engine, "case", question(101), {"category": "Shipping"})
    ask(engine, "old", question(102), {"text": "Category: billing"})
    ask(engine, "odd", question(103), {"text": "billing"})
    found = take(engine, of)
    assert {row["id"]: row["category"] for row in rows(found)} == {
        "feedback-good": "shipping",
        "feedback-old": "billing",
    }
    assert reasons("quarantined") == {"case": "`category` is 'Shipping', which is not a known value"}
    assert reasons("skipped") == {"odd": "its text is not of the form of prepare.answer"}


def test_an_answer_that_computes_cannot_be_learnt_and_that_is_said(engine: Engine) -> None:
    of = task("{{ reply | upper }}", [], TEXT_COLUMNS)
    ask(engine, "r1", question(100), {"text": "A NEW LAMP."})
    assert count(engine, of) == 0  # it starts no retraining
    found = take(engine, of)
    why = "prepare.answer computes something, so an answer cannot be read back into the columns of a row"
    assert found == Harvest(None, skipped=1, why=why) and reasons("skipped") == {"r1": why}
    assert found.words() == f"0 harvested, 1 skipped (most often: {why})"


def test_a_computed_answer_is_not_taken_for_a_column_called_text(engine: Engine) -> None:
    data([{"subject": f"s{i}", "body": "b", "text": "x"} for i in range(3)])
    of = task("{{ text | upper }}", [], ("subject", "body", "text"))
    ask(engine, "r1", question(100), {"text": "A NEW LAMP."})
    found = take(engine, of)
    assert (found.taken, found.skipped) == (0, 1)


@pytest.mark.parametrize(
    "content",
    [
        "Subject: Late\n\nIt is late and dark.",
        [{"type": "text", "text": "Subject: Late\n\nIt is late and dark."}],
        [{"type": "input_text", "text": "Subject: Late\n\n"}, "It is late and dark."],
        ["Subject: Late\n", {"type": "text", "text": "It is late and dark.\n"}],
    ],
)
def test_a_question_in_any_form_is_learnt_from(engine: Engine, content: object) -> None:
    ask(
        engine,
        "r1",
        {"messages": [{"role": "user", "content": content}]},
        {"category": "billing", "reply": "Soon."},
        path=CHAT,
    )
    found = take(engine, params())
    assert found.taken == 1, reasons("skipped")
    assert (rows(found)[0]["subject"], rows(found)[0]["body"]) == ("Late", "It is late and dark.")


@pytest.mark.parametrize(
    ("given", "path", "why"),
    [
        ({"prompt": "Where is it?"}, COMPLETIONS, "it did not follow the model's template (completions)"),
        (
            {"messages": [{"role": "user", "content": "x"}] * 3},
            CHAT,
            "it did not follow the model's template (dialogues of several turns)",
        ),
        (
            {"messages": [{"role": "user", "content": "Where is it?"}], "tools": True},
            CHAT,
            "it did not follow the model's template (tool calls)",
        ),
        ({"other": "Where is it?"}, TASKS, "its columns are not those of the question"),
    ],
)
def test_what_was_asked_in_another_way_is_passed_over_with_its_kind(
    engine: Engine, given: dict, path: str, why: str
) -> None:
    of = task("{{ reply }}", [], ("prompt", "reply"), "{{ prompt }}")
    data([{"prompt": f"Where is {i}?", "reply": "There."} for i in range(3)])
    ask(engine, "r1", given, {"reply": "Here."}, path=path)
    assert count(engine, of) == (path == TASKS)  # what did not ask the task starts no retraining
    found = take(engine, of)
    assert (found.taken, found.skipped) == (0, 1) and reasons("skipped") == {"r1": why}


def test_columns_with_blanks_in_their_names(engine: Engine) -> None:
    data([{"Ticket Text": f"Where is order {i}?", "The Reply": f"On its way {i}."} for i in range(3)])
    of = task("{{ row['The Reply'] }}", [], ("Ticket Text", "The Reply"), "Ticket: {{ row['Ticket Text'] }}")
    ask(engine, "r1", {"Ticket Text": "Is the lamp ready?"}, {"The Reply": "Yes."}, path=TASKS)
    ask(
        engine,
        "r2",
        {"messages": [{"role": "user", "content": "Ticket: Can I pay later?"}]},
        {"The Reply": "You can."},
        path=CHAT,
    )
    assert [(row["Ticket Text"], row["The Reply"]) for row in rows(take(engine, of))] == [
        ("Is the lamp ready?", "Yes."),
        ("Can I pay later?", "You can."),
    ]


def test_an_instruction_that_every_row_holds_makes_no_two_questions_alike(engine: Engine) -> None:
    instruction = (
        "Read the message of the customer with care and answer it in one friendly sentence without any promise. " * 3
    )
    data([{"instruction": instruction, "body": f"Where is order {i}?", "reply": f"On its way {i}."} for i in range(3)])
    of = task("{{ reply }}", [], ("instruction", "body", "reply"), "{{ instruction }}\n{{ body }}")
    for number, text in enumerate(("Is the lamp ready?", "Can I pay later?", "Who made this shade?")):
        ask(engine, f"r{number}", {"instruction": instruction, "body": text}, {"reply": f"Yes {number}."}, path=TASKS)
    assert take(engine, of).taken == 3


def test_a_correction_that_shows_nothing_is_set_aside(engine: Engine) -> None:
    for request, reply in (("blank", "  "), ("filler", "\u3164"), ("joiner", "\u200d")):
        ask(engine, request, question(100 + len(request)), {"category": "billing", "reply": reply})
    assert take(engine, params()).taken == 0
    assert reasons("quarantined") == dict.fromkeys(("blank", "filler", "joiner"), "`reply` is missing or empty")


@pytest.mark.parametrize(
    ("source", "said"),
    [("billing ", "billing"), ("billing", " billing"), ("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")],
)
def test_labels_are_cleaned_on_both_sides(engine: Engine, source: str, said: str) -> None:
    data([{"id": f"T-{i}", **ticket(i), "category": [source, "shipping"][i % 2]} for i in range(8)])
    ask(engine, "r1", question(100), {"category": said, "reply": "Soon."})
    ask(engine, "case", question(101), {"category": said.upper(), "reply": "Soon."})
    ask(engine, "same", question(2), {"category": said, "reply": "Soon."})
    found = take(engine, params())
    assert [row["category"] for row in rows(found)] == [unicodedata.normalize("NFC", source.strip())]
    assert list(reasons("quarantined")) == ["case"] and reasons("skipped") == {
        "same": "the dataset has this text already (T-2)"
    }


def test_a_column_that_rows_leave_empty_may_be_empty_and_one_that_nothing_fills_is_named(engine: Engine) -> None:
    columns = ("subject", "body", "channel", "reply")
    data([{**ticket(i), "body": "" if i else "b", "channel": "mail" if i else ""} for i in range(4)])
    ask(engine, "r1", {"subject": "Late", "body": ""}, {"reply": "Soon."})
    found = take(engine, task("{{ reply }}", [], columns))
    assert rows(found) == [{"id": "feedback-r1", "subject": "Late", "body": "", "channel": "", "reply": "Soon."}]
    data([{**ticket(i), "channel": "mail"} for i in range(4)])
    ask(engine, "r2", question(100), {"reply": "Soon."})
    Path(found.file).unlink()
    assert take(engine, task("{{ reply }}", [], columns)).quarantined == 1
    assert reasons("quarantined", 2) == {
        "r2": Says("`channel`", "correction cannot fill it", "remove it from ingest.columns")
    }


def test_another_answer_to_a_text_that_the_dataset_has_is_shown_to_a_person(engine: Engine) -> None:
    of = task("{{ reply }}", [], TEXT_COLUMNS, USER)
    ask(engine, "same", question(2), {"reply": ticket(2)["reply"]})
    ask(engine, "other", question(3), {"reply": "Never."})
    found = take(engine, of)
    assert (found.taken, found.quarantined, found.skipped) == (0, 1, 1)
    assert reasons("quarantined") == {"other": "the dataset has this text under another answer (T-3)"}
