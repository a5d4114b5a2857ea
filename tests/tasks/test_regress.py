"""Numbers are learnt on an encoder in deviations and told in their own unit, several at once, the same alone and in
company, kept, merged and served as what was evaluated.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tasks import objectives
from tasks.dialogues.special import of_folder
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.serve import reading_parity
from tasks.weights import tuned
from tests import encoders, tiny
from tests.tasks.test_serve_transformers import serving

pytestmark = pytest.mark.slow  # it trains

REGRESS = objectives.kinds.load("tasks.objectives", "regress")
PARAMS = REGRESS.Params(kind="regress")
TRAIN = {
    "objective": {"kind": "regress"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 8,
    "max_length": 64,
    "bf16": False,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return encoders.write_scored(tmp_path_factory.mktemp("prepared"), 96)


@pytest.fixture(scope="module")
def made(encoder, prepared, tmp_path_factory) -> SimpleNamespace:
    return tiny.train_in(tmp_path_factory.mktemp("made"), encoder, prepared, **TRAIN)


@pytest.fixture(scope="module")
def predictions(made, encoder, prepared) -> list[dict]:
    return tuned.answer(encoder, made.adapter, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions


def test_both_columns_are_told_in_their_own_unit(predictions, prepared):
    assert [row["id"] for row in predictions] == [row["id"] for row in read_jsonl(prepared / "test.jsonl")]
    for row in predictions:
        told, right = json.loads(row["text"]), json.loads(row["answer"])
        assert told["weight"] == pytest.approx(right["weight"], abs=2) and row["tokens"] == 2
        assert told["warmth"] == pytest.approx(right["warmth"], abs=8e-4)


def test_they_are_measured_and_the_parent_says_the_mean(predictions, encoder, prepared, tmp_path):
    from tasks.stages.baseline import baseline
    from tasks.stages.evaluate.__main__ import contest
    from tasks.stages.evaluate.params import Evaluate
    from tasks.stages.predict.params import Predict

    baseline(Predict(), encoder, prepared, tmp_path / "parent")
    write_jsonl(tmp_path / "tuned" / "predictions.jsonl", predictions)
    params = Evaluate(numbers=["weight", "warmth"], bootstrap_resamples=100)
    contest(params, prepared, {"parent": tmp_path / "parent", "tuned": tmp_path / "tuned"}, tmp_path / "out")
    metrics = read_json(tmp_path / "out" / "metrics.json")
    means = {column: scale["mean"] for column, scale in read_json(prepared / "format.json")["numbers"].items()}
    assert json.loads(read_jsonl(tmp_path / "parent" / "predictions.jsonl")[0]["text"]) == pytest.approx(means)
    for column in params.numbers:
        assert metrics["tuned"][f"{column}_rmse"] < metrics["parent"][f"{column}_rmse"] / 2
        assert metrics["tuned"][f"{column}_spearman"] > 0.8 and metrics["parent"][f"{column}_spearman"] == 0
    assert metrics["tuned"]["valid"] == metrics["parent"]["valid"] == 1
    assert not {"perplexity", "exact_match"} & metrics["tuned"].keys()


def test_a_number_is_the_same_alone_and_beside_a_longer_text(made, encoder):
    model, reader = tuned.load(encoder, made.adapter), tuned.tokenizer(encoder, made.adapter)
    read = [
        REGRESS.of_text(reader, text)
        for text in ("big a red apple", "small a blue boat and a good many more words beside it that are read")
    ]
    together = REGRESS.predict(model, reader, read)
    for tokens, said in zip(read, together, strict=True):
        (alone,) = REGRESS.predict(model, reader, [tokens])
        assert json.loads(alone["text"]) == pytest.approx(json.loads(said["text"]), rel=1e-4)


@pytest.mark.parametrize("kind", ["mse", "huber"])
def test_the_loss_is_the_mean_over_rows_of_the_error_in_deviations(kind, made, encoder, prepared):
    import torch

    rows = read_jsonl(prepared / "train.jsonl")[:3]
    params = REGRESS.Params(kind="regress", loss=kind, huber_delta=0.01)
    scales = REGRESS.processor(params, encoder, read_jsonl(prepared / "train.jsonl"))
    model = tuned.load(encoder, made.adapter)
    encoded = [REGRESS.encode(params, scales, row) for row in rows]
    batch = REGRESS.collate(encoded, scales.pad_token_id)
    whole = REGRESS.loss(params, model, batch, None).item()
    parts = [REGRESS.loss(params, model, REGRESS.collate([row], 0), torch.tensor(6)).item() for row in encoded]
    assert sum(parts) == pytest.approx(whole, rel=1e-4)
    told = [json.loads(row["text"]) for row in REGRESS.answer_rows(model, scales.reader, rows)]
    errors = [
        abs(json.loads(row["answer"])[column] - said[column]) / deviation
        for row, said in zip(rows, told, strict=True)
        for column, (_, deviation) in scales.scales.items()
    ]
    by_hand = [e * e if kind == "mse" else e * e / 2 if e <= 0.01 else 0.01 * (e - 0.005) for e in errors]
    assert whole == pytest.approx(sum(by_hand) / 3, rel=0.02)


def test_an_adapter_learns_and_is_merged_into_what_tells_the_same(encoder, prepared, tmp_path):
    from tasks.weights.merge import write_merged

    settings = {**TRAIN, "tuner": {"kind": "lora"}, "learning_rate": 1.0e-2, "num_train_epochs": 2}
    made = tiny.train_in(tmp_path, encoder, prepared, **settings)
    facts = read_json(made.adapter / "head.json")
    assert facts["kind"] == "regress" and list(facts["scales"]) == ["warmth", "weight"]
    merged = tmp_path / "merged"
    merged.mkdir()
    assert write_merged(encoder, made.adapter, read_jsonl(prepared / "test.jsonl"), 1.0e-4, merged) < 1.0e-4


def test_one_number_in_all_rows_is_refused_before_training(encoder):
    rows = [{**row, "answer": '{"weight": 3, "warmth": 0.5}'} for row in encoders.scored_rows(0, 8)]
    with pytest.raises(AnnealError, match="`warmth` is 0.5 in all training rows: there is nothing to learn"):
        REGRESS.check(REGRESS.processor(PARAMS, encoder, rows), {"train": rows})


def test_it_is_served_as_it_was_evaluated_and_tells_no_classes(made, encoder, predictions):
    with serving(encoder, things=made.adapter) as url:
        parity, too_long = reading_parity.check_parity(url, "things", of_folder(encoder), predictions)
        assert parity.prompts == len(predictions) and parity.difference < 1e-3 and too_long == []
        told = json.loads(predictions[0]["text"])
        for wrong, words in (
            ({**told, "weight": told["weight"] + 0.1}, "things says weight = .* in the evaluation"),
            ({"weight": told["weight"]}, "things predicts other numbers for row"),
        ):
            row = {**predictions[0], "text": json.dumps(wrong)}
            with pytest.raises(AnnealError, match=words):
                reading_parity.check_parity(url, "things", of_folder(encoder), [row])
        body = {"model": "things", "messages": [{"role": "user", "content": "big a red [SEP] apple"}]}
        choice = httpx.post(f"{url}/chat/completions", json=body, timeout=60).json()["choices"][0]
        assert json.loads(choice["message"]["content"]).keys() == {"weight", "warmth"}
        refused = httpx.post(f"{url.removesuffix('/v1')}/classify", json={"model": "things", "input": "a"})
        assert refused.status_code == 400 and "returns numbers and predicts no classes" in refused.text
