"""The gate compares with the champion on the same rows: on its own answers where the rows are the same; rows that
are new to it it is asked.
"""

from types import SimpleNamespace

import pytest

from tasks import promotion, registry
from tasks.champion import judge
from tasks.errors import AnnealError
from tasks.evaluate.params import Evaluate
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.gate import Gate, Verdict
from tasks.package import Package
from tasks.params import Model
from tasks.predict.params import Predict
from tasks.train.params import Train
from tests import tiny
from tests.tasks.promoting import promote

pytestmark = pytest.mark.slow  # each test trains, or loads a model

NAME = "things"
GATE = Gate(minimum={"valid": 0.9}, compare_on="colour_accuracy", max_drop=0.02)
MODEL = Model(
    parent="tiny",
    dataset="toys",
    train=Train(),
    predict=Predict(**tiny.PREDICT),
    evaluate=Evaluate(**tiny.EVALUATE),
    package=Package(),
    gate=GATE,
)


@pytest.fixture
def place(store, tmp_path, evaluated, packaged, base) -> SimpleNamespace:
    """The reports of the tuned model, copied to be written to, and what judge() is given."""
    import shutil

    reports = shutil.copytree(evaluated, tmp_path / "reports")
    return SimpleNamespace(weights=base, reports=reports, adapter=packaged.adapter)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The `what` of each time that a model is loaded and asked, and how many rows."""
    import tasks.answers

    real, calls = tasks.answers.answer, []

    def answer(*given: object) -> object:
        calls.append(f"{given[-1]}, {len(given[2])} rows")
        return real(*given)

    monkeypatch.setattr(tasks.answers, "answer", answer)
    return calls


def verdict(place: SimpleNamespace, params: Gate = GATE) -> Verdict:
    return judge(NAME, MODEL.model_copy(update={"gate": params}), place.weights, place.reports, place.adapter)


def enthrone(place: SimpleNamespace, tmp_path, predictions: list[dict], **facts: str) -> registry.Version:
    """Make a champion with the tuned adapter, another hash and these predictions."""
    import shutil

    adapter, evaluate = (
        shutil.copytree(place.adapter, tmp_path / "champion" / "adapter"),
        tmp_path / "champion" / "evaluate",
    )
    write_json(
        adapter / "artifact.json", {**read_json(adapter / "artifact.json"), "artifact_sha256": "another", **facts}
    )
    write_jsonl(evaluate / "predictions.jsonl", predictions)
    promote(promotion.register(NAME, adapter, evaluate, {}, {}))
    return registry.alias(NAME, "champion")


def tuned(place: SimpleNamespace) -> list[dict]:
    return read_jsonl(place.reports / "predict" / "predictions.jsonl")


def without_answers(predictions: list[dict], right: int) -> list[dict]:
    """The predictions, of which only the first `right` keep their text."""
    return [row if i < right else {**row, "text": "?"} for i, row in enumerate(predictions)]


def test_without_a_champion_it_is_measured_against_its_parent_and_the_minimum(place, asked):
    found = verdict(place)
    assert found.passed and not asked
    assert found.reasons[0] == "✓ valid is 1.000, the minimum is 0.9"
    assert (
        "32 rows won, 0 lost" in found.reasons[1] and found.reasons[2] == "✓ there is no other champion to compare with"
    )


def test_a_tuned_model_no_better_than_its_parent_is_refused(place):
    write_jsonl(place.reports / "baseline" / "predictions.jsonl", tuned(place))
    found = verdict(place)
    assert not found.passed and found.reasons[1].startswith("✗ not shown to be better than its parent")


@pytest.mark.parametrize("right", [0, 32])
def test_a_champion_asked_the_same_rows_is_not_asked_again(place, asked, tmp_path, right):
    enthrone(place, tmp_path, without_answers(tuned(place), right))
    found = verdict(place)
    assert found.passed and not asked
    assert f"not worse than the champion on colour_accuracy: {32 - right} rows won, 0 lost" in found.reasons[2]


def test_a_tuned_model_worse_than_the_champion_is_refused(place, asked, tmp_path):
    enthrone(place, tmp_path, tuned(place))
    write_jsonl(place.reports / "predict" / "predictions.jsonl", without_answers(tuned(place), 24))
    found = verdict(place)
    assert not found.passed and not asked
    assert found.reasons[2].startswith(
        "✗ worse than the champion on colour_accuracy: 0 rows won, 8 lost (difference -0.250"
    )


def test_a_champion_is_asked_the_rows_that_are_new_to_it_and_only_once(place, asked, tmp_path):
    champion = enthrone(place, tmp_path, without_answers(tuned(place), 0)[:20])  # its answers to these were all wrong
    found = verdict(place)
    assert asked == [f"champion (version {champion.version}), 12 rows"]
    assert "not worse than the champion on colour_accuracy: 20 rows won, 0 lost" in found.reasons[2]
    kept = read_jsonl(place.reports / "champion" / "predictions.jsonl")
    assert [(row["id"], row["text"]) for row in kept] == [
        (row["id"], "?" if i < 20 else row["text"]) for i, row in enumerate(tuned(place))
    ]
    assert verdict(place) == found and len(asked) == 1


def test_answers_kept_from_another_champion_or_other_rows_are_not_taken(place, asked, tmp_path):
    champion = enthrone(place, tmp_path, tuned(place)[:20])
    wrong = without_answers(tuned(place), 0)
    for mark, rows in (("an-older-champion", wrong), (champion.artifact, wrong[:20])):
        write_jsonl(
            place.reports / "champion" / "predictions.jsonl",
            [{**row, "expected": "another"} for row in rows] if mark == champion.artifact else rows,
        )
        (place.reports / "champion" / mark).touch()
        asked.clear()
        assert "0 rows won, 0 lost" in verdict(place).reasons[2] and len(asked) == 1
        for file in (place.reports / "champion").iterdir():
            file.unlink()


def test_a_row_with_another_answer_is_another_row(place, asked, tmp_path):
    rows = tuned(place)
    enthrone(place, tmp_path, [{**rows[0], "expected": "relabelled since"}, *rows[1:]])
    verdict(place)
    assert len(asked) == 1 and asked[0].endswith(", 1 rows")


def test_a_champion_on_other_weights_cannot_be_compared_and_nothing_is_promoted(place, asked, tmp_path):
    champion = enthrone(place, tmp_path, tuned(place)[:20], base_sha256="f" * 64)
    found = verdict(place)
    assert not found.passed and not asked and "`make promote` promotes by hand" in found.reasons[0]
    assert f"version {champion.version}" in found.reasons[0]


def reworded(version: registry.Version, **words: object) -> None:
    """The champion was trained with other words in its format."""
    file = registry.folder(version, "adapter") / "format.json"
    write_json(file, {**read_json(file), **words})


def test_a_champion_is_asked_in_its_own_words(place, asked, tmp_path):
    """Asked the new model's prompts, it would fail by the words and never win."""
    rows = [{**row, "messages": [{"role": "user", "content": row["row"]["thing"]}]} for row in tuned(place)]
    reworded(enthrone(place, tmp_path, rows[:-1]), system=None, user="{{ thing }}")
    found = verdict(place)
    assert asked[0].endswith(", 1 rows") and "not worse than the champion" in found.reasons[2]
    assert read_jsonl(place.reports / "champion" / "predictions.jsonl")[-1]["messages"] == rows[-1]["messages"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"answer": "{{ colour }}"}, "its answers are '{{ colour }}'"),
        ({"user": "{{ weight }}"}, "its template does not fit these rows"),
    ],
)
def test_a_champion_that_answers_or_is_asked_otherwise_cannot_be_compared(place, asked, tmp_path, words, reason):
    reworded(enthrone(place, tmp_path, tuned(place)), **words)
    found = verdict(place)
    assert (
        not found.passed
        and not asked
        and reason in found.reasons[0]
        and "`make promote` promotes by hand" in found.reasons[0]
    )


