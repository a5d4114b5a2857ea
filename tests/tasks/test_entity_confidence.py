"""How sure a tagger is of what it marks: calibration of its entities in the evaluation and in the monitor."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.formats import entities
from tasks.formats.answer import format_of
from tasks.formats.entities import Entity
from tasks.monitor import figures
from tasks.monitor.reference import read_reference
from tasks.monitor.scores import Scores
from tasks.stages.evaluate.measures.entity_ece import entity_ece
from tasks.stages.evaluate.predictions import read
from tests.tasks.monitored import vectors, version
from tests.tasks.scored import text_row

TEXT = "Anna Lee lives in Berlin"
ANNA, BERLIN = Entity(0, 8, "PER"), Entity(18, 24, "LOC")
ANSWER = {"entities": list(entities.FIELDS)}
FORM = format_of(ANSWER)


def told(*marked: tuple[Entity, float]) -> dict[str, dict[str, float]]:
    """The probabilities of entities that are as likely as that."""
    return {
        entities.key(one.start, one.end): {**dict.fromkeys(("LOC", "PER"), 0.0), one.label: p, entities.OUTSIDE: 1 - p}
        for one, p in marked
    }


def row(marked: dict[str, dict[str, float]], right: list[Entity]) -> dict:
    """A prediction that tells of these stretches."""
    said = [Entity(*map(int, name.split("-")), label) for name, (label, _) in entities.likeliest(marked).items()]
    right_answer = entities.to_json(TEXT, right)
    return text_row(entities.to_json(TEXT, said), right_answer, entities=right_answer) | {"probabilities": marked}


def test_calibration_of_entities_is_that_computed_by_hand() -> None:
    ece = entity_ece("entities")
    rows = [
        row(told((ANNA, 0.95), (BERLIN, 0.55)), [ANNA, BERLIN]),
        row(told((ANNA, 0.95)), [Entity(0, 4, "PER")]),  # wrong: it ends elsewhere
        row(told((Entity(18, 24, "PER"), 0.2)), [BERLIN]),  # wrong: another label
        row(told(), [ANNA]),  # what is missed is no matter of being sure
    ]
    value = ece.value(ece.rows(read(rows, FORM, {})))
    assert value == pytest.approx((abs(1 + 0 - 2 * 0.95) + abs(1 - 0.55) + abs(0 - 0.2)) / 4)
    assert ece.value(ece.rows(read(rows[3:], FORM, {}))) == 0.0
    without = {name: cell for name, cell in rows[0].items() if name != "probabilities"}
    assert not ece.is_measurable(read([without], FORM, {})) and not ece.higher_is_better


def test_the_likeliest_label_of_a_stretch_is_never_none_of_them() -> None:
    assert (
        entities.likeliest({"0-4": {"PER": 0.3, "O": 0.7}}) == {"0-4": ("PER", 0.3)}
        and entities.calibration_pairs({}, "[]") == []
    )


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    """Of a tagger that was sure in its evaluation."""
    folder = Path(version(tmp_path / "kept").folder)
    rows = read_jsonl(folder / "reference/predictions.jsonl")
    sure = [row(told((ANNA, 0.9 + i / 1000), (BERLIN, 0.99)), [ANNA, BERLIN]) for i in range(len(rows))]
    predictions = [{"id": old["id"], **new} for old, new in zip(rows, sure, strict=True)]
    write_jsonl(folder / "reference/predictions.jsonl", predictions)
    answers = [{**old, "answer": {"entities": sure[0]["text"]}} for old in read_jsonl(folder / "reference/rows.jsonl")]
    write_jsonl(folder / "reference/rows.jsonl", answers)
    write_json(folder / "reference/classes.json", {})
    form = {"system": None, "user": "{{ text }}", "answer": ANSWER, "example": "tagged"}
    write_json(folder / "format.json", {**read_json(folder / "format.json"), **form})
    reference = read_reference(folder)
    assert reference
    return Scores(reference, vectors)


def test_the_monitor_follows_the_entity_that_is_marked_least_surely(scores: Scores) -> None:
    assert scores.entity_columns == ["entities"] and "entities confidence" in scores.names
    place = scores.names.index("entities confidence")
    unsure, nothing = told((ANNA, 0.4), (BERLIN, 0.99)), {}
    bins = scores.of_probabilities([told((ANNA, 0.95)), unsure, nothing, None])[:, place]
    assert bins[0] > bins[1] >= 0 and bins[2:].tolist() == [-1, -1] and np.count_nonzero(scores.pool()[place])
    assert figures.of_confidence(scores, [unsure, nothing, told((ANNA, 0.8))]) == {
        "entities_confidence": pytest.approx(0.6)
    }
    corrected = {"entities": entities.to_json(TEXT, [BERLIN])}
    assert figures.of_calibration(scores, [(unsure, corrected), (None, corrected)]) == {
        "entities_right_n": 2.0,
        "entities_overconfidence": pytest.approx((0.4 + 0.99 - 1) / 2),
    }
    assert figures.of_reference(scores)["entities_confidence"] == pytest.approx(0.9, abs=0.1)
    assert json.loads(scores.reference.predictions[0]["text"])
