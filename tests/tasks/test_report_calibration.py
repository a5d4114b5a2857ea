"""The report of a model that says how sure it is: calibration and the rows of which it was surely wrong, and nothing of
either where there are no probabilities.
"""

import copy
import json
from pathlib import Path

from tasks.files import write_jsonl
from tasks.formats import entities
from tasks.formats.answer import format_of
from tasks.formats.entities import Entity
from tasks.steps.report import plots
from tasks.steps.report.calibration import LONGEST, WORST, calibrations, misses
from tests.tasks.reported import SUMMARY, Page, rendered, small_run, write_table

FORM = format_of(["mood", "size"])


def row(place: int, right: str, told: dict[str, float], text: str = "some text") -> dict:
    """A prediction that is right in `size` with 0.9."""
    said = {"mood": max(told, key=told.__getitem__), "size": "big"}
    expected = {"mood": right, "size": "big"}
    return {
        "id": f"row-{place}",
        "messages": [{"role": "user", "content": text}],
        "answer": json.dumps(expected),
        "row": expected,
        "text": json.dumps(said),
        "token_ids": [],
        "finished": True,
        "nll": 1.0,
        "tokens": 2,
        "probabilities": {"mood": told, "size": {"big": 0.9, "small": 0.1}},
    }


ROWS = [
    row(0, "warm", {"warm": 0.8, "cold": 0.2}),
    row(1, "warm", {"warm": 0.3, "cold": 0.7}, "x" * 500),
    row(2, "cold", {"warm": 0.95, "cold": 0.05}, "<b>hot</b>"),
    row(3, "tepid", {"warm": 0.5, "cold": 0.5}),  # a class that it does not know, and two that are alike
]


def test_the_rows_whose_right_class_was_least_likely_come_first() -> None:
    worst = misses(ROWS, FORM, ["mood", "size"])
    assert [(miss.id, miss.column, miss.answer, miss.answer_p, miss.right_p) for miss in worst] == [
        ("row-3", "mood", "cold", 0.5, 0.0),
        ("row-2", "mood", "warm", 0.95, 0.05),
        ("row-1", "mood", "cold", 0.7, 0.3),
    ]
    assert len(worst[2].text) == LONGEST and len(misses(ROWS * 10, FORM, ["mood"])) == WORST


def test_the_picture_of_each_label_says_in_words_how_sure_and_how_right_it_is() -> None:
    mood, size = calibrations(ROWS, FORM, ["mood", "size"], 0.95)
    assert (mood.name, size.name) == ("mood", "size")
    assert mood.caption.startswith("Of 4 rows 25.0 % are right, and their mean predicted probability is 0.738")
    assert "overconfident" in mood.caption and "underconfident" in size.caption
    assert calibrations(ROWS, FORM, ["mood"], 0.95)[0].svg == mood.svg, "the same rows, the same bytes"
    without = [{name: cell for name, cell in ROWS[0].items() if name != "probabilities"}, *ROWS]
    assert calibrations(without, FORM, ["mood"], 0.95) == [] == misses(without, FORM, ["mood"])


def test_of_a_tagger_each_entity_counts() -> None:
    form = format_of({"entities": list(entities.FIELDS)})
    right = entities.to_json("a b c", [Entity(0, 1, "X"), Entity(4, 5, "X")])
    told = {"0-1": {"X": 0.9, "O": 0.1}, "2-3": {"X": 0.7, "O": 0.3}}
    asked = {"id": "1", "messages": [], "answer": right, "text": "[]", "probabilities": told}
    (plot,) = calibrations([asked], form, [], 0.95)
    assert plot.caption.startswith("Of 2 entities 50.0 % are right, and their mean predicted probability is 0.800")
    assert calibrations([{**asked, "probabilities": {}}], form, [], 0.95) == [] == misses([asked], form, [])


def test_the_page_shows_both_and_none_of_a_model_that_writes(tmp_path: Path) -> None:
    for folder in ("predict", "baseline"):
        write_jsonl(tmp_path / folder / "predictions.jsonl", ROWS)
    pairs = [[entry["row"]["mood"], json.loads(entry["text"])["mood"]] for entry in ROWS]
    write_table(tmp_path / "evaluate/confusion/mood.csv", ["actual", "predicted"], pairs)
    html = rendered(tmp_path, copy.deepcopy(SUMMARY), answer=["mood", "size"])
    text = Page(html).text
    assert "Are its probabilities right?" in text and "most confident mistakes" in text
    assert "&lt;b&gt;hot&lt;/b&gt;" in html and "<b>hot" not in html
    small_run(tmp_path / "writes")
    assert "Are its probabilities right" not in Page(rendered(tmp_path / "writes", copy.deepcopy(SUMMARY))).text


def test_of_a_model_that_writes_no_answer_the_lengths_of_texts_are_shown_alone() -> None:
    lengths = [{"prompt_tokens": "7", "answer_tokens": "0"}, {"prompt_tokens": "9", "answer_tokens": "0"}]
    plot = plots.length_histograms(lengths)
    assert plot is not None and plot.caption.startswith("Prompts have 7 to 9 tokens") and "answer" not in plot.caption
    assert plots.length_histograms([{"prompt_tokens": "0", "answer_tokens": "0"}]) is None
