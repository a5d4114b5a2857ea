"""What a model drops while it is trained is what `train.dropout` says, whatever its configuration calls it."""

from typing import Any

import pytest
import torch

from tasks import objectives
from tasks.errors import ParamsError
from tasks.stages.train import dropout, fit
from tasks.stages.train.params import Train
from tests import encoders, tiny

pytestmark = pytest.mark.slow  # torch is loaded

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
DISTILLED = {"vocab_size": 64, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2, "pad_token_id": 0}
OLD = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
KINDS = {
    **dict.fromkeys(("bert", "roberta", "electra", "mpnet", "albert", "deberta-v2", "modernbert", "llama"), SMALL),
    "distilbert": DISTILLED,
    "gpt2": OLD,
}
BATCH = {"input_ids": torch.tensor([[5, 6, 7, 8]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


def is_random(model: Any) -> bool:
    """Whether two passes in training differ."""
    first, second = (model.train()(**BATCH) for _ in range(2))
    tensors = [made if torch.is_tensor(made) else made[0] for made in (first, second)]
    return not torch.equal(*tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_any_kind_drops_nothing_or_what_is_set(kind, tmp_path):
    from transformers import AutoConfig, AutoModel

    AutoModel.from_config(AutoConfig.for_model(kind, **KINDS[kind])).save_pretrained(tmp_path)
    for share in (0.0, 0.4):
        model = AutoModel.from_pretrained(tmp_path, attn_implementation="eager", **dropout.settings(share, tmp_path))
        assert is_random(model) == (share > 0)


@pytest.mark.parametrize("share", [None, 0.0])
def test_a_training_drops_what_its_base_drops_unless_it_says_another_share(share, tmp_path):
    weights = encoders.make_base(tmp_path / "weights")  # a BERT, with a tenth
    kinds = {"objective": {"kind": "classify"}, "tuner": {"kind": "full"}}
    params = Train(**kinds, bf16=False, dropout=share)  # type: ignore[arg-type]
    known = objectives.of(params.objective).processor(params.objective, weights, encoders.rows(0, 16))
    model = fit.make_model(params, weights, known)
    assert is_random(model) == (share is None)


def test_a_base_without_dropout_refuses_a_share(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    assert dropout.settings(None, tmp_path) == {}
    with pytest.raises(ParamsError, match=r"train\.dropout has no effect.*leave it out"):
        dropout.settings(0.1, tmp_path)


@pytest.mark.parametrize("share", [-0.1, 1.0, "much"])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="dropout"):
        Train(**tiny.KINDS, dropout=share)  # type: ignore[arg-type]
