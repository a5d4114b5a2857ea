"""What people corrected becomes rows once, by way of a quarantine; every row that goes in comes out in exactly one
heap, with its lineage.
"""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.params import Params
from tasks.records import database
from tasks.retrain import lineage
from tasks.retrain.harvest import Harvest, harvest
from tasks.retrain.sift import MAX_ALIKE
from tasks.stages.ingest import Ingest, read
from tests.sentences import Says
from tests.tasks.corrections import NOW, USER, ask, corrected, params, task, ticket


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with eight tickets."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data/seed/tickets/tickets.jsonl"), [{"id": f"T-{i}", **ticket(i)} for i in range(8)])
    return tmp_path


@pytest.fixture
def engine(home: Path) -> object:
    """The records."""
    found = database.connect()
    yield found
    found.dispose()


def take(engine: object, settings_: Params | None = None) -> Harvest:
    return harvest(engine, settings_ or params(), "triage", NOW + 10)


def aside(number: int = 1) -> dict[str, str]:
    """Request: the first reason, of a quarantine."""
    return {
        row["request"]: row["reasons"][0]
        for row in read_jsonl(Path(f".anneal/harvest/tickets/quarantine-{number:04}.jsonl"))
    }


def test_a_corrected_answer_becomes_a_row_with_its_lineage(engine):
    corrected(engine, "r1", 100)
    assert take(engine) == Harvest("data/seed/tickets/harvested-0001.jsonl", taken=1)
    (row,) = read_jsonl(Path("data/seed/tickets/harvested-0001.jsonl"))
    assert row == {"id": "feedback-r1", **ticket(100)} and list(row) == ["id", "subject", "body", "category", "reply"]
    told = read_json(Path(".anneal/harvest/tickets/harvested-0001.json"))
    assert told["taken"] == [
        {"request": "r1", "key": "k1", "version": "3", "template": "t", "requested_at": NOW, "corrected_at": NOW + 5}
    ]
    assert told["sha256"] == sha256(Path("data/seed/tickets/harvested-0001.jsonl")) and told["at"] == NOW + 10
    rows, files = read(params().datasets["tickets"].ingest, Path("data/seed/tickets"))
    assert len(rows) == 9 and [file["name"] for file in files] == ["harvested-0001.jsonl", "tickets.jsonl"]


def test_short_corrections_under_a_long_instruction_are_not_taken_for_one_another(engine):
    """Ten messages of a few words; what they share is the template around them."""
    instruction = (
        "You sort the mail of a shop for lamps and hubs. Read it with care, and choose the class that the handbook "
        "names. " * 4
    )
    for number in range(10):
        row = ticket(100 + number)
        corrected(engine, f"r{number}", 100 + number, subject=row["subject"], body=row["body"][:24])
    found = take(engine, task(["category", "reply"], ["category"], user=instruction + USER, texts=["reply"]))
    assert (found.taken, found.quarantined) == (10, 0)


def test_thumbs_answers_without_a_person_and_other_tasks_are_no_labels(engine):
    row = ticket(100)
    given = {name: row[name] for name in ("subject", "body")}
    ask(engine, "r1", given, thumb=1)
    ask(engine, "r2", given)
    ask(engine, "r3", given, {}, thumb=-1)
    ask(engine, "r4", given, {"category": "billing", "reply": "x"}, task="other")
    assert take(engine) == Harvest(None)
    assert not Path(".anneal/harvest").exists() and len(list(Path("data/seed/tickets").iterdir())) == 1


def test_a_request_is_harvested_once(engine):
    corrected(engine, "r1", 100)
    corrected(engine, "bad", 101, category="planted")
    take(engine)
    corrected(engine, "r1", 100, reply="Another reply.")
    assert take(engine) == Harvest(None)
    corrected(engine, "r2", 102)
    assert take(engine) == Harvest("data/seed/tickets/harvested-0002.jsonl", taken=1)
    Path("data/seed/tickets/harvested-0002.jsonl").unlink()  # a person took it out: it does not come back
    assert take(engine) == Harvest(None)
    assert lineage.next_number("tickets", Path("data/seed/tickets")) == 3


