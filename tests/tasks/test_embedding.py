"""Rows of an embedding that are never read are left out of training, which stays the same training."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tasks.files import read_jsonl, write_jsonl
from tasks.stages.train import embedding
from tests import encoders, tiny
from tests.tasks.test_classify import TRAIN

pytestmark = pytest.mark.slow  # it trains
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of validation hold a word that no row of training does, and so does the vocabulary."""
    folder = encoders.write_prepared(tmp_path_factory.mktemp("prepared"), 48)
    rows = read_jsonl(folder / "train.jsonl")
    write_jsonl(folder / "train.jsonl", [row for row in rows if "lamp" not in json.dumps(row)])
    return folder


def bert(encoder: Path) -> torch.nn.Module:
    from transformers import AutoModel

    return AutoModel.from_pretrained(encoder, add_pooling_layer=False)


def test_it_trains_what_all_rows_train(encoder: Path, prepared: Path, tmp_path: Path, monkeypatch) -> None:
    changes = {**TRAIN, "num_train_epochs": 2}
    made = tiny.train_in(tmp_path / "narrow", encoder, prepared, **changes)
    monkeypatch.setattr(embedding, "ELEMENTWISE", ())
    whole = tiny.train_in(tmp_path / "whole", encoder, prepared, **changes)
    first, second = (load_file(found.adapter / "model.safetensors") for found in (made, whole))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-5, rtol=1e-4)
    before = load_file(encoder / "model.safetensors")[WORDS]
    is_kept = (first[WORDS] == before).all(1)
    assert torch.equal(is_kept, (second[WORDS] == before).all(1)) and 0 < int(is_kept.sum()) < len(before)
    metrics = [json.loads((found.report / "metrics.json").read_text()) for found in (made, whole)]
    assert metrics[0]["trainable_parameters"] == metrics[1]["trainable_parameters"]
    assert metrics[0]["eval_loss"] == pytest.approx(metrics[1]["eval_loss"], rel=1e-4)


def test_a_narrow_embedding_reads_as_the_whole_one_does_and_becomes_it_again(encoder: Path) -> None:
    body, ids = bert(encoder).eval(), torch.tensor([[2, 40, 7, 3], [2, 7, 3, 0]])
    before = body(input_ids=ids).last_hidden_state
    words = body.get_input_embeddings()
    embedding.narrow(body, [{"input_ids": row} for row in ids.tolist()], 0)
    narrowed = body.get_input_embeddings()
    assert narrowed.weight.shape == (5, 64) and dict(body.named_parameters())[WORDS] is narrowed.weight
    assert torch.equal(body(input_ids=ids).last_hidden_state, before)
    with pytest.raises(IndexError):
        body(input_ids=torch.tensor([[2, 41, 3]]))
    body(input_ids=ids).last_hidden_state.sum().backward()
    assert narrowed.weight.grad[0].eq(0).all()  # of the padding
    embedding.widen(body)
    assert torch.equal(body.get_input_embeddings().weight, words.weight) and type(words) is torch.nn.Embedding
    assert body.get_input_embeddings().padding_idx == words.padding_idx == 0


def test_an_embedding_that_is_frozen_or_the_head_as_well_stays_whole(encoder: Path) -> None:
    body = bert(encoder).requires_grad_(False)
    embedding.narrow(body, [{"input_ids": [2, 3]}], 0)
    assert type(body.get_input_embeddings()) is torch.nn.Embedding
    tied = bert(encoder)
    tied.lm_head = torch.nn.Linear(64, len(tied.get_input_embeddings().weight), bias=False)
    tied.lm_head.weight = tied.get_input_embeddings().weight
    embedding.narrow(tied, [{"input_ids": [2, 3]}], 0)
    assert type(tied.get_input_embeddings()) is torch.nn.Embedding
