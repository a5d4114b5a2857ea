"""The further contestants of a model, on files as its stages leave them; what is there is not made again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.comparison.further import comparison, retrieved, steps
from tasks.comparison.further.neighbours import vote
from tasks.comparison.further.place import Place, keep
from tasks.dialogues.chat import encode_question, load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.few_shot import few_shot
from tasks.stages.predict.params import Predict
from tasks.stages.probe import Probe, probe
from tests import tiny

COLUMNS = [*tiny.LABELS, *tiny.TEXTS]
REASON = "the parent reads one text and no turns before it"


def place_in(folder: Path, prepared: Path, base: Path, right: int = 6) -> Place:
    """The reports of a tuned model that answers its first `right` rows rightly, and of a parent that answers none."""
    rows = read_jsonl(prepared / "test.jsonl")
    for name, count in (("baseline", 0), ("predict", right)):
        told = [
            {**row, "text": row["answer"] if i < count else "?", "nll": 1.0, "tokens": 4} for i, row in enumerate(rows)
        ]
        write_jsonl(folder / name / "predictions.jsonl", told)
        write_json(folder / name / "timing.json", {"seconds_per_answer": 0.5})
    probe(Probe(), base, prepared, folder / "probe", folder / "commonest")
    write_jsonl(folder / "few_shot/predictions.jsonl", [])
    write_json(folder / "few_shot/timing.json", {"seconds_per_answer": 0.0, "reason": REASON})
    return Place(base, base, prepared, folder, Predict(max_new_tokens=40), Evaluate(labels=tiny.LABELS))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place whose parent is not asked for examples."""
    write_json(tmp_path / "base/config.json", {"architectures": ["LlamaForCausalLM"], "model_type": "llama"})
    return place_in(tmp_path / "reports", tiny.write_prepared(tmp_path / "prepared", 48), tmp_path / "base")


def done(place: Place) -> dict[str, bool]:
    return {step.name: step.run() for step in steps.of(place)}


def test_neighbours_tell_labels_and_everyone_is_compared(place: Place) -> None:
    assert done(place) == dict.fromkeys(["neighbours", "nearest", "comparison"], True)
    told, rows = read_jsonl(place.further / "nearest/predictions.jsonl"), read_jsonl(place.prepared / "test.jsonl")
    assert [(each["id"], each["answer"]) for each in told] == [(row["id"], row["answer"]) for row in rows]
    known = read_jsonl(place.prepared / "train.jsonl")
    near, k = (
        read_json(place.further / "neighbours/neighbours.json")["test"],
        read_json(place.further / "nearest/timing.json")["k"],
    )
    for each, places in zip(told, near, strict=True):  # there are four replies, so that they are labels too
        shares = {column: vote([known[n]["row"][column] for n in places[:k]]) for column in COLUMNS}
        assert json.loads(each["text"]) == {column: next(iter(of)) for column, of in shares.items()}
        assert each["told"] == COLUMNS and all(
            sum(of.values()) == pytest.approx(1) for of in each["probabilities"].values()
        )
    compared = read_json(comparison.file(place))
    assert [contest["what"] for contest in compared["contests"]] == ["all labels", *tiny.LABELS]
    for contest in compared["contests"]:
        assert list(contest["others"]) == ["commonest", "nearest", "parent", "probe"]
        assert contest["others"]["nearest"]["value"] > contest["others"]["commonest"]["value"]
        low, high = contest["others"]["parent"]["interval"]
        assert 0 < low <= contest["others"]["parent"]["lead"] <= high and contest["others"]["parent"]["p"] < 0.05
    assert compared["unanswered"] == {"retrieved": REASON} and list(compared["chosen"]) == ["nearest"]
    assert compared["chosen"]["nearest"].startswith(
        f"{k} per row, chosen on 48 training rows, each left out (labels right"
    )
    assert compared["sentence"].startswith("Best of all, at ") and "Tuning was not worth it" in compared["sentence"]


def test_a_second_time_nothing_is_made_and_what_is_another_is(place: Place) -> None:
    done(place)
    first = comparison.file(place).read_bytes()
    assert not any(done(place).values())
    (place.further / "nearest/predictions.jsonl").write_text("")  # damaged
    assert done(place) == {"neighbours": False, "nearest": True, "comparison": False}
    assert comparison.file(place).read_bytes() == first
    rows = read_jsonl(place.prepared / "train.jsonl")
    write_jsonl(place.prepared / "train.jsonl", rows[:40])
    assert all(done(place).values())


