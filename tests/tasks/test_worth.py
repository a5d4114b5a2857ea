"""Whether tuning was worth it, as data and in one sentence: from paired differences, paces and a price."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.comparison.worth import PRICE, worth
from tasks.files import read_json, write_json, write_jsonl
from tasks.stages.evaluate.__main__ import contest
from tasks.stages.evaluate.measures.accuracy import accuracy
from tasks.stages.evaluate.measures.perplexity import perplexity
from tasks.stages.evaluate.paired import PairedRows, over_all
from tasks.stages.evaluate.params import Evaluate

LABELS = ["colour", "size"]


def predictions(rows: int, colours: int, sizes: int, **more: object) -> list[dict]:
    """Answers of which the first so many have the colour right, and the size."""
    right = {"colour": "blue", "size": "big", "reply": "Yes."}
    told = [
        {
            "colour": "blue" if i < colours else "red",
            "size": "big" if i < sizes else "small",
            **({} if more else {"reply": "No."}),
        }
        for i in range(rows)
    ]
    return [
        {"id": str(i), "answer": json.dumps(right), "row": right, "text": json.dumps(text), "nll": 1.0, "tokens": 4}
        | more
        for i, text in enumerate(told)
    ]


def evaluated(folder: Path, labels: list[str], **of: list[dict]) -> dict:
    """The leads.json of contestants."""
    write_json(folder / "prepared/format.json", {"answer": [*LABELS, "reply"]})
    rows = [{"id": str(i), "answer": of["tuned"][0]["answer"], "row": of["tuned"][0]["row"]} for i in range(2)]
    write_jsonl(folder / "prepared/test.jsonl", rows)
    for who, told in of.items():
        write_jsonl(folder / who / "predictions.jsonl", told)
    params = Evaluate(labels=labels, bootstrap_resamples=200)
    contest(params, folder / "prepared", {who: folder / who for who in of}, folder / "out")
    return read_json(folder / "out/leads.json")


@pytest.fixture
def leads(tmp_path: Path) -> dict:
    """A tuned model beside a parent that errs everywhere and a probe that is better at sizes."""
    return evaluated(
        tmp_path,
        LABELS,
        tuned=predictions(40, 40, 24),
        parent=predictions(40, 0, 0),
        probe=predictions(40, 20, 36, told=LABELS),
    )


def test_each_label_has_its_winner_by_how_much_and_at_what_price(leads: dict) -> None:
    known = worth(leads, {"tuned": 0.36, "parent": 0.36, "probe": 0.0036}, 2)
    assert [(each["what"], each["winner"]) for each in known["contests"]] == [
        ("all labels", "tuned"),
        ("colour", "tuned"),
        ("size", "probe"),
    ]
    tuned, probe, parent = known["contests"][0]["standings"]
    assert (tuned["who"], tuned["value"], tuned["lead"]) == ("tuned", 0.8, None)
    assert (probe["who"], probe["value"], probe["lead"]) == ("probe", 0.7, pytest.approx(0.1)) and parent["value"] == 0
    low, high = probe["interval"]
    assert low < probe["lead"] < high and high - low < 0.5
    assert tuned["cost"] == pytest.approx(1000 * 0.36 * 2 * PRICE / 3600) == pytest.approx(100 * probe["cost"])
    size = known["contests"][2]["standings"]
    assert [(each["who"], each["lead"]) for each in size] == [
        ("probe", pytest.approx(-0.3)),
        ("tuned", None),
        ("parent", 0.6),
    ]


def test_the_sentence_names_the_best_that_needs_no_tuning(leads: dict) -> None:
    known = worth(leads, {}, 2)
    assert "over all labels, the tuned model reaches 80.0 %" in known["sentence"]
    assert (
        "a linear classifier (the probe), which predicts labels and writes no text, 70.0 % (+10.0 points"
        in known["sentence"]
    )
    assert known["contests"][0]["standings"][0]["cost"] is None


@pytest.mark.parametrize(
    ("tuned", "was", "words"),
    [
        (40, True, "Tuning was worth it: "),
        (20, None, "It is not shown that tuning was worth it: "),
        (0, False, "Tuning was not worth it: "),
    ],
)
def test_it_was_worth_it_where_the_interval_of_the_lead_says_so(
    tuned: int, was: bool | None, words: str, tmp_path: Path
) -> None:
    of = {"parent": predictions(40, 0, 0), "probe": predictions(40, 20, 20, told=LABELS)}
    known = worth(evaluated(tmp_path, LABELS, tuned=predictions(40, tuned, tuned), **of), {}, 1)
    assert known["was"] is was and known["sentence"].startswith(words)


def test_text_without_labels_is_compared_with_what_writes_text(tmp_path: Path) -> None:
    of = {"parent": [{**row, "nll": 8.0} for row in predictions(40, 0, 0)], "probe": predictions(40, 9, 9, told=LABELS)}
    known = worth(evaluated(tmp_path, [], tuned=predictions(40, 9, 9), **of), {}, 1)
    assert [(each["what"], each["winner"], len(each["standings"])) for each in known["contests"]] == [
        ("perplexity", "tuned", 2)
    ]
    assert known["was"] and known["sentence"].startswith(
        "Tuning was worth it: on perplexity (lower is better), the tuned model reaches 1.28, and"
    )


def test_nobody_to_compare_with_is_no_verdict() -> None:
    assert worth({"confidence": 0.95, "contests": []}, {}, 1) is None


def test_a_lead_is_positive_where_less_is_better() -> None:
    tuned, theirs = np.array([[1.0, 4.0]] * 9), np.array([[2.0, 4.0]] * 9)
    pair = PairedRows("perplexity", perplexity(""), tuned, theirs)
    assert pair.lead > 0 and over_all([pair]) is pair
    rows = np.array([1.0, 0.0])
    both = over_all([PairedRows(name, accuracy(name), rows, 1 - rows) for name in LABELS])
    assert both.lead == 0 and both.tuned.tolist() == [1, 0]
