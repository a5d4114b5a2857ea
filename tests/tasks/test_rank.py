"""What becomes a pair of sampled answers, what is left out, and what is counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.dataset.ranked import EXAMPLE, TEXTS
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.judging.verdicts import Reader, Reading, Verdict, key, write
from tasks.rankings import rubric, verdicts
from tasks.rewards import Weighted, length
from tasks.rewards import write as write_rubric
from tasks.stages.prepare.shapes import preference
from tasks.stages.rank import rank

TURNS = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "ask a"}]


def row(identity: str, *texts: str, cut: tuple[int, ...] = (), **more: Any) -> dict:
    answers = [
        {"text": text, "temperature": 0.5 * number, "tokens": 3, "finished": number not in cut}
        for number, text in enumerate(texts)
    ]
    columns = {"id": identity, "question": "ask a"}
    return {"id": identity, "messages": TURNS, "answer": "right", "row": columns, "answers": answers, **more}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with `scored`, a dataset whose rubric rewards a text of up to five characters."""
    settings: list[Weighted] = [length.Params(kind="length", max=5, unit="characters", weight=2.0)]
    (tmp_path / "scored").mkdir()
    held_out: list[Weighted] = [length.Params(kind="length", max=1000)]
    named = write_rubric(tmp_path / "scored", settings, held_out, {"answer": "{{ answer }}"})
    write_jsonl(tmp_path / "scored" / "train.jsonl", [{"rubric": named}])
    return tmp_path


def ranked(place: Path, rows: list[dict], kind: str = "rubric", **changes: Any) -> tuple[list[dict], dict]:
    """(pairs, the report) of samples."""
    write_jsonl(place / "sampled" / "samples.jsonl", rows)
    by = place / ("scored" if kind == "rubric" else "said")
    module: Any = {"rubric": rubric, "verdicts": verdicts}[kind]
    params = module.Params(kind=kind, samples="drawn", by=by.as_posix(), **changes)
    rank(params, place / "sampled", by, place / "out", place / "report.json")
    return read_jsonl(place / "out" / "pairs.jsonl"), read_json(place / "report.json")


def sides(pairs: list[dict]) -> list[tuple[str, str]]:
    return [(pair["chosen"], pair["rejected"]) for pair in pairs]


def test_the_best_is_preferred_to_the_worst_and_the_pair_says_where_it_comes_from(place: Path) -> None:
    pairs, report = ranked(place, [row("r1", "1234567", "12345", "123456789")])
    assert sides(pairs) == [("12345", "123456789")]
    lineage = json.loads(pairs[0]["lineage"])
    assert (lineage["samples"], lineage["row"], lineage["ranked_by"]) == ("drawn", "r1", "rubric")
    assert lineage["chosen"] == {
        "answer": 1,
        "temperature": 0.5,
        "score": 2.0,
        "parts": {"length": 1.0, "held_out length": 1.0},
    }
    assert lineage["rejected"]["score"] == pytest.approx(2 * (1 - 4 / 5))
    assert report["rows"] == report["pairs"] == 1 and report["left_out"] == {}
    assert report["chosen"]["characters"] == 5 and report["rejected"]["characters"] == 9
    assert report["chosen"]["held_out length"] == 1.0


def test_a_pair_is_a_row_that_the_shape_preference_reads(place: Path) -> None:
    pairs, _ = ranked(place, [row("r1", "12345", "123456789")])
    assert {*pairs[0]} == {"id", *TEXTS, "lineage"} == {*EXAMPLE}
    made = preference.example(pairs[0], preference.Params(shape="preference"))
    assert made["messages"] == TURNS and (made["answer"], made["rejected"]) == ("12345", "123456789")
    assert preference.example(EXAMPLE, preference.Params(shape="preference"))["answer"] == EXAMPLE["chosen"]


def test_all_pairs_that_differ_by_the_margin(place: Path) -> None:
    answers = ("12345", "123456", "1234567", "7654321")  # 2, 1.6, 1.2, 1.2
    pairs, _ = ranked(place, [row("r1", *answers)], pairs="all")
    assert len(pairs) == 5 and len({pair["id"] for pair in pairs}) == 5  # but for the two that tie
    assert pairs[0]["id"].startswith("r1#0-")
    far, _ = ranked(place, [row("r1", *answers)], pairs="all", margin=0.7)
    assert {*sides(far)} == {("12345", "1234567"), ("12345", "7654321")}


def test_equal_empty_and_tied_answers_are_left_out_and_counted(place: Path) -> None:
    rows = [
        row("alike", "Same words", "same  WORDS"),
        row("tied", "1234567", "7654321"),
        row("empty", "12345", " \n\u200b"),
        row("json", '{"a": ""}', "12345"),
        row("good", "12345", "1234567", "12345"),
    ]
    rows[3]["given"] = '{"a":'
    rows[3]["answers"][1]["text"] = '{"a": "b"}'
    pairs, report = ranked(place, rows)
    assert [pair["id"] for pair in pairs] == ["good"]
    assert report["left_out"] == {
        "empty answers": 2,
        "repeated answers": 2,
        "rows with a tie": 1,
        "rows with fewer than two different answers": 3,
    }
    assert (report["rows"], report["pairs"]) == (5, 1)


