"""Answers are criticised and revised by principles through an endpoint; what is done is kept, the unusable counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl
from tasks.formats.answer import format_of
from tasks.judging import constitution
from tasks.judging.constitution import principles, revise, write
from tasks.judging.endpoint import Endpoint
from tasks.stages.prepare.shapes import chat, preference
from tests import judges
from tests.house.project import ROOT
from tests.judges import Reply

pytestmark = pytest.mark.slow  # it listens on a socket

TEXT, JSON = format_of("{{ answer }}"), format_of(["label", "reply"])
RULES = ["be short", "be kind"]


def corrected(body: dict) -> Reply:
    """A model that criticises, and then adds a word to the answer."""
    read = judges.parts(body)
    return Reply(f"too quiet for: {read['principle']}" if "principle" in read else read["answer"] + ", friend")


@pytest.fixture
def served() -> Iterator[tuple[judges.Endpoint, Endpoint]]:
    stub = judges.Endpoint(corrected)
    with judges.running(stub) as url:
        yield stub, Endpoint(url, "helper-7b", timeout=5, waits=0.001)


Served = tuple[judges.Endpoint, Endpoint]


def rows(count: int, text: str = "well {i}", **more: Any) -> list[Any]:
    turns = [{"role": "system", "content": "help"}, {"role": "user", "content": "ask"}]
    return [
        {
            "id": f"r{i}",
            "messages": turns,
            "answers": [{"text": text.replace("{i}", str(i)), "temperature": 0.0, "tokens": 2, "finished": True}],
            **more,
        }
        for i in range(count)
    ]


def test_the_revision_is_preferred_and_a_dialogue_ends_with_it(served: Served, tmp_path: Path) -> None:
    stub, client = served
    revisions = revise(client, rows(20), RULES, TEXT, tmp_path / "journal", 3)
    report = write(tmp_path / "out", revisions, {"samples": "drawn", "wrote": "mine", "revised_by": "helper-7b"})
    assert (report["rows"], report["pairs"], report["left_out"]) == (20, 20, {})
    assert read_json(tmp_path / "out" / "report.json") == report
    pair = read_jsonl(tmp_path / "out" / "pairs" / "pairs.jsonl")[3]
    made = preference.example(pair, preference.Params(shape="preference"))
    assert (made["answer"], made["rejected"], len(made["messages"])) == ("well 3, friend", "well 3", 2)
    lineage = json.loads(pair["lineage"])
    assert lineage["principle"] in RULES and lineage["critique"] == f"too quiet for: {lineage['principle']}"
    assert (lineage["wrote"], lineage["revised_by"], lineage["row"]) == ("mine", "helper-7b", "r3")
    reply = chat.example(read_jsonl(tmp_path / "out" / "replies" / "replies.jsonl")[3], chat.Params(shape="chat"))
    assert reply["answer"] == "well 3, friend" and len(reply["messages"]) == 2
    assert {
        json.loads(row["lineage"])["principle"] for row in read_jsonl(tmp_path / "out" / "pairs" / "pairs.jsonl")
    } == {*RULES}
    assert len(stub.asked) == 40


def test_answers_in_json_stay_json_and_keep_what_was_given(served: Served, tmp_path: Path) -> None:
    stub, client = served
    begun = '{"label": "a",'
    told = iter(
        [f'{begun} "reply": "better"}}', '{"label": "b", "reply": "x"}', "not json", f'{begun} "reply": "well"}}']
    )
    stub.answer = lambda body: Reply("hm") if "principle" in judges.parts(body) else Reply(next(told))
    given = rows(4, f'{begun} "reply": "well"}}', given=begun)
    made = [revise(client, [row], RULES, JSON, tmp_path / row["id"], 3)[0] for row in given]
    assert [revision.why for revision in made] == ["", "unreadable", "unreadable", "unchanged"]
    assert write(tmp_path / "out", made, {})["left_out"] == {"unchanged": 1, "unreadable": 2}


def test_nothing_that_is_done_is_asked_again(served: Served, tmp_path: Path) -> None:
    stub, client = served
    stub.answer = lambda body: Reply(status=400) if "well 9" in str(body) else corrected(body)
    with pytest.raises(AnnealError, match="refuses the question"):
        revise(client, rows(12), RULES, TEXT, tmp_path / "journal", 3)
    kept = (tmp_path / "journal").read_text().count("\n") - 1
    stub.answer = corrected
    stub.asked.clear()
    assert len(revise(client, rows(12), RULES, TEXT, tmp_path / "journal", 3)) == 12
    assert kept > 3 and len(stub.asked) == 2 * (12 - kept)
    stub.asked.clear()
    revise(client, rows(12), [*RULES, "be right"], TEXT, tmp_path / "journal", 3)
    assert len(stub.asked) == 24  # other principles are other work


def test_a_model_that_cannot_do_it_is_stopped_soon(served: Served, tmp_path: Path) -> None:
    stub, client = served
    stub.answer = lambda body: Reply(" ")
    with pytest.raises(AnnealError, match=r"\d of the \d revisions of helper-7b are empty or not in the form"):
        revise(client, rows(40), RULES, TEXT, tmp_path / "journal", 3)
    assert len(stub.asked) < 40
    stub.answer = lambda body: Reply(judges.parts(body)["answer"])
    with pytest.raises(AnnealError, match=r"no answer was revised \(\{'unchanged': 3\}\): name a more capable model"):
        write(tmp_path / "out", revise(client, rows(3), RULES, TEXT, tmp_path / "journal", 3), {})


def test_thoughts_are_no_part_of_a_revision(served: Served, tmp_path: Path) -> None:
    stub, client = served
    stub.answer = lambda body: Reply("<think>let me see</think>\n BETTER ")
    (revision,) = revise(client, rows(1), RULES, TEXT, tmp_path / "journal", 3)
    assert (revision.text, revision.critique) == ("BETTER", "BETTER")


def test_the_example_is_one_and_what_is_none_is_refused(tmp_path: Path) -> None:
    assert len(principles(ROOT / constitution.EXAMPLE)) >= 5
    for text in ("principles: []", "principles: [1]", "principles: ['']", "rules: [a]", "principles: a"):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(AnnealError, match=r"a.yaml holds no list `principles` of sentences: write one as in data/"):
            principles(tmp_path / "a.yaml")
    with pytest.raises(ParamsError, match="is missing"):
        principles(tmp_path / "b.yaml")
