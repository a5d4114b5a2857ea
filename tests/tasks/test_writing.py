"""Answers and likelihoods that come from one reading are those of plain `generate` and of a plain forward pass:
whatever the lengths, the batch size, the model and the tuner, and whoever ends first. In fp32, where no tie is tipped.
"""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.dialogues.chat import encode, encode_question, load_tokenizer
from tasks.inference import answers, batches, shared_cache
from tasks.inference.answers import Answers, answer
from tasks.inference.decoding import make_greedy
from tasks.weights.tuned import load
from tests import tiny

pytestmark = pytest.mark.slow  # torch is loaded

LIMIT = 24  # tokens


@pytest.fixture(scope="module")
def tuned(base, trained) -> Any:
    return load(base, trained.adapter).float()


def rows_of(lengths: list[int]) -> list[dict]:
    """Rows whose questions have so many lines more than the shortest."""
    rows = tiny.prepared_rows(0, len(lengths))
    for row, length in zip(rows, lengths, strict=True):
        row["messages"][-1]["content"] += "\nSize: the same as ever" * length
    return rows


def by_generate(model: Any, tokenizer: Any, row: dict, limit: int = LIMIT) -> tuple[list[int], float]:
    """transformers' own answer to one row alone, and the nll of one forward pass over it."""
    prompt, ids = encode_question(tokenizer, row), encode(tokenizer, row)["input_ids"]
    start = encode(tokenizer, row)["prompt_length"]
    with torch.inference_mode():
        inputs = {"input_ids": torch.tensor([prompt]), "attention_mask": torch.ones(1, len(prompt), dtype=torch.long)}
        made = model.generate(**inputs, max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        told = model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1].log_softmax(-1)
    nll = -told.gather(-1, torch.tensor(ids[start:])[:, None]).sum().item()
    return made[0, len(prompt) :].tolist(), nll


def check(model: Any, tokenizer: Any, rows: list[dict], answered: Answers, limit: int = LIMIT) -> None:
    for row, prediction in zip(rows, answered.predictions, strict=True):
        tokens, nll = by_generate(model, tokenizer, row, limit)
        finished = tokens[-1] == tokenizer.eos_token_id
        assert prediction["token_ids"] == (tokens[:-1] if finished else tokens)
        assert prediction["finished"] == finished
        assert prediction["nll"] == pytest.approx(nll, rel=1e-4, abs=1e-4)
        encoded = encode(tokenizer, row)
        assert prediction["tokens"] == len(encoded["input_ids"]) - encoded["prompt_length"]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=7), size=st.integers(1, 8), read=st.integers(1, 600))
def test_each_row_is_answered_as_alone_whatever_the_lengths_and_batches(tuned, tokenizer, lengths, size, read):
    rows = rows_of(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "READ_AT_ONCE", read)
        assert answers.fits_one_pass(tuned, rows)
        check(tuned, tokenizer, rows, answer(tuned, tokenizer, rows, size, LIMIT, "tuned"))


def test_an_answer_longer_than_a_step_of_the_cache_and_rows_that_leave_on_the_way(base, trained, tokenizer):
    model, rows = load(base, trained.adapter).float(), rows_of([0, 3, 1, 2, 0, 1])
    parent = answers.load_body(base).float()  # never ends
    limit = shared_cache.STEP * 2 + 5
    check(model, tokenizer, rows, answer(model, tokenizer, rows, 6, limit, "tuned"), limit)
    check(parent, tokenizer, rows[:3], answer(parent, tokenizer, rows[:3], 6, limit, "parent"), limit)


@pytest.mark.parametrize(
    "tuner",
    [
        {"kind": "bottleneck", "size": 8},
        {"kind": "ia3"},
        {"kind": "full"},
        {"kind": "lora", "use_dora": True},
        {"kind": "lora", "init_lora_weights": "pissa"},
    ],
    ids=lambda tuner: "-".join(map(str, tuner.values())),
)
def test_whatever_the_tuner(base, tokenizer, tuner):
    from tasks.stages.train.fit import make_model
    from tasks.stages.train.params import Train

    torch.manual_seed(1)
    model = make_model(Train(**{**tiny.TRAIN, "tuner": tuner, "bf16": False}), base, None).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    rows = rows_of([0, 2, 1])
    assert answers.fits_one_pass(model, rows)
    check(model, tokenizer, rows, answer(model, tokenizer, rows, 4, LIMIT, "tuned"))


@pytest.mark.parametrize("kind", [*sorted(shared_cache.PLAIN), "gpt_neox", "gemma", "cohere"])
def test_whatever_the_model(base, tokenizer, kind):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(2)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.2,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config.sliding_window = None
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    make_greedy(model)
    rows = rows_of([0, 2, 1])
    assert answers.fits_one_pass(model, rows)
    check(model, tokenizer, rows, answer(model, tokenizer, rows, 4, LIMIT, kind))
    assert model.config._attn_implementation == "eager"


def test_a_model_that_does_not_read_all_that_stands_before_is_asked_in_its_own_way(tokenizer):
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": len(tokenizer)}
    for kind, more in (("mistral", {"sliding_window": 8, "num_key_value_heads": 1}), ("bloom", {})):
        config = AutoConfig.for_model(kind, intermediate_size=64, **sizes, **more)
        assert not shared_cache.fits(AutoModelForCausalLM.from_config(config))


def test_what_all_prompts_begin_with_is_read_once_and_no_row_more_than_once(base, monkeypatch):
    model, tokenizer, rows = answers.load_body(base).float(), load_tokenizer(base), rows_of([0, 0, 0])
    read = []
    forward = type(model).forward

    def counting(self: Any, input_ids: torch.Tensor, **rest: Any) -> Any:
        read.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **rest)

    counting.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(type(model), "forward", counting)
    answer(model, tokenizer, rows, 4, 3, "parent")
    prefix, forward_pass, *steps = read
    longest = max(len(encode(tokenizer, row)["input_ids"]) for row in rows)
    assert prefix[0] == 1 and prefix[1] > 10 and forward_pass == (3, longest - prefix[1])
    assert steps == [(3, 1)] * 2
