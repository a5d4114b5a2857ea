"""Answers are the model's own greedy ones, in the order of the rows, and their likelihoods those of a plain forward
pass.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.dialogues.chat import encode
from tasks.files import read_jsonl
from tasks.inference.batches import AT_ONCE, batches
from tasks.weights.tuned import answer, load
from tests import tiny

pytestmark = pytest.mark.slow  # torch is loaded

LIMIT = 40  # tokens; the answers have about 24


@pytest.fixture(scope="module")
def rows(prepared) -> list[dict]:
    """Test rows of different lengths, the longest in the middle."""
    found = read_jsonl(prepared / "test.jsonl")[:10]
    for i in (4, 5):
        found[i]["messages"][-1]["content"] += "\nColour: the same as ever" * i
    return found


@pytest.fixture(scope="module")
def predictions(base, trained, rows) -> list[dict]:
    return answer(base, trained.adapter, rows, 4, LIMIT, "tuned").predictions


def test_the_order_of_the_rows_is_kept(predictions, rows):
    for found, row in zip(predictions, rows, strict=True):
        assert (found["id"], found["messages"], found["answer"], found["row"]) == (
            row["id"],
            row["messages"],
            row["answer"],
            row["row"],
        )


def test_the_batch_size_changes_no_likelihood(base, trained, rows, predictions):
    alone = answer(base, trained.adapter, rows, 1, LIMIT, "tuned").predictions
    assert sum(a["text"] == b["text"] for a, b in zip(alone, predictions, strict=True)) >= 9  # bf16 may tip a tie
    for a, b in zip(alone, predictions, strict=True):
        assert a["tokens"] == b["tokens"] and a["nll"] == pytest.approx(b["nll"], rel=0.05, abs=0.05)


def test_the_likelihood_is_that_of_a_plain_forward_pass_over_the_answer(base, trained, tokenizer, rows, predictions):
    model = load(base, trained.adapter)
    for row, found in zip(rows, predictions, strict=True):
        encoded = encode(tokenizer, row)
        ids, start = encoded["input_ids"], encoded["prompt_length"]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        by_hand = -sum(logits[place - 1, ids[place]].item() for place in range(start, len(ids)))
        assert found["tokens"] == len(ids) - start
        assert found["nll"] == pytest.approx(by_hand, rel=0.05, abs=0.05)


def test_a_likelihood_that_missed_the_end_of_turn_or_counted_padding_would_be_seen(base, tokenizer, rows):
    found = answer(base, None, rows[:4], 4, 1, "parent").predictions  # an untuned model: 6 nats or more a token
    assert all(row["nll"] / row["tokens"] > 5 for row in found)
    assert {row["tokens"] for row in found} == {
        len(encode(tokenizer, row)["input_ids"]) - encode(tokenizer, row)["prompt_length"] for row in rows[:4]
    }


def test_the_text_is_what_token_by_token_argmax_gives(base, trained, tokenizer, rows, predictions):
    model, same = load(base, trained.adapter), 0
    for row, found in zip(rows[:4], predictions, strict=False):
        encoded = encode(tokenizer, row)
        ids = encoded["input_ids"][: encoded["prompt_length"]]
        with torch.inference_mode():
            while len(ids) < encoded["prompt_length"] + LIMIT and (
                not ids[encoded["prompt_length"] :] or ids[-1] != tokenizer.eos_token_id
            ):
                ids = [*ids, model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()]
        same += tokenizer.decode(ids[encoded["prompt_length"] :], skip_special_tokens=True) == found["text"]
    assert same >= 3


def test_finished_means_that_the_end_of_turn_was_seen(base, trained, tokenizer, rows, predictions):
    assert all(found["finished"] and found["text"].endswith('"}') for found in predictions[:4])
    assert all(
        tokenizer.eos_token_id not in found["token_ids"] and tiny.END not in found["text"] for found in predictions
    )
    exact = len(predictions[0]["token_ids"]) + 1  # the end of turn is one token more
    for limit, finished in ((exact, True), (exact - 1, False)):
        (found,) = answer(base, trained.adapter, rows[:1], 1, limit, "cut").predictions
        assert (found["finished"], found["token_ids"]) == (finished, predictions[0]["token_ids"])


def test_the_adapter_is_what_answers(base, rows, predictions):
    parent = answer(base, None, rows[:4], 4, LIMIT, "parent").predictions
    assert all(untuned["nll"] > 5 * tuned["nll"] for untuned, tuned in zip(parent, predictions, strict=False))


@given(st.lists(st.integers(0, 3 * AT_ONCE)), st.integers(1, 50))
def test_each_row_is_in_one_batch_that_holds_neither_too_many_rows_nor_too_many_tokens(lengths: list[int], rows: int):
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    made = [*batches(order, lengths, rows)]
    assert [place for batch in made for place in batch] == order
    for batch in made:
        tokens = len(batch) * max(lengths[place] for place in batch)
        assert 1 <= len(batch) <= rows and (len(batch) == 1 or tokens <= AT_ONCE)


def test_short_rows_fill_the_batch_that_was_asked_for():
    assert [len(batch) for batch in batches([*range(100)], [200] * 100, 48)] == [48, 48, 4]
