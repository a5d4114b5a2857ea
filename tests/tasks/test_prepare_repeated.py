"""Repeated rows are judged on what the person wrote, and the report names the threshold and a pair."""

import time

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.stages.prepare.labels import asked_columns
from tasks.stages.prepare.shapes.table import format_row
from tasks.stages.prepare.split_or_drop import assign
from tasks.texts.duplicates import leaders, similar_pairs
from tests.tasks.short_messages import PARAMS, SUBJECTS, kinds, prepared, rows

INSTRUCTION = (
    "You are the assistant of a shop for lamps. Read the message of the customer with care and sort it into one of "
    "the classes that the handbook of the shop names. " * 2
)
WIDE = "The lamp is dark".translate(
    {code: code + 0xFEE0 for code in range(33, 127)}
)  # as Japanese keyboards write Latin


# What the person wrote


def test_short_messages_under_a_long_instruction_all_stay():
    """Sixty rows of which the instruction is most of what the model reads."""
    entries = [
        (f"{subject} {colour}", "a")
        for subject in SUBJECTS
        for colour in ("amber", "teal", "copper mesh", "white paper", "smoked glass")
    ]
    loose = PARAMS.model_copy(update={"contamination_similarity": 0.8})
    for user in ("{{ subject }}", INSTRUCTION + "{{ subject }}"):
        params = loose.model_copy(update={"user": user})
        assert kinds(assign(rows(entries, params), params)) == {"kept": 60}


def test_an_instruction_that_every_row_holds_is_not_what_the_person_wrote():
    """As in data of instruction, input and output whose instruction never changes."""
    entries = [
        (f"{subject} {colour}", "a")
        for subject in SUBJECTS
        for colour in ("amber", "teal", "copper mesh", "white paper", "smoked glass")
    ]
    params = PARAMS.model_copy(update={"contamination_similarity": 0.8, "user": "{{ instruction }}\n\n{{ subject }}"})
    source = [{**row["row"], "instruction": INSTRUCTION} for row in rows(entries)]
    assert kinds(assign([format_row(row, params) for row in source], params)) == {"kept": 60}
    source.append(
        {**source[0], "id": "other", "instruction": "Translate this."}
    )  # two instructions: then it counts who asks what
    assert kinds(assign([format_row(row, params) for row in source], params))["kept"] < 61


def test_where_the_rows_differ_in_no_column_all_are_compared():
    assert (
        asked_columns([{"a": "x", "b": "y"}] * 2, "{{ a }} {{ b }}")
        == asked_columns([], "{{ a }} {{ b }}")
        == ("a", "b")
    )


def test_a_template_without_columns_is_compared_as_it_is_asked():
    params = PARAMS.model_copy(update={"user": "Say hello."})
    assert kinds(assign(rows([("a", "x"), ("b", "x")], params), params)) == {"kept": 1, "near_duplicate": 1}


@pytest.mark.parametrize(
    "twin",
    [
        "The lamp is\u00a0dark",
        "The la\u00admp is dark",
        "\ufeffThe lamp is dark\u200b",
        "The l\u200damp \u2060is dark",
        "THE LAMP IS DARK",
        "The\u2003lamp  is\ndark",
        "\u202aThe lamp is dark\u202c",
        "The lamp\ufe0f is dark",
        WIDE,
        "T\u034fhe lamp is da\u200erk",
        "\U000e0001The lamp is dark",
    ],
)
def test_what_cannot_be_seen_hides_no_twin(twin):
    assert kinds(assign(rows([("The lamp is dark", "x"), (twin, "x")]), PARAMS)) == {"kept": 1, "near_duplicate": 1}
    assert list(similar_pairs([twin], ["The lamp is dark"], 1.0)) == [(0, 0)]


def test_a_twin_of_a_held_out_row_is_not_trained_on_whatever_the_template():
    params = PARAMS.model_copy(update={"near_duplicate_similarity": 1.0, "user": f"{INSTRUCTION}{{{{ subject }}}}"})
    entries = [
        (f"{subject}, {tail}", "x")
        for subject in SUBJECTS
        for tail in ("as I wrote to you on Monday", "as I wrote to you on Monday!")
    ]
    assignment = assign(rows(entries, params), params)
    splits = {
        placed.row["row"]["subject"].rstrip("!"): placed.split for placed in assignment.kept if placed.split != "train"
    }
    assert (
        splits
        and not {placed.row["row"]["subject"].rstrip("!") for placed in assignment.kept if placed.split == "train"}
        & splits.keys()
    )


# What is said of it


def test_the_report_names_the_threshold_and_the_pair_that_only_just_reaches_it(tmp_path, capsys):
    entries = [
        (f"{subject} {tail}", "refund")
        for subject in SUBJECTS
        for tail in ("today", "since the storm", "in the new flat")
    ]
    extra = [("The lamp is dark since the storm!", "refund"), ("the lamp is dark since the storm", "refund")]
    report = read_json(prepared(tmp_path, [*entries, *extra]) / "report.json")
    words = "r036 and r001, which are 0.97 alike (prepare.near_duplicate_similarity is 0.8)"
    assert report["examples"]["near_duplicate"] in (words, words.replace("r036 and r001", "r001 and r036"))
    assert (
        f"prepare: left out 2 near-duplicates, for example {report['examples']['near_duplicate']}\n"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("labels", "words"),
    [("ab", "rows that ask (nearly) the same as another and have other labels"), ("a", "near-duplicates")],
)
def test_an_empty_split_says_which_threshold_took_the_rows_and_shows_a_pair(tmp_path, labels, words):
    entries = [
        (
            f"What is the status of my order number 1000{number:02}? Thank you very much for your help.",
            labels[number % len(labels)],
        )
        for number in range(100)
    ]
    with pytest.raises(AnnealError) as stopped:
        prepared(tmp_path, entries)
    said = str(stopped.value)
    assert said.startswith("prepare: the ") and "split is empty (100 rows in, " in said and words in said
    assert "alike (prepare.near_duplicate_similarity is 0.8)" in said and said.endswith(
        "add data, or change the shares or thresholds in params.yaml."
    )


# Many


def test_many_equal_rows_take_seconds():
    started = time.process_time()
    assignment = assign(
        rows([("The lamp in the hall flickers every evening at about ten past nine.", "x")] * 4_000), PARAMS
    )
    assert kinds(assignment) == {"kept": 1, "near_duplicate": 3_999}
    assert time.process_time() - started < 8  # pairs of them would be eight million


def test_a_text_is_like_its_leader_and_leaders_are_not_alike():
    texts = [
        f"What is the status of my order number 10{number:04}? Thank you very much for your help."
        for number in range(0, 3000, 7)
    ]
    pairs = leaders(texts, 0.8)
    first = sorted({pair.place for pair in pairs})
    assert all(pairs[place].place == place for place in first) and all(
        pair.place <= place and pair.similarity >= 0.8 for place, pair in enumerate(pairs)
    )
    kept = [texts[place] for place in first]
    assert [(i, j) for i, j in similar_pairs(kept, kept, 0.8) if i != j] == []
