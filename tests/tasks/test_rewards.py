"""Each kind of reward, by hand; and a rubric on disk, which a training knows as it was."""

import json
from pathlib import Path

import pytest

from tasks import kinds, rewards
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl, sha256, write_json
from tasks.formats.answer import JsonAnswer, TextAnswer
from tasks.section import parse
from tasks.stages import rubric as stage
from tasks.stages.rubric import RubricRow
from tests import tiny

FORM = JsonAnswer(("colour", "reply"))
ROW = {
    "id": "1",
    "messages": [{"role": "user", "content": "?"}],
    "answer": '{"colour": "red", "reply": "no"}',
    "row": {"colour": "red", "reply": "no"},
}


def scores(answer: str, kind: str, form: object = FORM, **settings: object) -> float:
    module = kinds.load("tasks.rewards", kind)
    (value,) = module.scores(module.Params(kind=kind, **settings), form, [ROW], [answer])
    assert 0 <= value <= 1
    return value


def written(**columns: str) -> str:
    return json.dumps({"colour": "red", "reply": "x", **columns})


def test_valid_is_what_reads_as_an_answer() -> None:
    assert scores(written(), "valid") == 1
    for answer in ("", "red", '{"colour": "red"}', written() + "}"):
        assert scores(answer, "valid") == 0


def test_labels_are_compared_with_the_rows_own() -> None:
    assert scores(written(), "labels", columns=["colour"]) == 1
    assert scores(written(colour="blue"), "labels", columns=["colour"]) == 0
    assert scores(written(), "labels", columns=["colour", "reply"]) == 0.5
    assert scores("red", "labels", columns=["colour"]) == 0


@pytest.mark.parametrize(("words", "value"), [(0, 0), (1, 0.5), (2, 1), (4, 1), (5, 0.75), (6, 0.5), (8, 0), (99, 0)])
def test_a_length_earns_less_the_further_it_is_outside(words: int, value: float) -> None:
    settings = {"min": 2, "max": 4}
    assert scores(written(reply=" ".join(["w"] * words)), "length", column="reply", **settings) == value
    assert scores("w" * words, "length", TextAnswer("{{ reply }}"), unit="characters", **settings) == value


def test_a_pattern_is_found_or_not() -> None:
    placeholder = {"pattern": r"\[[a-z ]+\]", "found": False, "column": "reply"}
    assert scores(written(reply="Dear [name]"), "pattern", **placeholder) == 0
    assert scores(written(reply="Dear Ann"), "pattern", **placeholder) == 1
    assert scores("no JSON", "pattern", **placeholder) == 0
    assert scores("RED", "pattern", pattern="red") == 0 and scores("RED", "pattern", pattern="red", ignore_case=True)


def test_repetition_counts_words_that_are_there_already() -> None:
    assert scores("a b c d", "repetition", n=2) == 1
    assert scores("a b a b a", "repetition", n=2) == 2 / 4
    assert scores("a", "repetition", n=2) == 1 and scores("go go go go", "repetition", n=1) == 0.25


def test_terms_are_whole_words_in_any_case() -> None:
    terms = {"terms": ["thank you", "Sorry"], "column": "reply"}
    assert scores(written(reply="THANK  you."), "terms", **terms) == 0.5
    assert scores(written(reply="sorrys"), "terms", need="any", **terms) == 0
    assert scores(written(reply="so sorry!"), "terms", need="any", **terms) == 1
    assert scores(written(reply="so sorry!"), "terms", need="none", **terms) == 0
    assert scores(written(reply="fine"), "terms", need="none", **terms) == 1


def test_overlap_counts_words_and_numbers_that_the_question_has_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROW, "messages", [{"role": "user", "content": "My Lantern, order B7, flickers. The lantern!"}])
    taken_up = {"enough": 2, "column": "reply"}
    assert scores(written(reply="A lantern, lantern, LANTERN."), "overlap", **taken_up) == 0.5
    assert scores(written(reply="The lantern of b7 is ours."), "overlap", **taken_up) == 1
    assert (
        scores(written(reply="The lanterns of mine."), "overlap", **taken_up) == 0
    )  # neither another word nor a short one
    assert scores("lantern b7", "overlap", **taken_up) == 0


def test_likeness_is_1_for_the_right_answer_and_falls_with_every_change() -> None:
    like = [scores(written(reply=reply), "likeness", column="reply") for reply in ("no", "nor", "yes", "")]
    assert like[0] == 1 and like[1] < 1 and like[2] == like[3] == 0
    assert scores("no", "likeness", column="reply") == 0