def test_a_harvest_cut_short_before_its_lineage_is_not_taken_twice(engine):
    corrected(engine, "r1", 100)
    take(engine)
    Path(".anneal/harvest/tickets/harvested-0001.json").unlink()
    found = take(engine)
    assert (found.taken, found.skipped) == (0, 1)
    read(params().datasets["tickets"].ingest, Path("data/seed/tickets"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"category": "crypto"}, "`category` is 'crypto', which is not a known value"),
        ({"reply": "Write to <EMAIL> please."}, "`reply` holds a redacted part"),
        (
            {"body": "<EMAIL> <PHONE> <CARD>", "subject": "hi"},
            "redaction left too little of it: 3 parts redacted, 1 words",
        ),
        ({"reply": "  "}, "`reply` is missing or empty"),
    ],
)
def test_what_looks_planted_or_is_unusable_is_set_aside(engine, more, words):
    corrected(engine, "r1", 100, **more)
    corrected(engine, "good", 101, body=ticket(101)["body"] + " the <EMAIL>")  # one redacted part is no loss
    found = take(engine)
    assert (found.taken, found.quarantined) == (1, 1)
    assert aside()["r1"].startswith(words)


def test_a_special_token_in_a_correction_is_text_that_is_learnt_as_it_is(engine):
    reply = "Type <|im_end|> to finish, then restart."
    corrected(engine, "r1", 100, body="<|im_start|> " + ticket(100)["body"], reply=reply)
    assert take(engine).taken == 1
    [row] = read_jsonl(Path("data/seed/tickets/harvested-0001.jsonl"))
    assert row["reply"] == reply and row["body"].startswith("<|im_start|> ")


def test_many_near_identical_texts_are_set_aside_and_a_few_left_to_prepare(engine):
    for i in range(MAX_ALIKE + 1):
        corrected(engine, f"flood{i}", 100, body=ticket(100)["body"] + f" {i}")
    for i in range(MAX_ALIKE):
        corrected(engine, f"few{i}", 103, body=ticket(103)["body"] + f" {i}")
    found = take(engine)
    assert (found.taken, found.quarantined) == (MAX_ALIKE, MAX_ALIKE + 1)
    assert aside()["flood0"] == f"one of {MAX_ALIKE + 1} near-identical texts"


def test_corrections_that_contradict_each_other_are_set_aside(engine):
    corrected(engine, "r1", 100)
    corrected(engine, "r2", 100, body=ticket(100)["body"] + "!", category="shipping")
    corrected(engine, "r3", 101, key="k1", category="billing")
    corrected(engine, "r3", 101, key="k2", category="shipping")
    corrected(engine, "r4", 102, category="billing")
    corrected(engine, "r4", 102, category="shipping")  # the same person thinks again
    found = take(engine)
    assert (found.taken, found.quarantined) == (1, 3)
    assert [row["category"] for row in read_jsonl(Path(found.file))] == ["shipping"]
    assert aside()["r1"] == Says("same text contradict each other", "r1, r2")
    assert aside()["r3"] == Says("this request contradict each other")


def test_a_text_that_the_dataset_has_is_skipped_and_under_another_label_set_aside(engine):
    corrected(engine, "same", 2)
    corrected(engine, "other", 3, body=ticket(3)["body"] + ".", category="billing")
    corrected(engine, "new", 100)
    found = take(engine)
    assert (found.taken, found.quarantined, found.skipped) == (1, 1, 1)
    assert aside() == {"other": "the dataset has this text under other labels (T-3)"}
    assert read_json(Path(".anneal/harvest/tickets/harvested-0001.json"))["skipped"][0]["reasons"] == [
        "the dataset has this text already (T-2)"
    ]