def test_behind_a_classifier_an_answer_takes_the_time_of_both(place: Place, tmp_path: Path) -> None:
    behind = replace(place, cascade_reports=tmp_path / "told")
    for seconds in (0.25, 0.125):
        write_json(tmp_path / "told/timing.json", {"seconds_per_answer": seconds})
        assert done(behind)["comparison"]
        paces = read_json(comparison.file(place))["seconds_per_answer"]
        assert (paces["tuned"], paces["parent"]) == (0.5 + seconds, 0.5)


def test_what_fails_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    def write(out: Path) -> None:
        write_json(out / "a.json", {})

    def fail(out: Path) -> None:
        write_json(out / "b.json", {})
        raise KeyboardInterrupt

    assert keep(tmp_path / "out", {"of": 1}, write)
    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path / "out", {"of": 2}, fail)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.json", "made_of.json"]
    assert not keep(tmp_path / "out", {"of": 1}, fail)


def test_of_equally_good_ones_all_are_named() -> None:
    other = {"lead": 0.0, "interval": [0.0, 0.0], "tells_all": True}
    others = {"parent": {**other, "value": 0.5}, "probe": {**other, "value": 0.75}}
    contest = {"what": "mood", "measure": "mood_accuracy", "higher_is_better": True, "tuned": 0.75, "others": others}
    said = comparison.sentence({"confidence": 0.95, "contests": [contest]}, {})
    assert said.startswith("Best of all, at 75.0 %: the tuned model and a linear classifier (the probe). ")
    assert comparison.sentence({"confidence": 0.95, "contests": []}, {}).startswith("Nothing else")


def test_where_no_label_is_told_nobody_is_asked(place: Place) -> None:
    for who in ("probe", "commonest"):
        write_jsonl(place.reports / who / "predictions.jsonl", [])
        write_json(place.reports / who / "timing.json", {"seconds_per_answer": 0.0, "reason": "no labels"})
    assert done(place) == {"comparison": True}
    compared = read_json(comparison.file(place))
    assert compared["unanswered"] == {"nearest": "no labels", "retrieved": REASON}


def test_answers_to_other_rows_are_refused(place: Place) -> None:
    done(place)
    file = place.further / "nearest/predictions.jsonl"
    write_jsonl(file, read_jsonl(file)[::-1])
    with pytest.raises(AnnealError, match="the nearest neighbours' vote's answers are for other rows"):
        comparison.bring(place, {"nearest": ""})


@pytest.mark.slow  # torch is loaded
def test_the_parent_is_asked_behind_the_nearest_rows(base: Path, few: Path, tmp_path: Path) -> None:
    place = place_in(tmp_path / "reports", few, base, right=2)
    few_shot(place.predict, base, few, place.reports / "few_shot")
    assert all(done(place).values()) and not any(done(place).values())
    told, timing = (
        read_jsonl(place.further / "retrieved/predictions.jsonl"),
        read_json(place.further / "retrieved/timing.json"),
    )
    rows, known = read_jsonl(few / "test.jsonl"), read_jsonl(few / "train.jsonl")
    assert [(each["id"], each["messages"]) for each in told] == [(row["id"], row["messages"]) for row in rows]
    assert timing["k"] in retrieved.KS and list(timing["tried"]) == ["1", "2", "4"] and timing["left_out"] == 0
    assert timing["structured"] is True and timing["tried_on"] == "4 validation rows"
    near = read_json(place.further / "neighbours/neighbours.json")["test"]
    asked, _ = retrieved.fitting(place, rows, [[known[n] for n in reversed(places[:2])] for places in near])
    text = load_tokenizer(base).decode(encode_question(load_tokenizer(base), asked[0]))
    places = [text.index(known[n]["messages"][-1]["content"]) for n in near[0][:2]]
    assert places[1] < places[0] < text.index(rows[0]["messages"][-1]["content"])  # the nearest last
    assert "retrieved" in read_json(comparison.file(place))["contests"][0]["others"]


@pytest.mark.slow  # a tokenizer is loaded
def test_examples_that_do_not_fit_are_left_out_the_farthest_first(
    base: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(base, base, few, tmp_path, Predict(max_new_tokens=4), Evaluate())
    rows = read_jsonl(few / "train.jsonl")
    whole, _ = retrieved.fitting(place, rows[:1], [rows[1:3]])
    length = len(encode_question(load_tokenizer(base), whole[0]))
    monkeypatch.setattr(retrieved, "context_length", lambda _: length + 4)
    assert retrieved.fitting(place, rows[:1], [rows[1:3]]) == (whole, 0)
    monkeypatch.setattr(retrieved, "context_length", lambda _: length + 3)
    assert retrieved.fitting(place, rows[:1], [rows[1:3]]) == (retrieved.fitting(place, rows[:1], [rows[2:3]])[0], 1)
