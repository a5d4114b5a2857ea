"""What counts as a failure of a version on trial; a correction is compared in the format of the version that
answered.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tasks.errors import AnnealError
from tasks.files import write_json
from tasks.formats.answer import format_of
from tasks.formats.contract import Contract
from tasks.records import database
from tasks.serve import state
from tasks.serve.reconcile import evidence
from tasks.versions.registry import Version

RIGHT = '{"category": "billing", "intent": "x", "priority": "low", "reply": "r"}'
FORMATS = (["category", "intent", "priority", "reply"], "{{ reply }}", "{{ category }}")
JSON, REPLY, LABEL = (Contract(None, "{{ body }}", ("body",), format_of(answer)) for answer in FORMATS)
OPEN = {"canary": "open", "canary_share": "0.2", "canary_since": "100.0"}
CHAMPION, CHALLENGER = Version("things", "1", "a" * 64, "run", {}), Version("things", "2", "b" * 64, "run", OPEN)


def folder(version: Version) -> Path:
    return state.adapter_folder(version.name, version.artifact)


def row(**changes: object) -> dict:
    return {"status": 200, "error": None, "valid": True, "latency": 1.0, "output": RIGHT, **changes}


@pytest.mark.parametrize(
    ("changes", "feedback", "failed"),
    [
        ({}, None, set()),
        ({"status": 503, "valid": None}, None, {"error"}),
        ({"error": "backend_died", "valid": False}, None, {"error"}),
        ({"status": 499, "error": "client_left", "valid": None}, None, set()),
        ({"valid": False}, None, {"invalid"}),
        ({"valid": None}, None, set()),
        ({"latency": 2.1}, None, {"slow"}),
        ({}, {"thumb": -1, "correction": None}, {"wrong"}),
        ({}, {"thumb": 1, "correction": None}, set()),
        (
            {},
            {"thumb": None, "correction": {"category": "billing", "reply": "another"}},
            set(),
        ),  # a reply may be put otherwise
        ({}, {"thumb": None, "correction": {"category": "refund"}}, {"wrong"}),
        ({"output": "no JSON"}, {"thumb": None, "correction": {"category": "refund"}}, {"wrong"}),
    ],
)
def test_what_counts_as_a_failure(changes: dict, feedback: dict | None, failed: set) -> None:
    assert evidence.failures(row(**changes), feedback, lambda: JSON, ["category", "intent"], 2.0) == failed


@pytest.mark.parametrize(
    ("contract", "output", "correction", "labels", "is_wrong"),
    [
        (REPLY, "On its way.\n", {"reply": "On its way."}, [], False),
        (REPLY, "On its way.", {"reply": "Tomorrow."}, [], True),
        (REPLY, "", {"reply": "Tomorrow."}, [], True),
        (REPLY, None, {"reply": "Tomorrow."}, [], True),
        (LABEL, "billing", {"category": "billing "}, ["category"], False),
        (LABEL, '{"category": "billing"}', {"category": "billing"}, ["category"], True),
        (JSON, '{"category": "a", ' + RIGHT[1:], {"category": "billing"}, ["category"], True),  # it said two categories
        (JSON, RIGHT, {"category": "billing "}, ["category"], False),
        (JSON, RIGHT, {"category": "billing", "intent": "x", "priority": "low", "reply": "r\r\n"}, [], False),
        (JSON, RIGHT, {"answer": "of another format"}, ["category"], False),  # nothing of it can be compared
    ],
)
def test_a_correction_is_compared_in_the_format_of_the_answer(
    contract: Contract, output: str | None, correction: dict, labels: list[str], is_wrong: bool
) -> None:
    assert evidence.is_wrong(output, {"thumb": None, "correction": correction}, lambda: contract, labels) is is_wrong


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Records in a folder of their own, in which two versions were answering."""
    monkeypatch.chdir(tmp_path)
    made = database.connect(f"sqlite:///{tmp_path}/records.db")
    for version, answer in ((CHAMPION, ["category"]), (CHALLENGER, "{{ category }}")):
        write_json(folder(version) / "format.json", {"system": None, "user": "{{ body }}", "answer": answer})
    yield made
    made.dispose()


def answered(engine: Engine, role: str, outputs: list[str], correction: dict | None) -> None:
    """Answers of the champion or of the canary that people said something about."""
    known = {
        "task": "things",
        "at": 200.0,
        "role": role,
        "artifact": (CHAMPION if role == "champion" else CHALLENGER).artifact,
        "status": 200,
        "valid": True,
    }
    with engine.begin() as connection:
        for number, output in enumerate(outputs):
            connection.execute(database.requests.insert().values(id=f"{role}-{number}", output=output, **known))
            connection.execute(
                database.feedback.insert().values(
                    at=201.0, request_id=f"{role}-{number}", thumb=1, correction=correction
                )
            )


def test_each_version_is_read_in_its_own_format(engine: Engine) -> None:
    for role in ("champion", "canary"):
        answered(
            engine, role, ["billing", '{"category": "billing"}', '{"category": "refund"}'], {"category": "billing"}
        )
    counts = evidence.count(engine, CHAMPION, CHALLENGER, ["category"])
    assert counts.failures["wrong"] == (2, 4), (
        "of the champion the text and the refund are wrong, of the challenger both objects"
    )


def test_corrections_of_a_format_that_cannot_be_read_stop_the_judgement(engine: Engine) -> None:
    """Thumbs need no format."""
    (folder(CHALLENGER) / "format.json").unlink()
    answered(engine, "champion", ["x"], None)
    assert evidence.count(engine, CHAMPION, CHALLENGER, []).failures["wrong"] == (0, 0)
    answered(engine, "canary", ["billing"], {"category": "billing"})
    with pytest.raises(AnnealError, match=r"format\.json is missing"):
        evidence.count(engine, CHAMPION, CHALLENGER, [])
