"""A mix that names only its shares is written out in rows of two parts, which DVC can follow; nothing else changes."""

import json
from pathlib import Path

import pytest

from tasks.params import Mix
from tasks.preflight.sections import complete

FOUR = """mixes:   # mine
  all:
    shares: {tickets: 0.4, prose: 0.3, chats: 0.2, more: 0.1}   # of rows
    seed: 7

  both: {dataset: tickets, other: prose}
"""
ROWS = {
    "all_2": {"dataset": "tickets", "other": "prose", "share": "all"},
    "all_3": {"dataset": "all_2", "other": "chats", "share": "all"},
}


def completed(text: str, folder: Path) -> str:
    file = folder / "params.yaml"
    file.write_text(text)
    completion = complete(file)
    completion.write()
    assert complete(file).lines == ()
    return file.read_text()


def test_a_mix_of_four_is_written_in_rows_of_two(tmp_path: Path) -> None:
    text = completed(FOUR, tmp_path)
    written = [
        "    dataset: all_3\n",
        "    other: more\n",
        "  all_2: {dataset: tickets, other: prose, share: all}\n",
        "  all_3: {dataset: all_2, other: chats, share: all}\n",
    ]
    for line in written:
        assert line in text
        text = text.replace(line, "")
    assert text == FOUR


def test_json_stays_json_and_a_mix_of_two_needs_no_row_between(tmp_path: Path) -> None:
    rows = {"all": {"shares": {"a-b": 0.5, "c": 0.25, "d": 0.25}}, "two": {"shares": {"a-b": 0.5, "c": 0.5}}}
    made = json.loads(completed(json.dumps({"mixes": rows}), tmp_path))["mixes"]
    assert made == {
        "all": {**rows["all"], "dataset": "all_2", "other": "d"},
        "two": {**rows["two"], "dataset": "a-b", "other": "c"},
        "all_2": {"dataset": "a-b", "other": "c", "share": "all"},
    }
    assert all(Mix.model_validate(row) for row in made.values())


def test_a_name_that_is_taken_is_left_to_its_row(tmp_path: Path) -> None:
    text = completed(FOUR + "  all_2: {dataset: x, other: y}\n", tmp_path)
    assert "  all_3: {dataset: tickets, other: prose, share: all}\n" in text and "    dataset: all_4\n" in text


@pytest.mark.parametrize(
    "row",
    ["{shares: {tickets: 1.0}}", "{shares: {}}", "{shares: 0.5}", "{dataset: a, shares: {a: 0.5, b: 0.5}}", "{}", "3"],
)
def test_what_is_no_list_of_shares_alone_is_left_to_the_check(row: str, tmp_path: Path) -> None:
    text = f"mixes:\n  all: {row}\n"
    assert completed(text, tmp_path) == text
