"""A blind sheet says nothing of who wrote what; what comes back is read whoever saved it, or refused in a sentence."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.judging import sheet, verdicts
from tasks.judging.comparisons import Comparison, of_samples
from tasks.judging.verdicts import Reader, Reading, Verdict, key

ANNA = Reader("person", "Anna")
COMPARED = [Comparison(f"r{i}", f'ask "{i}", please\nnow', f"left {i}", f"right {i}") for i in range(40)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    sheet.write(tmp_path / "out.csv", COMPARED, 7, "triage-secret")
    return tmp_path / "out.csv"


def cells(file: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline="")))


def filled(out: Path, choose: object, name: str = "anna.csv", separator: str = ",", encoding: str = "utf-8") -> Path:
    """The sheet, with `choose(row)` in the last column."""
    head, *rows = cells(out)
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([head, *([*row[:-1], choose(row)] for row in rows)])  # type: ignore[operator]
    file = out.with_name(name)
    file.write_bytes(text.getvalue().encode(encoding))
    return file


def read(out: Path, file: Path) -> sheet.Filled:
    return sheet.read(file, sheet.key_file(out), ANNA)


def test_a_sheet_is_blind_and_the_same_for_the_same_seed(out: Path, tmp_path: Path) -> None:
    head, *rows = cells(out)
    assert tuple(head) == sheet.COLUMNS and len(rows) == 40 and {row[-1] for row in rows} == {""}
    text = out.read_text(encoding="utf-8-sig")
    assert "triage" not in text and "r1," not in text
    assert read_json(sheet.key_file(out))["wrote"] == "triage-secret"
    left_first = sum(row[2].startswith("left") for row in rows)
    assert 10 < left_first < 30  # neither place is that of one model
    assert [row[1] for row in rows] != [comparison.prompt for comparison in COMPARED]
    sheet.write(tmp_path / "again.csv", COMPARED, 7, "triage-secret")
    assert (tmp_path / "again.csv").read_bytes() == out.read_bytes()
    sheet.write(tmp_path / "other.csv", COMPARED, 8, "triage-secret")
    assert (tmp_path / "other.csv").read_bytes() != out.read_bytes()


def left_is_better(row: list[str]) -> str:
    return "1" if row[2].startswith("left") else "2"


@pytest.mark.parametrize(
    ("separator", "encoding"),
    [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-16")],
    ids=["own", "semicolons", "excel"],
)
def test_choices_come_back_as_verdicts_whatever_saved_them(out: Path, separator: str, encoding: str) -> None:
    reading, left_open = read(out, filled(out, left_is_better, separator=separator, encoding=encoding))
    assert reading.reader == ANNA and left_open == 0 and len(reading.verdicts) == 40
    for verdict in reading.verdicts:
        number = verdict.row.removeprefix("r")
        assert verdict.best is not None and verdict.answers[verdict.best] == key(f"left {number}")


def test_ties_and_open_rows_are_told_apart(out: Path) -> None:
    words = iter(["tie", "Tie ", "=", "same", "0", "", " ", *["1"] * 33])
    reading, left_open = read(out, filled(out, lambda row: next(words)))
    assert sum(verdict.best is None for verdict in reading.verdicts) == 5 and left_open == 2
    short = out.with_name("short.csv")
    short.write_text("\n".join(["number,better", "3,1", "", "4,2"]))
    assert read(out, short).left_open == 38


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("number,better\n1,left\n", r"anna.csv, line 2: `better` is 'left'; write 1, 2 or tie, or leave it empty"),
        ("number,better\n1,3\n", "`better` is '3'"),
        ("number,better\n1,1\n99,1\n", r"line 3: there is no number '99' in .*key.json; is it another sheet\?"),
        ("number,better\n1,1\n1,2\n", "line 3: number 1 is there twice; keep one of them"),
        ("number,best\n1,1\n", "has no column `better`: keep the first line of the sheet as it was"),
        ("number,better\n1,\n", "says nothing yet: write 1, 2 or tie into the column `better`"),
        ("", "has no column `number`, `better`"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(out: Path, text: str, words: str) -> None:
    out.with_name("anna.csv").write_text(text)
    with pytest.raises(AnnealError, match=words):
        read(out, out.with_name("anna.csv"))


def test_a_sheet_that_is_not_there_or_is_none_is_refused(out: Path) -> None:
    with pytest.raises(AnnealError, match=r"FILE=.*gone.csv does not exist; name the sheet that was filled in"):
        read(out, out.with_name("gone.csv"))
    out.with_name("anna.xlsx").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(AnnealError, match="is a zip archive or an Excel workbook: save its rows as CSV"):
        read(out, out.with_name("anna.xlsx"))


def test_no_cell_is_run_as_a_formula(tmp_path: Path) -> None:
    compared = [Comparison("r", "=1+1", '=HYPERLINK("http://elsewhere")', "-1 is right")]
    sheet.write(tmp_path / "out.csv", compared, 1, "m")
    assert not [cell for row in cells(tmp_path / "out.csv") for cell in row if cell.startswith(sheet.FORMULA)]
    reading, _ = read(tmp_path / "out.csv", filled(tmp_path / "out.csv", lambda row: "1"))
    assert {*reading.verdicts[0].answers} == set(compared[0].answers)


def reading(reader: Reader, *best: int | None) -> Reading:
    return Reading(reader, tuple(Verdict(f"r{i}", ("a", "b"), choice) for i, choice in enumerate(best)))


def test_agreement_is_cohens_kappa() -> None:
    # Cohen 1960: 3 of 4 alike, where chance would give 0.5: (0.75 - 0.5) / (1 - 0.5)
    assert verdicts.kappa([("first", "first"), ("first", "first"), ("second", "second"), ("first", "second")]) == 0.5
    assert verdicts.kappa([("tie", "tie"), ("first", "second"), ("second", "first")]) < 0.1
    assert verdicts.kappa([]) is None and verdicts.kappa([("tie", "tie")] * 5) is None


def test_the_order_in_which_answers_were_shown_does_not_matter(tmp_path: Path) -> None:
    first = Reading(ANNA, (Verdict("r", ("a", "b"), 0), Verdict("s", ("a", "b"), None)))
    second = Reading(Reader("person", "Ben"), (Verdict("r", ("b", "a"), 1), Verdict("s", ("b", "a"), None)))
    (agreement,) = verdicts.facts([first, second])["agreement"]
    assert (agreement["comparisons"], agreement["equal"], agreement["kappa"]) == (2, 1.0, 1.0)


def test_a_reader_who_reads_again_is_one_reader_and_a_model_is_no_person(tmp_path: Path) -> None:
    verdicts.write(tmp_path, reading(ANNA, 0, 1, 0))
    assert verdicts.of_reader(tmp_path, ANNA) == reading(ANNA, 0, 1, 0)
    assert verdicts.agreement(reading(ANNA, 0, 1, 0), reading(ANNA, 0, 1, 1)) == "67% of 3 comparisons"
    verdicts.write(tmp_path, reading(ANNA, 0, 1, 1))
    verdicts.write(tmp_path, reading(Reader("model", "Anna"), 0, 1, 1))
    facts = verdicts.facts(verdicts.read(tmp_path))
    assert (facts["people"], facts["models"]) == (1, 1) and len(facts["agreement"]) == 1
    assert verdicts.of_reader(tmp_path, Reader("person", "Ben")) is None


def test_names_of_readers_do_not_clash_or_leave_the_folder(tmp_path: Path) -> None:
    names = ["org/judge-7b", "org judge 7b", "../../up", "Änne", "読者", "x" * 300]
    for name in names:
        verdicts.write(tmp_path / "in", reading(Reader("model", name), 0))
    assert len(list((tmp_path / "in").iterdir())) == len(names) and not list(tmp_path.glob("*.jsonl"))
    assert {told.reader.name for told in verdicts.read(tmp_path / "in")} == set(names)


def row(identity: str, *texts: str) -> Any:
    answers = [{"text": text, "temperature": 1.0, "tokens": 2, "finished": True} for text in texts]
    return {"id": identity, "messages": [{"role": "user", "content": "ask"}], "answers": answers}


def test_what_is_compared_is_drawn_by_the_seed_and_answers_that_look_alike_are_not() -> None:
    rows = [row(f"r{i}", "a", "A ", "b", "c", " ") for i in range(30)]
    drawn = of_samples(rows, 2, 7)
    assert len(drawn) == 60 and of_samples(rows, 2, 7) == drawn != of_samples(rows, 2, 8)
    assert all({comparison.first, comparison.second} <= {"a", "A ", "b", "c"} for comparison in drawn)
    assert len({frozenset(comparison.answers) for comparison in drawn if comparison.row == "r1"}) == 2
    first = sum(comparison.first < comparison.second for comparison in drawn)
    assert 15 < first < 45  # either may stand first
    assert len(of_samples(rows, 9, 7)) == 90
    with pytest.raises(AnnealError, match="no row has two different answers"):
        of_samples([row("a", "x", "X")], 2, 7)
