"""What a cascade cannot be made of is refused before work, in one sentence; what the classifier learnt is written where
it is left out.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ParamsError
from tasks.params import Params, check_rows, needed
from tasks.preflight import cascades
from tasks.preflight.checks import datasets_of
from tasks.preflight.sections import complete
from tasks.section import parse
from tests.tiny_classifier import tables


def params(**changes: object) -> Params:
    """The rows of a sound cascade, with values changed by dotted key (`__` for the dots)."""
    value = tables()
    for key, new in changes.items():
        place: Any = value
        *way, last = key.split("__")
        for part in way:
            place = place[part]
        if new is None:
            del place[last]
        else:
            place[last] = new
    return parse(Params, value, "")


def problems(**changes: object) -> list[str]:
    return list(cascades.problems(params(**changes), "things"))


def test_a_sound_one_has_no_problem() -> None:
    check_rows(params())
    assert problems() == []
    assert list(cascades.problems(params(), "teller")) == []


PREPARE, ANSWER = "datasets__labels__prepare__", "datasets__toys__prepare__answer"
TRAIN, TELLER = "models__things__train__", "models__teller__train__"
REFUSED: list[tuple[dict[str, object], str]] = [
    ({f"{TELLER}objective": {"kind": "regress"}}, "model is teller, whose objective is regress; name a classifier of"),
    (
        {f"{TELLER}tuner": {"kind": "bottleneck"}},
        "what its tuner, bottleneck, learns cannot be merged, so it cannot run",
    ),
    ({ANSWER: "{{ reply }}"}, "datasets.toys.prepare.answer is a template, and the classifier of cascades.told begins"),
    (
        {ANSWER: ["mood", "reply"]},
        "which tells `colour`, and the answers of datasets.toys have no such column (mood, r",
    ),
    (
        {ANSWER: ["mood", "colour"]},
        "tells all that answers of datasets.toys say (`colour`, `mood`), so nothing is left",
    ),
    (
        {ANSWER: ["reply", "colour", "mood"]},
        "answers of datasets.toys begin with `reply`, `colour`; write answer: [colour, mood, reply] there, labels",
    ),
    (
        {f"{PREPARE}seed": 7},
        "datasets.labels.prepare.seed is 7, and that of datasets.toys 42, so the classifier of cas",
    ),
    ({f"{PREPARE}test_share": 0.3}, "datasets.labels.prepare.test_share is 0.3, and that of datasets.toys 0.2, so"),
    ({f"{PREPARE}validation_share": 0.3}, "datasets.labels.prepare.validation_share is 0.3, and that of datasets.toys"),
    ({f"{PREPARE}user": "{{ thing }}"}, "datasets.labels.prepare.user is '{{ thing }}', and that of datasets.toys 'Th"),
    ({"datasets__labels__ingest__source": "b"}, "datasets.labels.ingest.source is 'b', and that of datasets.toys 'a'"),
    (
        {f"{PREPARE}class_names": {"mood": {"1": "warm"}}},
        "class_names gives classes other names than the answers of dat",
    ),
    (
        {f"{TRAIN}tuner": {"kind": "prefix"}},
        "which vLLM serves, and tuner.kind prefix needs the server of transformers",
    ),
    (
        {f"{TRAIN}objective": {"kind": "seq2seq"}},
        "objective.kind seq2seq needs the server of transformers; use objecti",
    ),
    (
        {f"{TRAIN}objective": {"kind": "sft", "weights": {"reply": 2, "mood": 3}}},
        "models.things.train.objective.weights names `mood`, which the classifier of cascades.told predicts",
    ),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[words[:40] for _, words in REFUSED])
def test_what_it_cannot_be_made_of_is_refused_in_one_sentence(changes: dict[str, object], words: str) -> None:
    (problem,) = problems(**changes)
    assert words in problem and problem.endswith(".")


def test_what_is_mixed_in_must_have_the_same_answers() -> None:
    other = {**tables()["datasets"]["toys"], "prepare": {"shape": "text"}}
    mixed = {
        "datasets__prose": other,
        "mixes": {"both": {"dataset": "toys", "other": "prose"}},
        "cascades__told__dataset": "both",
    }
    (problem,) = problems(**mixed)
    assert "is both, and the answers of datasets.prose in it are None, which the classifier of toys does not" in problem
    assert problems(**mixed | {"datasets__prose": tables()["datasets"]["toys"]}) == []


def test_the_labels_may_stand_in_any_order() -> None:
    assert problems(**{ANSWER: ["mood", "colour", "reply"]}) == []


NAMES: list[tuple[dict[str, object], str]] = [
    (
        {"cascades__toys": {"dataset": "toys", "model": "teller", "trained_on": "labels"}},
        "`toys` is both a cascade and",
    ),
    ({"cascades__told__model": "tellr"}, "cascades.told.model is 'tellr', which is not a row of models; did you mean"),
    (
        {"cascades__told__dataset": "toy"},
        "cascades.told.dataset is 'toy', which is not a row of datasets; did you mean",
    ),
    ({"cascades__told__trained_on": "toys"}, "trained_on is 'toys', and models.teller.dataset is 'labels'; write that"),
    (
        {"cascades__more": {"dataset": "told", "model": "teller", "trained_on": "labels"}},
        "'told', a cascade, on which",
    ),
    (
        {"mixes": {"mixed": {"dataset": "told", "other": "toys"}}},
        "mixes.mixed.dataset is 'told', a cascade, on which",
    ),
    (
        {"cascades__told__model": "things", "cascades__told__trained_on": "told"},
        "these rows build on each other in a cycle: ",
    ),
]


@pytest.mark.parametrize(("changes", "words"), NAMES, ids=[words[:40] for _, words in NAMES])
def test_a_name_that_does_not_fit_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ParamsError) as refused:
        check_rows(params(**changes))
    assert words in str(refused.value)


def test_it_is_measured_on_its_data_set_and_needs_all_that_its_classifier_needs() -> None:
    assert params().main_dataset("things") == "toys"
    assert (params().labeller("things"), params().labeller("teller")) == ("teller", None)
    assert needed(params(), ["things"]) == ["teller", "things"]
    assert sorted(datasets_of(params(), "things")) == ["labels", "toys"]


def test_what_its_classifier_was_trained_on_is_written_where_it_is_left_out(tmp_path: Path) -> None:
    value = tables()
    del value["cascades"]["told"]["trained_on"]
    file = tmp_path / "params.yaml"
    file.write_text(json.dumps(value))
    completion = complete(file)
    assert json.loads(completion.text)["cascades"] == tables()["cascades"]
    assert any("wrote `trained_on: labels` in cascades.told" in line for line in completion.lines)
