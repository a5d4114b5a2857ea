"""Of a held-out dialogue the earlier turns that call tools are asked too, by parent, tuned model and champion, and
measured as calls.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import answered
from tasks.dialogues import turns
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.formats import tools
from tasks.formats.answer import ToolAnswer, format_in
from tasks.inference.answers import Answers
from tasks.stages.evaluate.__main__ import evaluate
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.predict.params import Predict
from tasks.stages.prepare.dialogue import prepared_row
from tasks.steps import champion
from tasks.steps.report.samples import choose
from tasks.versions import registry

TOOL = {"type": "function", "function": {"name": "look", "description": "", "parameters": {"type": "object"}}}
FORM = {"system": "Help.", "user": "{{ question }}", "answer": "{{ answer }}", "tools": True}
COLUMNS = ("id", "messages", "row", "tools", "calls")


def call(number: int) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "arguments": {"b": number, "a": "x"}}}


def dialogue(identity: str, calls: int, **weights: float) -> dict[str, Any]:
    """A row as `prepare` writes it: so many times a question, a call, what it returned and an answer."""
    said: list[dict[str, Any]] = []
    for number in range(calls):
        weight = {"weight": weights[f"of_{number}"]} if f"of_{number}" in weights else {}
        said += [
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": "", "tool_calls": [call(number)], **weight},
            {"role": "tool", "content": f"result {number}"},
            {"role": "assistant", "content": f"answer {number}"},
        ]
    said = said or [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
    return dict(prepared_row(identity, said, "messages", system="Help.", tools=[TOOL]))


def test_each_earlier_turn_that_calls_is_a_row_with_all_that_was_said_before() -> None:
    row = dialogue("7", 2)
    first, second, last = turns.with_tool_turns([row], 4)
    assert last is row and [first["id"], second["id"]] == ["7#3", "7#7"]
    assert first["messages"] == row["messages"][:2] and second["messages"] == row["messages"][:6]
    assert [first["calls"], second["calls"]] == [[call(0)], [call(1)]] and second["tools"] == [TOOL]
    assert second["answer"] == '[{"arguments": {"a": "x", "b": 1}, "name": "look"}]' == second["row"]["answer"]
    assert second["row"] == {"id": "7#7", "question": "question 1", "answer": second["answer"]}


def test_such_a_row_is_the_one_that_prepare_makes_of_the_dialogue_cut_there() -> None:
    row = dialogue("7", 2)
    cut = [*row["messages"][1:6], row["messages"][6]]
    alone = dict(prepared_row("7#7", cut, "messages", system="Help.", tools=[TOOL]))
    made = turns.with_tool_turns([row], 4)[1]
    form = format_in(FORM)
    assert form.read(made["answer"]) == form.read(alone["answer"])
    assert {name: made[name] for name in COLUMNS if name != "row"} == {name: alone[name] for name in COLUMNS[:2]} | {
        name: alone[name] for name in ("tools", "calls")
    }


def test_a_turn_that_is_only_read_is_not_asked() -> None:
    assert [row["id"] for row in turns.with_tool_turns([dialogue("7", 3, of_0=0, of_1=0.5)], 4)] == ["7#7", "7#11", "7"]


@pytest.mark.parametrize(("most", "ids"), [(0, []), (1, ["7#3"]), (2, ["7#3", "7#11"]), (5, None), (9, None)])
def test_of_many_turns_so_many_are_asked_spread_over_the_dialogue(most: int, ids: list[str] | None) -> None:
    every = [f"7#{3 + 4 * number}" for number in range(5)]
    assert [row["id"] for row in turns.with_tool_turns([dialogue("7", 5)], most)][:-1] == (
        every if ids is None else ids
    )


def test_no_two_rows_have_one_id() -> None:
    assert [row["id"] for row in turns.with_tool_turns([dialogue("7#3", 0), dialogue("7", 1)], 4)] == [
        "7#3",
        "7#3#",
        "7",
    ]


ROWS = st.lists(st.tuples(st.text(max_size=4), st.sampled_from([[], [{"role": "user", "content": "x"}]])), max_size=5)


@given(ROWS, st.integers(0, 9))
def test_rows_of_one_turn_stay_as_they_are(given_rows: list, most: int) -> None:
    rows = [{"id": name, "messages": messages, "answer": "a", "row": {}} for name, messages in given_rows]
    made = turns.with_tool_turns(rows, most)
    assert len(made) == len(rows) and all(one is other for one, other in zip(made, rows, strict=True))


def predictions(rows: list[dict[str, Any]], right: set[str]) -> list[dict[str, Any]]:
    """Answers to `rows`: of `right` ids the expected one as a model writes it, of others a call of something else."""
    wrong, said = "<tool_call>" + json.dumps({"name": "look", "arguments": {}}) + "</tool_call>", []
    for row in rows:
        calls = tools.read(row["answer"])
        hermes = "".join(f"<tool_call>\n{json.dumps(entry)}\n</tool_call>" for entry in calls or ())
        text = (hermes or row["answer"]) if row["id"] in right else wrong
        about = {"token_ids": [], "finished": True, "nll": 2.0, "tokens": 2}
        said.append({**answered.row_of(row), "text": text, **about})
    return said


@pytest.fixture
def place(tmp_path: Path) -> SimpleNamespace:
    """Prepared dialogues and the answers of a parent that is right in one call, and a tuned model in two of three."""
    rows = [dialogue("1", 1), dialogue("2", 2), dialogue("3", 0)]
    asked = turns.with_tool_turns(rows, 4)
    for split in ("train", "test"):
        write_jsonl(tmp_path / f"prepared/{split}.jsonl", rows)
    write_json(tmp_path / "prepared/format.json", FORM)
    tuned, parent = predictions(asked, {"1#3", "1", "2#7", "3"}), predictions(asked, {"2#3"})
    write_jsonl(tmp_path / "predict/predictions.jsonl", tuned)
    write_jsonl(tmp_path / "baseline/predictions.jsonl", parent)
    return SimpleNamespace(folder=tmp_path, rows=rows, asked=asked, tuned=tuned, parent=parent)


def scored(place: SimpleNamespace) -> dict[str, Any]:
    folder = place.folder
    evaluate(Evaluate(), folder / "prepared", folder, folder / "evaluate")
    return read_json(folder / "evaluate/metrics.json")


def test_calls_are_measured_by_name_beside_all_answers(place: SimpleNamespace) -> None:
    metrics = scored(place)
    assert metrics["rows"] == 6
    assert metrics["tuned"]["tool_call_exact_match"] == pytest.approx(2 / 3)
    assert metrics["parent"]["tool_call_exact_match"] == pytest.approx(1 / 3)
    assert metrics["tuned"]["exact_match"] == pytest.approx(4 / 6) and metrics["tuned"]["valid"] == 1
    facts = read_json(place.folder / "evaluate/measures.json")["measures"]["tool_call_exact_match"]
    assert facts == {"unit": "share of turns that should call tools", "higher_is_better": True, "kind": "share"}
    intervals = read_json(place.folder / "evaluate/intervals.json")
    low, high = intervals["tuned"]["tool_call_exact_match"]
    assert low < 2 / 3 < high


def test_what_no_turn_shows_is_not_measured(place: SimpleNamespace) -> None:
    for who in ("predict", "baseline"):
        file = place.folder / who / "predictions.jsonl"
        write_jsonl(file, [row for row in read_jsonl(file) if "calls" not in row])
    metrics = scored(place)
    assert "tool_call_exact_match" not in metrics["tuned"] and metrics["rows"] == 3
    assert "tool_call_exact_match" not in read_json(place.folder / "evaluate/measures.json")["measures"]


def test_other_turns_of_the_parent_are_refused(place: SimpleNamespace) -> None:
    write_jsonl(place.folder / "baseline/predictions.jsonl", [row for row in place.parent if "#" not in row["id"]])
    with pytest.raises(AnnealError, match="answers are for other rows"):
        scored(place)


def test_the_report_shows_turns_as_rows_of_their_own(place: SimpleNamespace) -> None:
    form = format_in(FORM)
    assert isinstance(form, ToolAnswer)
    samples = {sample.id: sample for sample in choose(place.tuned, place.parent, form, [])}
    assert {key: sample.tuned.right for key, sample in samples.items()} == {
        "1#3": True, "1": True, "2#3": False, "2#7": True, "2": False, "3": True,
    }  # fmt: skip
    assert ("assistant", '[{"arguments": {"a": "x", "b": 0}, "name": "look"}]') in samples["1"].prompt


@pytest.mark.slow  # what loads models is imported, to be replaced
def test_a_champion_is_asked_the_turns_that_are_new_to_it_with_their_tools(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was registered when only last turns were asked; its system message is another."""
    import tasks.weights.tuned

    folder, asked = place.folder, []
    its = {**FORM, "system": "Help well."}
    for name, form in (("adapter", FORM), ("champion/adapter", its)):
        write_json(folder / name / "format.json", form)
        write_json(folder / name / "artifact.json", {"base_sha256": "b"})
    write_json(folder / "weights/source.json", {"weights_sha256": "b"})
    last = [
        {**row, "messages": [{"role": "system", "content": "Help well."}, *row["messages"][1:]]} for row in place.rows
    ]
    write_jsonl(folder / "champion/evaluate/predictions.jsonl", predictions(last, set()))
    monkeypatch.setattr(registry, "folder", lambda version, part: folder / "champion" / part)

    def answer(parent: Path, trained: Path, rows: list[dict[str, Any]], *more: object, **_: object) -> Answers:
        asked.extend(rows)
        return Answers(predictions(rows, {"1#3"}), 1.0)

    monkeypatch.setattr(tasks.weights.tuned, "answer", answer)
    version = SimpleNamespace(version="1", artifact="a" * 64)
    where = ([folder / "weights"], folder / "adapter", folder / "reports")
    answers = champion._champions_answers(version, place.tuned, Predict(), *where)
    assert [row["id"] for row in asked] == ["1#3", "2#3", "2#7"] and all(row["tools"] == [TOOL] for row in asked)
    assert (
        asked[0]["messages"][0]["content"] == "Help well."
        and asked[2]["messages"][1:] == place.rows[1]["messages"][1:6]
    )
    assert [row["id"] for row in answers] == [row["id"] for row in place.tuned]
    assert asked[0]["calls"] == [call(0)] and asked[0]["answer"] == place.asked[0]["answer"]
