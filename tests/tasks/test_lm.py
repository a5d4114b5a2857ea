"""The log-probability of an answer is that of its tokens, whatever row lies beside it."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tasks.dataset.encoded import left_padded
from tasks.models import lm

pytestmark = pytest.mark.slow  # torch is loaded

ROWS = [{"input_ids": list(range(5, 5 + size)), "prompt_length": prompt} for size, prompt in ((9, 4), (17, 15), (6, 1))]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    return LlamaForCausalLM(config).eval()


def by_hand(model: LlamaForCausalLM, row: dict) -> float:
    shares = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
    places = range(row["prompt_length"], len(row["input_ids"]))
    return sum(shares[place - 1, row["input_ids"][place]].item() for place in places)


def test_it_is_the_sum_over_the_tokens_of_the_answer(model):
    batch = left_padded(ROWS, pad_token_id=0)
    with torch.no_grad():
        sums = lm.answer_log_probabilities(model, batch)
        assert sums.tolist() == pytest.approx([by_hand(model, row) for row in ROWS], abs=1e-4)
    assert lm.answer_lengths(batch).tolist() == [5, 2, 5]
    assert batch["labels"].shape == (3, 6)  # the batch is as it was


def test_it_is_fp32_for_a_model_in_bf16(model):
    batch = left_padded(ROWS, pad_token_id=0)
    with torch.no_grad():
        sums = lm.answer_log_probabilities(model.to(torch.bfloat16), batch)
    model.float()
    assert sums.dtype == torch.float32