VALUE = {
    "dataset": "toys",
    "rewards": [
        {"kind": "valid", "weight": 2.0},
        {"kind": "labels", "columns": ["colour", "mood"]},
        {"kind": "length", "max": 3, "column": "reply", "weight": -0.5, "name": "short"},
    ],
    "held_out": [{"kind": "repetition"}],
}


def row(**changes: object) -> RubricRow:
    return parse(RubricRow, {**VALUE, **changes}, "rubrics.mine")


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    return tiny.write_prepared(tmp_path / "toys", 8)


def made(toys: Path, **changes: object) -> Path:
    stage.rubric(row(**changes), toys, toys.parent / "mine", toys.parent / "report.json")
    return toys.parent / "mine"


def test_a_total_is_the_weighted_sum_and_what_is_held_out_does_not_count(toys: Path) -> None:
    rubric = rewards.load(made(toys))
    rows = read_jsonl(toys / "test.jsonl")[:2]
    right = rows[0]["answer"]
    wrong = json.dumps({"colour": "none", "mood": rows[1]["row"]["mood"], "reply": "a b c d e f"})
    total, parts, held_out = rubric.score(rows, [right, wrong])
    assert list(parts) == ["valid", "labels", "short"] and held_out == {"repetition": [1.0, 1.0]}
    assert parts["labels"] == [1.0, 0.5] and parts["short"][1] == 0.0
    assert total == [2 + 1 - 0.5 * parts["short"][0], 2 + 0.5]


def test_rows_name_their_rubric_and_are_otherwise_as_they_were(toys: Path) -> None:
    folder = made(toys)
    for name in ("train", "validation", "test"):
        rows = read_jsonl(folder / f"{name}.jsonl")
        assert {line.pop("rubric") for line in rows} == {sha256(folder / rewards.FILE)}
        assert rows == read_jsonl(toys / f"{name}.jsonl")
    assert read_json(folder / "format.json") == read_json(toys / "format.json")
    figures = read_json(toys.parent / "report.json")
    assert figures["rewards"]["valid"] == figures["rewards"]["labels"] == 1 and figures["rows"] == 8


def test_equal_rubrics_are_equal_bytes_and_another_weight_is_another_hash(toys: Path) -> None:
    first = sha256(made(toys))
    assert sha256(made(toys)) == first
    assert sha256(made(toys, rewards=[{"kind": "valid"}])) != first


def test_code_that_changed_after_the_rubric_was_written_is_refused(toys: Path, monkeypatch) -> None:
    folder = made(toys)
    monkeypatch.setattr(rewards, "code_hash", lambda kind: "another")
    with pytest.raises(AnnealError, match=r"tasks/rewards/labels.py has changed since .*rubric.json was written"):
        rewards.load(folder)


def test_a_rubric_of_other_rows_or_none_at_all_is_refused(toys: Path) -> None:
    with pytest.raises(AnnealError, match="toys has no rubric, nor a reward model: add a row"):
        rewards.load(toys)
    folder = made(toys)
    write_json(folder / rewards.FILE, {**read_json(folder / rewards.FILE), "held_out": []})
    with pytest.raises(AnnealError, match="is not the rubric that the rows of"):
        rewards.load(folder)


def test_rows_without_prompts_are_refused(toys: Path) -> None:
    rows = [{**line, "messages": []} for line in read_jsonl(toys / "train.jsonl")]
    (toys / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rows))
    with pytest.raises(AnnealError, match="texts without a prompt"):
        made(toys)


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        ({"kind": "valdi"}, "rewards.0.kind is 'valdi'; did you mean `valid`?"),
        ({"kind": "length", "min": 9, "max": 3}, "min is 9, and max is 3; swap them"),
        ({"kind": "pattern", "pattern": "("}, "is not a valid regular expression"),
        ({"kind": "length"}, "rewards.0.max is missing; add it."),
        ({"kind": "valid", "wieght": 1.0}, "rewards.0.wieght is not a known key; did you mean `weight`?"),
        ({"kind": "terms", "terms": []}, "rewards.0.terms is []"),
    ],
)
def test_a_mistake_in_a_reward_is_one_sentence(reward: dict, words: str) -> None:
    with pytest.raises(ParamsError) as stopped:
        row(rewards=[reward])
    assert words in str(stopped.value) and len(str(stopped.value).splitlines()) == 1


def test_two_rewards_of_one_name_are_refused() -> None:
    with pytest.raises(ParamsError, match="two rewards are called `valid`; give one of them another name"):
        row(rewards=[{"kind": "valid"}, {"kind": "valid"}])
