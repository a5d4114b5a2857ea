"""Masks of dropout drop their share, keep the mean, and are found again by a training that goes on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from tasks.files import sha256
from tasks.train import dropout, post_norm
from tests import encoders, tiny
from tests.tasks.stopping import broken
from tests.tasks.test_classify import TRAIN

pytestmark = pytest.mark.slow  # it trains


@pytest.mark.parametrize("p", [0.1, 0.5, 0.003])
def test_a_mask_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    kept = dropout.mask((1000, 1001), p, torch.bfloat16)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert 1 - kept.double().mean().item() == pytest.approx(p, abs=5 * (p / 1e6) ** 0.5 + 1e-5)
    assert dropout.scale(p) == pytest.approx(1 / (1 - p), rel=1e-5)


def test_masks_follow_from_torchs_random_state_and_differ():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, second = dropout.mask((999,), 0.5, torch.float32), dropout.mask((999,), 0.5, torch.float32)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(dropout.mask((999,), 0.5, torch.float32), first)


def test_every_plain_dropout_of_a_body_is_quickened_and_silent_in_evaluation():
    model = BertModel(BertConfig(vocab_size=60, hidden_size=48, num_hidden_layers=1, num_attention_heads=3))
    dropout.quicken(model)
    kinds = {type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert kinds == {dropout.Dropout} and model.embeddings.dropout.p == 0.1
    x = torch.ones(4, 500)
    assert torch.equal(model.eval().embeddings.dropout(x), x)
    assert model.train().embeddings.dropout(x).unique().tolist() == [0.0, pytest.approx(1 / 0.9, rel=1e-4)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders.make_base(tmp_path_factory.mktemp("encoder") / "weights")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders.write_prepared(tmp_path_factory.mktemp("prepared"), 32)


CHANGES = {**TRAIN, "num_train_epochs": 4, "eval_steps": 0.125}


@pytest.mark.parametrize("is_known", [True, False], ids=["layers that are known", "others"])
def test_a_classifier_that_was_killed_ends_with_the_bytes_of_an_unbroken_training(
    is_known, encoder, prepared, tmp_path, monkeypatch
):
    shortened: list[int] = []

    def shorten(body: Any) -> int:
        shortened.append(whole(body) if is_known else 0)
        return shortened[-1]

    whole = post_norm.shorten
    monkeypatch.setattr(post_norm, "shorten", shorten)
    unbroken = tiny.train_in(tmp_path / "whole", encoder, prepared, **CHANGES)
    broken(tmp_path / "broken", encoder, prepared, 3, **CHANGES)
    made = tiny.train_in(tmp_path / "broken", encoder, prepared, **CHANGES)
    assert sha256(made.adapter) == sha256(unbroken.adapter)
    assert shortened == [2 * is_known] * 3
