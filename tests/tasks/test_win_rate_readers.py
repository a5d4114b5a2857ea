"""A judge behind an endpoint and people with a blind sheet decide win rates; nothing that they said is lost."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.comparison.win_rate.judges import endpoint, people
from tasks.comparison.win_rate.judges.chosen import Request
from tasks.comparison.win_rate.judges.endpoint import EndpointJudge
from tasks.errors import AnnealError, ParamsError, TransientError
from tasks.judging.endpoint import Endpoint
from tasks.judging.judge import Judge
from tests import judges, tiny
from tests.judges import Reply, longer_wins
from tests.tasks import own_params

ROWS = tiny.prepared_rows(0, 4)
OURS, THEIRS = ["longer words", "a", "the same", "a b c"], ["short", "longer", "The  same", "a b d"]
REQUEST = Request("mine", "tiny", by="people")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[judges.Endpoint, EndpointJudge]]:
    """An endpoint that prefers the longer answer, and the judge of a win rate that asks it."""
    stub = judges.Endpoint(longer_wins)
    with judges.running(stub) as url:
        judge = Judge(Endpoint(url, "judge-7b", timeout=5, waits=0.01))
        yield stub, EndpointJudge(judge, tmp_path / "journal.jsonl")


@pytest.mark.slow
def test_an_endpoint_reads_each_pair_in_both_orders(served: tuple[judges.Endpoint, EndpointJudge]) -> None:
    stub, judge = served
    judged = judge(ROWS, OURS, THEIRS)
    assert judged.shares == [1.0, 0.0, 0.5, 0.5] and judged.by == "the judge judge-7b"
    assert judged.notes[0] == "won shown first, won shown second" and judged.notes[2] == "the same answer"
    assert judged.orders == {"same": 1.0, "first_preferred": 0.5} and judged.remarks == []
    assert len(stub.asked) == 6
    assert judge(ROWS, THEIRS, OURS).shares == [0.0, 1.0, 0.5, 0.5]


@pytest.mark.slow
def test_a_judge_who_takes_whatever_stands_first_is_shown_to(served: tuple[judges.Endpoint, EndpointJudge]) -> None:
    stub, judge = served
    stub.answer = lambda body: Reply("VERDICT: A")
    judged = judge(ROWS, OURS, THEIRS)
    assert judged.shares == [0.5] * 4 and judged.orders == {"same": 0.0, "first_preferred": 1.0}


@pytest.mark.slow
def test_verdicts_outlive_an_endpoint_that_goes_down(served: tuple[judges.Endpoint, EndpointJudge]) -> None:
    stub, judge = served
    stub.answer = lambda body: longer_wins(body) if len(stub.asked) <= 2 else Reply(status=503)
    with pytest.raises(TransientError, match="what is done is kept, and the same command goes on from there"):
        judge(ROWS, OURS, THEIRS)
    kept = len(judge.journal.read_text().splitlines()) - 1
    assert kept == 2
    stub.answer, before = longer_wins, len(stub.asked)
    assert judge(ROWS, OURS, THEIRS).shares == [1.0, 0.0, 0.5, 0.5]
    assert len(stub.asked) - before == 6 - kept


@pytest.mark.slow
def test_what_cannot_be_read_is_no_verdict_and_counted(served: tuple[judges.Endpoint, EndpointJudge]) -> None:
    stub, judge = served
    stub.answer = lambda body: Reply("Hm.") if "longer words" in judges.parts(body)["answer A"] else longer_wins(body)
    judged = judge(ROWS, OURS, THEIRS)
    assert judged.shares == [None, 0.0, 0.5, 0.5]
    assert judged.remarks == ["1 of 6 verdicts of the judge could not be read"]


def test_a_judge_is_told_what_a_ranking_says_and_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    params = own_params.changed()
    with pytest.raises(AnnealError, match="ANNEAL_JUDGE_URL is not set"):
        endpoint.choose(params, Request("mine", "tiny", by="judge"))
    with pytest.raises(ParamsError, match="WITH=strict: params.yaml has no such ranking of kind verdicts"):
        endpoint.choose(params, Request("mine", "tiny", by="judge", using="strict"))
    monkeypatch.setenv("ANNEAL_JUDGE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("ANNEAL_JUDGE_MODEL", "judge-7b")
    usual = endpoint.choose(params, Request("mine", "tiny", by="judge"))
    monkeypatch.setenv("ANNEAL_JUDGE_MODEL", "judge-8b")
    assert usual.name != endpoint.choose(params, Request("mine", "tiny", by="judge")).name
    assert usual.made_of()["judge"] == "judge-7b"


@pytest.fixture
def sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sheet that is written where nobody has read the answers yet."""
    monkeypatch.chdir(tmp_path)
    judge = people.choose(own_params.changed(), REQUEST).judge
    words = "nobody has read these answers yet: data/sheets/win-rate-mine-tiny.csv has 3 comparisons"
    with pytest.raises(AnnealError, match=words):
        judge(ROWS, OURS, THEIRS)
    return tmp_path / "data/sheets/win-rate-mine-tiny.csv"