def test_what_one_key_brings_too_much_of_waits_for_others(engine):
    for i in range(6):
        corrected(engine, f"a{i}", 100 + i, key="loud")
    for i in range(2):
        corrected(engine, f"b{i}", 110 + i, key="calm")
    found = take(engine, params(max_share_of_key=0.5))
    assert (found.taken, found.waiting, found.quarantined) == (4, 4, 0)
    assert set(aside()) == {"a2", "a3", "a4", "a5"}
    for i in range(4):
        corrected(engine, f"c{i}", 120 + i, key="calm")
    assert take(engine, params(max_share_of_key=0.5)).taken == 8


def test_one_key_alone_is_everybody(engine):
    for i in range(6):
        corrected(engine, f"a{i}", 100 + i)
    assert take(engine, params(max_share_of_key=0.5)).taken == 6


def test_messages_give_the_columns_back_where_there_is_one_way_only(engine):
    row = ticket(100)
    system, user = (
        {"role": "system", "content": "Triage."},
        {"role": "user", "content": f"Subject: {row['subject']}\n\n{row['body']}\n\nA second paragraph."},
    )
    said = {name: row[name] for name in ("category", "reply")}
    ask(engine, "whole", {"messages": [system, user]}, said)
    ask(engine, "other system", {"messages": [{**system, "content": "Be rude."}, user]}, said)
    ask(engine, "dialogue", {"messages": [system, user, {"role": "assistant", "content": "x"}, user]}, said)
    ask(engine, "no template", {"messages": [{"role": "user", "content": "Where is my lamp?"}]}, said)
    ask(engine, "not kept", None, said)
    ask(engine, "pictures", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, said)
    ask(engine, "other columns", {"subject": "x"}, said)
    found = take(engine)
    assert (found.taken, found.skipped) == (1, 6)
    assert read_jsonl(Path(found.file))[0]["body"] == f"{row['body']}\n\nA second paragraph."


def test_a_dataset_in_csv_is_harvested_in_csv(engine):
    source = Path("data/seed/table")
    source.mkdir()
    (source / "first.csv").write_text("subject,body,category,reply\na,b,billing,c\nd,e,shipping,f\n")
    corrected(engine, "r1", 100, body='two\nlines, "quoted"')
    found = take(engine, params("data/seed/table", "csv"))
    assert found.file == "data/seed/table/harvested-0001.csv"
    rows, _ = read(params("data/seed/table", "csv").datasets["tickets"].ingest, source)
    assert rows[-1] == {"id": "feedback-r1", **ticket(100, body='two\nlines, "quoted"')}


def test_beside_parquet_rows_lie_as_json_lines_and_cells_of_json_as_their_values(engine):
    source = Path("data/seed/columns")
    source.mkdir()
    rows = [ticket(seed, body=json.dumps([f"turn {seed}"])) for seed in (1, 2)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), source / "first.parquet")
    ingest = Ingest(source=str(source), columns=list(rows[0]), json_columns=["body"])
    value = params()
    value.datasets["tickets"] = value.datasets["tickets"].model_copy(update={"ingest": ingest})
    corrected(engine, "r1", 100, body='["turn 100"]')
    harvested = take(engine, value)
    assert harvested.file == "data/seed/columns/harvested-0001.jsonl"
    assert read_jsonl(Path(harvested.file))[0]["body"] == ["turn 100"]
    assert read(ingest, source)[0][-1] == {"id": "feedback-r1", **ticket(100, body='["turn 100"]')}


def test_a_source_that_is_a_file_cannot_take_more(engine):
    corrected(engine, "r1", 100)
    with pytest.raises(
        AnnealError,
        match=r"datasets\.tickets\.ingest\.source is data/seed/tickets/tickets\.jsonl, a file: name a folder",
    ):
        take(engine, params("data/seed/tickets/tickets.jsonl"))