@pytest.mark.parametrize("code", ["TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "PERMISSION_DENIED"])
def test_a_registry_that_stumbles_stops_the_gate_and_is_not_one_without_a_champion(
    place, asked, tmp_path, monkeypatch, code
):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    enthrone(place, tmp_path, tuned(place))
    real, left = MlflowClient.get_model_version_by_alias, [1]

    def stumble(*given: object) -> object:
        if left and left.pop():
            raise MlflowException("locked", ErrorCode.Value(code))
        return real(*given)

    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", stumble)
    write_jsonl(place.reports / "predict" / "predictions.jsonl", without_answers(tuned(place), 24))
    with pytest.raises(AnnealError, match="the registry cannot be asked: .*locked"):
        verdict(place)
    assert not verdict(place).passed  # and once it answers, the version is worse than the champion


def test_the_champion_is_not_its_own_rival(place, asked, tmp_path):
    artifact = read_json(place.adapter / "artifact.json")["artifact_sha256"]
    enthrone(place, tmp_path, tuned(place), artifact_sha256=artifact)
    found = verdict(place)
    assert found.passed and not asked and "no other champion" in found.reasons[2]


def test_a_measure_that_the_model_does_not_have_is_refused_with_those_there_are(place):
    with pytest.raises(
        AnnealError,
        match="gate.compare_on is 'colour', which is not a measure of this model; there are: colour_accuracy, ",
    ):
        verdict(place, Gate(compare_on="colour"))


@pytest.mark.parametrize("measure", ["valid", "colour_macro_f1", "reply_rouge_l", "perplexity"])
def test_any_measure_can_be_compared_on(place, asked, tmp_path, measure):
    rows = tuned(place)
    enthrone(place, tmp_path, [{**row, "text": "?", "nll": 2 * row["nll"] + 1} for row in rows])
    found = verdict(place, Gate(compare_on=measure))
    assert found.passed and not asked and f"not worse than the champion on {measure}: " in found.reasons[1]
    write_jsonl(
        place.reports / "predict" / "predictions.jsonl",
        [{**row, "text": "?", "nll": 4 * row["nll"] + 4} for row in rows],
    )
    assert not verdict(place, Gate(compare_on=measure)).passed


def test_without_a_named_measure_the_first_label_decides(place):
    assert "than its parent on colour_accuracy: 32 rows won" in verdict(place, Gate()).reasons[0]


def test_a_parent_without_a_valid_answer_says_little(place):
    assert verdict(place).reasons[1].endswith("; the parent gives no valid answer, so this says little")


def test_answers_to_other_rows_are_not_compared(place):
    write_jsonl(place.reports / "baseline" / "predictions.jsonl", tuned(place)[::-1])
    with pytest.raises(AnnealError, match="the parent's answers are to other rows than the tuned model's"):
        verdict(place)
