"""The champion is asked only the rows that are new to it, once and in its own words, or cannot be compared."""

from types import SimpleNamespace

import pytest

from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.versions import registry
from tests.tasks.judged import enthrone, reports, tuned, verdict, watch_answers, without_answers

pytestmark = pytest.mark.slow  # each test trains, or loads a model


@pytest.fixture
def place(store, tmp_path, evaluated, packaged, base) -> SimpleNamespace:
    return reports(evaluated, packaged.adapter, base, tmp_path / "reports")


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    return watch_answers(monkeypatch)


@pytest.mark.parametrize("right", [0, 32])
def test_a_champion_asked_the_same_rows_is_not_asked_again(place, asked, tmp_path, right):
    enthrone(place, tmp_path, without_answers(tuned(place), right))
    found = verdict(place)
    assert found.passed and not asked
    assert f"not worse than the champion on colour_accuracy: {32 - right} rows won, 0 lost" in found.reasons[2]


def test_a_champion_is_asked_the_rows_that_are_new_to_it_and_only_once(place, asked, tmp_path):
    champion = enthrone(place, tmp_path, without_answers(tuned(place), 0)[:20])  # its answers to these were all wrong
    found = verdict(place)
    assert asked == [f"champion (version {champion.version}), 12 rows"]
    assert "not worse than the champion on colour_accuracy: 20 rows won, 0 lost" in found.reasons[2]
    kept = read_jsonl(place.reports / "champion" / "predictions.jsonl")
    assert [(row["id"], row["text"]) for row in kept] == [
        (row["id"], "?" if i < 20 else row["text"]) for i, row in enumerate(tuned(place))
    ]
    assert verdict(place) == found and len(asked) == 1


def test_answers_kept_from_another_champion_or_other_rows_are_not_taken(place, asked, tmp_path):
    champion = enthrone(place, tmp_path, tuned(place)[:20])
    wrong = without_answers(tuned(place), 0)
    for mark, rows in (("an-older-champion", wrong), (champion.artifact, wrong[:20])):
        write_jsonl(
            place.reports / "champion" / "predictions.jsonl",
            [{**row, "answer": "another"} for row in rows] if mark == champion.artifact else rows,
        )
        (place.reports / "champion" / mark).touch()
        asked.clear()
        assert "0 rows won, 0 lost" in verdict(place).reasons[2] and len(asked) == 1
        for file in (place.reports / "champion").iterdir():
            file.unlink()


def test_a_row_with_another_answer_is_another_row(place, asked, tmp_path):
    rows = tuned(place)
    enthrone(place, tmp_path, [{**rows[0], "answer": "relabelled since"}, *rows[1:]])
    verdict(place)
    assert len(asked) == 1 and asked[0].endswith(", 1 rows")


def test_a_champion_on_other_weights_cannot_be_compared_and_nothing_is_promoted(place, asked, tmp_path):
    champion = enthrone(place, tmp_path, tuned(place)[:20], base_sha256="f" * 64)
    found = verdict(place)
    assert not found.passed and not asked and "`make promote` promotes it manually" in found.reasons[0]
    assert f"version {champion.version}" in found.reasons[0]


def reworded(version: registry.Version, **words: object) -> None:
    """The champion was trained with other words in its format."""
    file = registry.folder(version, "adapter") / "format.json"
    write_json(file, {**read_json(file), **words})


def test_a_champion_is_asked_in_its_own_words(place, asked, tmp_path):
    """Asked the new model's prompts, it would fail by the words and never win."""
    rows = [{**row, "messages": [{"role": "user", "content": row["row"]["thing"]}]} for row in tuned(place)]
    reworded(enthrone(place, tmp_path, rows[:-1]), system=None, user="{{ thing }}")
    found = verdict(place)
    assert asked[0].endswith(", 1 rows") and "not worse than the champion" in found.reasons[2]
    assert read_jsonl(place.reports / "champion" / "predictions.jsonl")[-1]["messages"] == rows[-1]["messages"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"answer": "{{ colour }}"}, "its answers are '{{ colour }}'"),
        ({"user": "{{ weight }}"}, "its template does not fit these rows"),
    ],
)
def test_a_champion_that_answers_or_is_asked_otherwise_cannot_be_compared(place, asked, tmp_path, words, reason):
    reworded(enthrone(place, tmp_path, tuned(place)), **words)
    found = verdict(place)
    assert (
        not found.passed
        and not asked
        and reason in found.reasons[0]
        and "`make promote` promotes it manually" in found.reasons[0]
    )
