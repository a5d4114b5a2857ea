"""What people corrected makes a pair of the correction and what the version said, sifted, redacted and traced to its
request.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.records import database
from tasks.retrain import lineage, preferences
from tasks.retrain.sift import MAX_ALIKE
from tasks.stages.ingest import Ingest, read
from tasks.stages.prepare.shapes import preference, rated
from tests.tasks.corrections import ask, params, ticket
from tests.tasks.preferred import PAIRS, RATINGS, correct, rate, said, take, thumb
from tests.tasks.test_retrain_cascade import cascade


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The records of a project with eight tickets."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data/seed/tickets/tickets.jsonl"), [{"id": f"T-{i}", **ticket(i)} for i in range(8)])
    made = database.connect()
    yield made
    made.dispose()


def test_a_correction_makes_a_pair_with_the_prompt_of_its_version_and_its_lineage(engine: Engine) -> None:
    correct(engine, "r1", 100, said("shipping", "No idea what you mean."))
    assert [pair.request for pair in take(engine).pairs.made] == ["r1"]
    file, row = PAIRS / "harvested-0001.jsonl", ticket(100)
    [stored] = read_jsonl(file)
    asked = f"{row['subject']} / {row['body']}"
    assert stored["prompt"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": asked}]
    assert stored["chosen"][0]["content"] == said(row["category"], row["reply"])
    assert stored["rejected"][0]["content"] == said("shipping", "No idea what you mean.")
    assert read_json(Path(".anneal/harvest/tickets/harvested-0001.json"))["pairs"] == {
        "file": str(file), "sha256": sha256(file), "made": ["r1"], "dropped": {},
    }  # fmt: skip
    assert preferences.of_stored(stored).stored() == stored


def test_pairs_and_ratings_are_rows_of_their_shapes(engine: Engine) -> None:
    correct(engine, "r1", 100, '{"role": "user", "content": "half an answer')
    thumb(engine, "r2", 101, up=False)
    take(engine)
    rate(engine)
    for folder, shape, columns in (
        (PAIRS, preference.Params(shape="preference"), ["prompt", "chosen", "rejected"]),
        (RATINGS, rated.Params(shape="rated"), ["messages", "label"]),
    ):
        as_json = [name for name in columns if name != "label"]
        [row], _ = read(Ingest(source=str(folder), columns=columns, json_columns=as_json), folder)
        module = preference if shape.shape == "preference" else rated
        example = module.example(row, shape)
        assert [turn["role"] for turn in example["messages"]] == ["system", "user"]
        assert example.get("rejected") == ('{"role": "user", "content": "half an answer' if folder == PAIRS else None)
        assert example.get("rating") is (False if folder == RATINGS else None)


@pytest.mark.parametrize(
    ("output", "more", "why"),
    [
        (None, {}, "its answer is empty, or was not kept"),
        ("  ", {}, "its answer is empty, or was not kept"),
        (said("billing", "cut sh"), {"finish_reason": "length"}, "its answer was cut off at the limit of tokens"),
        (said("billing", "Mail <EMAIL>."), {}, "its answer holds a redacted part, which the model did not write"),
        ("RIGHT", {}, "both answers say the same"),
        ("LOUD", {}, "both answers say the same"),
        ("TYPO", {}, "its answers differ in a word or two"),
        ("LABEL", {}, "its answers differ in a word or two"),
    ],
)
def test_what_makes_no_pair_is_counted_with_the_reason_and_still_a_row(
    engine: Engine, output: str | None, more: dict[str, str], why: str
) -> None:
    row = ticket(100)
    outputs = {
        "RIGHT": said(row["category"], row["reply"]),
        "LOUD": said(row["category"], row["reply"].upper() + "!"),
        "TYPO": said(row["category"], row["reply"].replace("again", "agian")),
        "LABEL": said("shipping", row["reply"]),
    }
    correct(engine, "r1", 100, outputs.get(output or "", output), **more)
    found = take(engine)
    assert (found.taken, found.pairs.made, found.pairs.dropped) == (1, [], {"r1": why})
    assert found.pairs.words() == f"0 pairs (1 left out: {why})" and not PAIRS.exists()
    assert read_json(Path(".anneal/harvest/tickets/harvested-0001.json"))["pairs"]["dropped"] == {"r1": why}


def test_a_version_whose_templates_are_unknown_makes_no_pair_of_columns(engine: Engine) -> None:
    correct(engine, "r1", 100, said("shipping", "No idea what you mean."))
    assert take(engine, known=False).pairs.dropped == {
        "r1": "version 3 is not in the registry, so what it was asked is unknown"
    }


def test_a_chat_is_kept_as_it_was_sent(engine: Engine) -> None:
    row = ticket(100)
    turns = [{"role": "user", "content": f"Subject: {row['subject']}\n\n{row['body']}"}]
    right = {name: row[name] for name in ("category", "reply")}
    ask(engine, "r1", {"messages": turns}, right, output=said("shipping", "No idea what you mean."))
    [pair] = take(engine, known=False).pairs.made
    assert list(pair.prompt) == turns


def test_prompt_and_both_answers_are_redacted_once_more(engine: Engine) -> None:
    """As a record of an older version may need it."""
    mail = "write to ann@example.org"
    correct(engine, "prompt", 100, said("shipping", "No idea what you mean."), body=ticket(100)["body"] + f" {mail}")
    correct(engine, "chosen", 101, said("shipping", "No idea what you mean."), reply=f"Please {mail} at once.")
    correct(engine, "rejected", 102, said("shipping", f"Please {mail}."))
    thumb(engine, "thumb", 103, up=True, output=said("shipping", f"Please {mail}."))
    found, judged = take(engine), rate(engine)
    assert [pair.request for pair in found.pairs.made] == ["prompt"] and judged.skipped == 1
    assert found.pairs.dropped == {
        "chosen": "its correction holds a redacted part",
        "rejected": "its answer holds a redacted part, which the model did not write",
    }
    texts = "".join(file.read_text() for file in Path("data/harvested").rglob("*.jsonl"))
    assert "<EMAIL>" in texts and "ann@" not in texts


def test_planted_corrections_and_a_loud_key_make_no_more_pairs_than_rows(engine: Engine) -> None:
    wrong = said("shipping", "No idea what you mean.")
    correct(engine, "planted", 100, wrong, category="crypto")
    for number in range(MAX_ALIKE + 1):
        correct(engine, f"flood{number}", 101, wrong, body=ticket(101)["body"] + f" {number}")
    for number in range(6):
        correct(engine, f"loud{number}", 110 + number, wrong, key="loud")
    for number in range(2):
        correct(engine, f"calm{number}", 120 + number, wrong, key="calm")
    found = take(engine, params(max_share_of_key=0.5))
    assert sorted(pair.request for pair in found.pairs.made) == ["calm0", "calm1", "loud0", "loud1"]
    assert (found.taken, found.waiting, found.quarantined) == (4, 4, MAX_ALIKE + 2)


def test_pairs_that_swap_their_answers_are_set_aside_new_and_old(engine: Engine) -> None:
    first, second = "We look into it and write again.", "No idea what you mean with it."
    for request, seed, chosen, rejected in [
        ("a", 100, first, second),
        ("b", 100, second, first),
        ("c", 102, first, second),
        ("d", 102, first, second),
    ]:
        correct(engine, request, seed, said("billing", rejected), category="billing", reply=chosen)
    found = take(engine)
    assert [pair.request for pair in found.pairs.made] == ["c"]
    assert found.pairs.dropped == {"a": preferences.SWAPPED, "b": preferences.SWAPPED, "d": preferences.KNOWN}
    kept = [preferences.of_stored(row) for row in read_jsonl(PAIRS / "harvested-0001.jsonl")]
    later = preferences.Pairs([preferences.Pair("e", kept[0].prompt, kept[0].rejected, kept[0].chosen)])
    assert preferences.without_contradictions(later, kept).dropped == {"e": preferences.SWAPPED}


def test_a_label_that_a_classifier_tells_is_not_the_writers_to_prefer(engine: Engine) -> None:
    row = ticket(100)
    correct(engine, "label", 100, said("shipping", row["reply"]))
    correct(engine, "both", 102, said("shipping", "No idea what you mean."))
    correct(engine, "broken", 104, "no JSON at all, and long enough")
    found = take(engine, cascade())
    assert found.pairs.dropped == {"label": preferences.SAME, "broken": preferences.UNDIVIDED}
    [pair] = found.pairs.made
    assert pair.chosen == said("shipping", ticket(102)["reply"])  # as the version was asked: behind the same label
    assert pair.rejected == said("shipping", "No idea what you mean.")


def test_a_harvest_cut_short_loses_no_pair_and_makes_none_twice(engine: Engine) -> None:
    wrong = said("shipping", "No idea what you mean.")
    correct(engine, "r1", 100, wrong)
    take(engine)
    Path("data/seed/tickets/harvested-0001.jsonl").unlink()
    Path(".anneal/harvest/tickets/harvested-0001.json").unlink()
    correct(engine, "r2", 101, wrong)
    take(engine)
    assert [row["id"] for row in lineage.stored_rows(PAIRS)] == ["pair-r1", "pair-r2"]