def filled(sheet: Path, reader: str, better: dict[str, str]) -> Path:
    """The sheet as a reader returns it: the better of each two answers, by its text, or a tie."""
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["better"] = next((place for place in "12" if row[f"answer {place}"] in better), "tie")
    file = sheet.with_name(f"{reader}.csv")
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return file


def test_a_sheet_says_nothing_of_who_wrote_and_what_comes_back_counts(sheet: Path) -> None:
    text = sheet.read_text(encoding="utf-8-sig")
    assert "mine" not in text and "tiny" not in text.replace("tiny-", "")
    anna = filled(sheet, "anna", dict.fromkeys(["longer words", "longer", "a b c"], "1"))
    words = people.read_in(replace(REQUEST, file=anna, reader="Anna"))
    assert words == "3 verdicts of Anna (person)"
    chosen = people.choose(own_params.changed(), REQUEST)
    judged = chosen.judge(ROWS, OURS, THEIRS)
    assert judged.shares == [1.0, 0.0, 0.5, 1.0] and judged.by == "Anna (person)" and judged.remarks == []
    before = chosen.made_of()
    people.read_in(replace(REQUEST, file=filled(sheet, "ben", {"short": "1"}), reader="Ben"))
    both = chosen.judge(ROWS, OURS, THEIRS)
    assert both.shares == [0.5, 0.25, 0.5, 0.75] and chosen.made_of() != before
    assert both.notes[:3] == ["1 for it, 1 against, 0 tied", "0 for it, 1 against, 1 tied", "the same answer"]
    assert both.by == "Anna (person) and Ben (person)" and "say the same in 0% of 3 comparisons" in both.remarks[0]


def test_a_model_that_reads_is_not_called_a_person(sheet: Path) -> None:
    people.read_in(replace(REQUEST, file=filled(sheet, "m", {"longer": "1"}), reader="some-model", is_model=True))
    assert people.choose(own_params.changed(), REQUEST).judge(ROWS, OURS, THEIRS).by == "some-model (model)"


def test_verdicts_on_other_answers_do_not_count(sheet: Path) -> None:
    people.read_in(replace(REQUEST, file=filled(sheet, "anna", {"longer": "1"}), reader="Anna"))
    judge = people.choose(own_params.changed(), REQUEST).judge
    assert judge(ROWS, ["new", *OURS[1:]], THEIRS).shares == [None, 0.0, 0.5, 0.5]
    with pytest.raises(AnnealError, match="nobody has read these answers yet"):
        judge(ROWS, [f"{text} anew" for text in OURS], THEIRS)


def test_a_sheet_without_a_reader_is_refused(sheet: Path) -> None:
    with pytest.raises(AnnealError, match=r"needs both FILE=… and READER=name"):
        people.read_in(replace(REQUEST, file=sheet))