def test_an_answer_that_was_cut_off_is_never_preferred(place: Path) -> None:
    pairs, report = ranked(
        place, [row("a", "12345", "1234567", "123456", cut=(0,)), row("b", "1", "1234567", cut=(0, 1))]
    )
    assert sides(pairs) == [("123456", "1234567")]
    assert report["left_out"] == {"rows whose answers were all cut off": 1}


def test_no_temperature_is_favoured_among_equals(place: Path) -> None:
    rows = [row(f"r{number}", "12345", "54321", "1234567") for number in range(60)]
    pairs, _ = ranked(place, rows)
    first = sum(pair["chosen"] == "12345" for pair in pairs)
    assert 15 < first < 45
    assert sides(ranked(place, rows)[0]) == sides(pairs)


def test_samples_without_a_pair_are_refused(place: Path) -> None:
    with pytest.raises(AnnealError, match=r"drawn gives no pair \(2 rows with a tie\): raise the temperatures"):
        ranked(place, [row("a", "1234", "4321"), row("b", "123", "321")])
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"), [({"messages": []}, "has no prompt"), ({"tools": [{"function": {}}]}, "has tools")]
)
def test_rows_that_a_preference_cannot_hold_are_refused(place: Path, change: dict, words: str) -> None:
    with pytest.raises(AnnealError, match=f"row a of drawn {words}, which a preference cannot hold"):
        ranked(place, [{**row("a", "12345", "1234567"), **change}])


def said(place: Path, reader: Reader, *rows: tuple[str, str, str, int | None]) -> None:
    write(place / "said", Reading(reader, tuple(Verdict(name, (key(a), key(b)), best) for name, a, b, best in rows)))


JUDGE, ANNA = Reader("model", "judge-7b"), Reader("person", "Anna")


def test_verdicts_score_by_the_share_that_was_won(place: Path) -> None:
    said(place, JUDGE, ("a", "x y", "z", 1), ("a", "x y", "w", 0), ("a", "z", "w", None), ("b", "m", "n", None))
    pairs, report = ranked(place, [row("a", "x y", "z", "w"), row("b", "m", "n"), row("c", "k", "l")], "verdicts")
    assert sides(pairs) == [("z", "w")]  # 0.75, 0.5, 0.25
    assert report["left_out"] == {
        "rows with a tie": 1,
        "rows with fewer than two different answers": 1,
        "unscored answers": 2,
    }
    assert report["readers"] == [{"kind": "model", "name": "judge-7b", "ties": 2, "verdicts": 4}]
    assert (report["models"], report["people"], report["agreement"]) == (1, 0, [])


def test_readers_count_the_same_and_their_agreement_is_told(place: Path) -> None:
    said(place, JUDGE, ("a", "x", "z", 0), ("b", "m", "n", 0), ("c", "k", "l", 1), ("d", "s", "t", 1))
    said(place, ANNA, ("a", "z", "x", 1), ("b", "n", "m", 0), ("c", "k", "l", 1), ("d", "s", "t", None))
    rows = [row("a", "x", "z"), row("b", "m", "n"), row("c", "k", "l"), row("d", "s", "t")]
    pairs, report = ranked(place, rows, "verdicts")
    assert sides(pairs) == [("x", "z"), ("l", "k"), ("t", "s")]  # b: one each
    (agreement,) = report["agreement"]
    assert agreement["between"] == ["model judge-7b", "person Anna"]
    assert agreement["comparisons"] == 4 and agreement["equal"] == 0.5
    assert -1 <= agreement["kappa"] < 0.5
    assert (report["models"], report["people"]) == (1, 1)


def test_verdicts_on_other_texts_are_refused(place: Path) -> None:
    said(place, JUDGE, ("a", "x", "z", 0))
    with pytest.raises(AnnealError, match="none of the verdicts in .* is of drawn as it is now: run `make judge`"):
        ranked(place, [row("a", "x!", "z!")], "verdicts")


def test_no_verdicts_are_refused(place: Path) -> None:
    (place / "said").mkdir()
    with pytest.raises(AnnealError, match="holds no verdicts: run `make judge` or `make sheet`"):
        ranked(place, [row("a", "x", "z")], "verdicts")


def test_a_rubric_that_is_missing_is_refused(place: Path) -> None:
    write_json(place / "scored" / "format.json", {})
    (place / "scored" / "rubric.json").unlink()
    with pytest.raises(AnnealError, match="has no rubric"):
        ranked(place, [row("a", "x", "z")])
