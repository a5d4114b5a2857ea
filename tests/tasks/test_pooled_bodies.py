"""Each kind of body that we say vLLM pools with: a tiny one of it answers there as it does here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.models import pooled
from tests import encoders
from tests.tasks.test_pooled import ROOT, TEXTS, told, trained

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # the real vLLM, once for each

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
BODIES = {  # model type: transformers' config and model, and what else the config needs
    "roberta": ("RobertaConfig", "RobertaModel", {"max_position_embeddings": 66, "type_vocab_size": 1}),
    "xlm-roberta": ("XLMRobertaConfig", "XLMRobertaModel", {"max_position_embeddings": 66, "type_vocab_size": 1}),
    "modernbert": ("ModernBertConfig", "ModernBertModel", {"max_position_embeddings": 64, "local_attention": 8}),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", {"num_key_value_heads": 1, "max_position_embeddings": 64}),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {"num_key_value_heads": 1, "max_position_embeddings": 64}),
}
ASK = """
import json, sys
from pathlib import Path
from tasks.serve.pooling import engine

reads = engine.load(Path(sys.argv[1]), 64)
texts = [engine.of_text(reads.reader, text) for text in json.loads(sys.argv[2])]
print("told", json.dumps([told["probabilities"] for told in engine.predict(reads.model, reads.reader, texts)]))
"""


def make_base(model_type: str, folder: Path) -> Path:
    """A base of this type, with the tokenizer of the tiny encoder."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders.make_base(folder.with_name("bert")))
    config, model, more = BODIES[model_type]
    known = {"vocab_size": len(tokenizer), "initializer_range": 0.15, "pad_token_id": 0}
    torch.manual_seed(0)
    made = getattr(transformers, config)(**SMALL, **known, **more)
    getattr(transformers, model)(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_every_body_is_tried() -> None:
    assert {*BODIES, "bert", "llama"} == pooled.MODELS, "the last two: test_pooled.py"


@pytest.mark.parametrize("model_type", BODIES)
def test_a_body_of_this_kind_answers_as_transformers_does(model_type: str, tmp_path: Path) -> None:
    base = make_base(model_type, tmp_path / "base")
    folder, place = trained(base, tmp_path / "trained", {"kind": "full"}), tmp_path / "pooled"
    place.mkdir()
    pooled.write(base, folder, place)
    rows = [row for row in told(base, folder) if len(row["token_ids"]) <= 64]
    words = [sys.executable, "-c", ASK, str(place), json.dumps([row["messages"][0]["content"] for row in rows])]
    asked = subprocess.run(
        words, cwd=ROOT, env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}, capture_output=True, text=True
    )
    answers = [line for line in asked.stdout.splitlines() if line.startswith("told ")]
    assert answers, asked.stderr[-2000:]
    assert len(rows) >= len(TEXTS) - 1
    for row, shares in zip(rows, json.loads(answers[-1].removeprefix("told ")), strict=True):
        for column, right in row["probabilities"].items():
            assert shares[column] == pytest.approx(right, abs=1e-4), column
