"""The gate compares with the parent and the champion on the same rows, by any measure that the model has."""

from types import SimpleNamespace

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.stages.evaluate.__main__ import evaluate
from tasks.stages.evaluate.params import Evaluate
from tasks.steps.gate import Gate
from tests import tiny
from tests.tasks.judged import enthrone, reports, tuned, verdict, watch_answers, without_answers

pytestmark = pytest.mark.slow  # each test trains, or loads a model


@pytest.fixture
def place(store, tmp_path, evaluated, packaged, prepared, base) -> SimpleNamespace:
    """The reports of the tuned model, beside a parent whose answers are none."""
    made = reports(evaluated, packaged.adapter, base, tmp_path / "reports")
    parent = made.reports / "baseline" / "predictions.jsonl"
    write_jsonl(parent, without_answers(read_jsonl(parent), 0))
    evaluate(Evaluate(**tiny.EVALUATE), prepared, made.reports, made.reports / "evaluate")
    return made


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    return watch_answers(monkeypatch)


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


def test_a_tuned_model_worse_than_the_champion_is_refused(place, asked, tmp_path):
    enthrone(place, tmp_path, tuned(place))
    write_jsonl(place.reports / "predict" / "predictions.jsonl", without_answers(tuned(place), 24))
    found = verdict(place)
    assert not found.passed and not asked and found.champion == "1"
    assert found.reasons[2].startswith(
        "✗ worse than the champion on colour_accuracy: 0 rows won, 8 lost (difference -0.250"
    )


@pytest.mark.parametrize("code", ["TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "PERMISSION_DENIED"])
def test_a_registry_that_stumbles_stops_the_gate_and_is_not_one_without_a_champion(
    place, asked, tmp_path, monkeypatch, code
):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    enthrone(place, tmp_path, tuned(place))
    real, left = MlflowClient.get_registered_model, [1]

    def stumble(*given: object) -> object:
        if left and left.pop():
            raise MlflowException("locked", ErrorCode.Value(code))
        return real(*given)

    monkeypatch.setattr(MlflowClient, "get_registered_model", stumble)
    write_jsonl(place.reports / "predict" / "predictions.jsonl", without_answers(tuned(place), 24))
    with pytest.raises(AnnealError, match="the registry cannot be queried: .*locked"):
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
        match="gate.compare_on is 'shade', which is not a measure of this model; there are: colour_accuracy, ",
    ):
        verdict(place, Gate(compare_on="shade"))


@pytest.mark.parametrize("measure", ["valid", "colour_macro_f1", "reply_rouge_l", "reply_bleu", "perplexity"])
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
    with pytest.raises(AnnealError, match="the parent's answers are for other rows than the tuned model's"):
        verdict(place)
