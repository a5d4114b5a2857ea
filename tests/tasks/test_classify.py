"""A classifier learns several label columns at once on an encoder, says probabilities that do not hang on the batch, is
kept, loaded and merged as what it was, and tells nothing that it was not taught.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import objectives
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.weights import tuned
from tests import encoders, tiny

pytestmark = pytest.mark.slow  # it trains

TRAIN = {
    "objective": {"kind": "classify"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 6,
    "max_length": 64,
    "bf16": False,
}
METRICS = ("auroc", "mcc", "log_loss", "brier")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return encoders.write_prepared(tmp_path_factory.mktemp("prepared"), 96)


@pytest.fixture(scope="module")
def made(encoder, prepared, tmp_path_factory) -> SimpleNamespace:
    return tiny.train_in(tmp_path_factory.mktemp("made"), encoder, prepared, **TRAIN)


@pytest.fixture(scope="module")
def predictions(made, encoder, prepared) -> list[dict]:
    return tuned.answer(encoder, made.adapter, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions


def test_it_learns_every_column_and_says_what_it_told_by_the_likeliest_class(predictions, prepared):
    assert [row["id"] for row in predictions] == [row["id"] for row in read_jsonl(prepared / "test.jsonl")]
    right = sum(json.loads(row["text"]) == json.loads(row["answer"]) for row in predictions)
    assert right >= len(predictions) - 1
    for row in predictions:
        assert row["probabilities"].keys() == set(encoders.LABELS) and row["tokens"] == 2
        for column, shares in row["probabilities"].items():
            assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
            assert json.loads(row["text"])[column] == max(shares, key=shares.__getitem__)


def test_the_probabilities_of_a_text_are_the_same_alone_and_beside_a_longer_one(made, encoder):
    from tasks.models import classifier

    model, reader = tuned.load(encoder, made.adapter), tuned.tokenizer(encoder, made.adapter)
    texts = ["big a red apple", "small a blue boat and a good many more words beside it that are read"]
    alone = [classifier.log_probabilities(model, reader, [text]) for text in texts]
    together = classifier.log_probabilities(model, reader, texts)
    for i, own in enumerate(alone):
        for column, told in enumerate(own):
            assert together[column][i].tolist() == pytest.approx(told[0].tolist(), abs=1e-5)


def test_a_special_token_in_a_text_is_text_and_a_text_beyond_the_positions_is_cut(encoder):
    from tasks.models.encoder import load_tokenizer

    of_base = load_tokenizer(encoder)
    ids = of_base.encode("big [SEP] red")
    assert ids.count(of_base.tokenizer.sep_token_id) == 1 and ids[-1] == of_base.tokenizer.sep_token_id
    assert len(of_base.encode("red " * 500)) == 64


@pytest.mark.parametrize("tuner", ["lora", "ia3"])
def test_adapters_on_an_encoder_learn_and_are_merged_into_what_answers_the_same(tuner, encoder, prepared, tmp_path):
    from tasks.weights.merge import write_merged

    rate = {"lora": 1.0e-2, "ia3": 3.0e-2}[tuner]
    made = tiny.train_in(
        tmp_path, encoder, prepared, **{**TRAIN, "tuner": {"kind": tuner}, "learning_rate": rate, "num_train_epochs": 2}
    )
    assert read_json(made.adapter / "head.json")["kind"] == "classify"
    rows = read_jsonl(prepared / "test.jsonl")
    merged = tmp_path / "merged"
    merged.mkdir()
    assert write_merged(encoder, made.adapter, rows, 1.0e-4, merged) < 1.0e-4
    assert read_json(merged / "config.json")["architectures"] == ["BertModel"]


def test_n_grams_tell_beside_the_heads_wherever_the_model_is_asked(made, predictions, encoder, prepared, tmp_path):
    from tasks.models import heads, labeller, ngrams
    from tasks.weights.merge import write_merged

    beside = tiny.train_in(
        tmp_path / "beside", encoder, prepared, **{**TRAIN, "objective": {"kind": "classify", "ngrams": 2}}
    )
    heads_alone = [sha256(folder / heads.WEIGHTS) for folder in (made.adapter, beside.adapter)]
    assert heads_alone[0] == heads_alone[1], "what learns is another for n-grams that tell beside it"
    rows = read_jsonl(prepared / "test.jsonl")
    told = tuned.answer(encoder, beside.adapter, rows, 5, 8, "beside").predictions
    own = ngrams.load(beside.adapter, [len(known) for known in heads.facts(beside.adapter)["classes"].values()])
    reader = tuned.tokenizer(encoder, beside.adapter)
    columns = own([reader.encode(row["messages"][-1]["content"]) for row in rows])
    for i, (row, alone) in enumerate(zip(told, predictions, strict=True)):
        for of_column, (column, shares) in zip(columns, sorted(row["probabilities"].items()), strict=True):
            product = {
                name: (p * alone["probabilities"][column][name]) ** 0.5
                for name, p in zip(sorted(shares), of_column[i].exp().tolist(), strict=True)
            }
            whole = sum(product.values())
            assert shares == pytest.approx({name: p / whole for name, p in product.items()}, abs=1e-4)
    merged = tmp_path / "merged"
    merged.mkdir()
    write_merged(encoder, beside.adapter, rows, 1.0e-4, merged)
    labeller.write(merged, beside.adapter, [*encoders.LABELS, "reply"], tmp_path / "labeller")
    assert (tmp_path / "labeller" / heads.NGRAMS).read_bytes() == (beside.adapter / heads.NGRAMS).read_bytes()


def test_a_head_whose_weights_are_no_numbers_is_refused_at_merging_whichever_column_it_is_of(
    encoder, prepared, tmp_path
):
    import torch

    from tasks import tuners
    from tasks.stages.train.fit import make_model
    from tasks.stages.train.params import Train
    from tasks.weights.merge import merged_model

    params, rows = Train(**{**TRAIN, "tuner": {"kind": "lora"}}), read_jsonl(prepared / "train.jsonl")
    objective = objectives.of(params.objective)
    model = make_model(params, encoder, objective.processor(params.objective, encoder, rows))
    with torch.no_grad():
        model.heads[1].weight[0] = torch.nan
    tuners.save(params.tuner, objective.body(model), encoder, tmp_path)
    objective.save_head(model, tmp_path)
    with pytest.raises(AnnealError, match="mean KL nan"):
        merged_model(encoder, tmp_path, rows, 1.0)


def test_the_parent_says_the_commonest_class_and_how_common_each_is(encoder, prepared, tmp_path):
    from tasks.stages.baseline import baseline
    from tasks.stages.predict.params import Predict

    baseline(Predict(), encoder, prepared, tmp_path / "out")
    shares = read_json(prepared / "format.json")["classes"]
    rows = read_jsonl(tmp_path / "out" / "predictions.jsonl")
    assert all(row["probabilities"] == shares for row in rows)
    assert json.loads(rows[0]["text"]) == {column: max(known, key=known.get) for column, known in shares.items()}


def test_its_probabilities_are_measured_and_the_parent_tells_no_class_apart(predictions, encoder, prepared, tmp_path):
    from tasks.stages.baseline import baseline
    from tasks.stages.evaluate.__main__ import contest
    from tasks.stages.evaluate.params import Evaluate
    from tasks.stages.predict.params import Predict

    baseline(Predict(), encoder, prepared, tmp_path / "parent")
    write_jsonl(tmp_path / "tuned" / "predictions.jsonl", predictions)
    params = Evaluate(labels=list(encoders.LABELS), bootstrap_resamples=100)
    contest(params, prepared, {"parent": tmp_path / "parent", "tuned": tmp_path / "tuned"}, tmp_path / "out")
    metrics = read_json(tmp_path / "out" / "metrics.json")
    for label in encoders.LABELS:
        parent, tuned_ = ({name: metrics[who][f"{label}_{name}"] for name in METRICS} for who in ("parent", "tuned"))
        assert (parent["auroc"], parent["mcc"]) == (0.5, 0) and tuned_["auroc"] > 0.95 and tuned_["mcc"] > 0.8
        assert tuned_["log_loss"] < parent["log_loss"] and tuned_["brier"] < parent["brier"]
    assert "perplexity" not in metrics["tuned"]


def test_one_class_only_is_refused_before_training(encoder, tmp_path):
    prepared = encoders.write_prepared(tmp_path / "prepared", 16)
    rows = [{**row, "answer": json.dumps({"colour": "red"})} for row in encoders.rows(0, 8)]
    objective = objectives.kinds.load("tasks.objectives", "classify")
    params = objective.Params(kind="classify")
    with pytest.raises(AnnealError, match="all training rows have the class 'red' in `colour`"):
        objective.check(objective.processor(params, encoder, rows), {"train": rows})
    assert prepared.exists()


def rare(count: int) -> list[dict]:
    """Rows of which one in eight is red, with a second label that is even."""
    return [
        {**row, "answer": json.dumps({"colour": "red" if i % 8 == 0 else "blue", "mood": "ab"[i % 2]})}
        for i, row in enumerate(encoders.rows(0, count))
    ]


def encoded_again(encoder: Path, rows: list[dict], seed: int = 1, **settings: object) -> list[str]:
    """The ids of training rows as they are trained on."""
    objective = objectives.kinds.load("tasks.objectives", "classify")
    params = objective.Params(kind="classify", **settings)
    classes = objective.processor(params, encoder, rows)
    return [
        row["id"]
        for row in objective.repeated(params, classes, [objective.encode(params, classes, row) for row in rows], seed)
    ]


def test_rows_of_rare_classes_come_again_the_same_ones_each_time_and_no_more_often_than_is_allowed(encoder):
    rows = rare(64)
    reds = {row["id"] for i, row in enumerate(rows) if i % 8 == 0}
    assert encoded_again(encoder, rows) == [row["id"] for row in rows]
    even = encoded_again(encoder, rows, oversample=1.0)
    assert sum(name in reds for name in even) == 56 == sum(name not in reds for name in even)
    half = encoded_again(encoder, rows, oversample=0.5)  # 3.5 times each
    assert {half.count(name) for name in reds} == {3, 4} and half == encoded_again(encoder, rows, oversample=0.5)
    assert half != encoded_again(encoder, rows, seed=2, oversample=0.5)
    assert sum(name in reds for name in encoded_again(encoder, rows, oversample=1.0, oversample_most=3)) == 24


def test_only_training_rows_come_again_and_how_many_is_counted(encoder):
    from tasks.stages.train.params import Train
    from tasks.stages.train.ready import trainable

    params = Train(**{**TRAIN, "objective": {"kind": "classify", "oversample": 1.0}})
    rows = {"train": rare(64), "validation": rare(16)}
    processor = objectives.of(params.objective).processor(params.objective, encoder, rows["train"])
    kept, counts = trainable(params, processor, rows)
    assert len(kept["validation"]) == 16 and len(kept["train"]) == 112 and counts["rows_again"] == 48
    assert counts["rows"] == 64


def test_class_weights_and_oversampling_together_are_refused():
    objective = objectives.kinds.load("tasks.objectives", "classify")
    with pytest.raises(
        ValueError, match="class_weights is balanced and oversample 1, so rare classes would be weighted"
    ):
        objective.Params(kind="classify", class_weights="balanced", oversample=1.0)


@pytest.mark.minutes
def test_a_killed_training_with_rows_again_ends_in_the_same_bytes(encoder, tmp_path):
    from tests.tasks import matrix

    rows = {"train": rare(64), "validation": rare(8)}
    for name, split in rows.items():
        write_jsonl(tmp_path / "rows" / f"{name}.jsonl", split)
    train = {**TRAIN, "objective": {"kind": "classify", "oversample": 1.0}, "num_train_epochs": 2, "eval_steps": 0.5}
    whole = matrix.run(tmp_path / "whole", encoder, tmp_path / "rows", train)
    assert read_json(whole.report / "metrics.json")["steps"] == 28  # 112 rows in batches of eight, twice
    matrix.killed(tmp_path / "killed", encoder, tmp_path / "rows", train, 18)
    again = matrix.run(tmp_path / "killed", encoder, tmp_path / "rows", train)
    assert sha256(again.adapter) == sha256(whole.adapter)
