"""What is trained on is the answer and the end of turn, padding never is, and a template that says otherwise is
refused.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.encoded import left_padded, shared_prefix
from tasks.dialogues.chat import check_template, encode, encode_prompt, load_tokenizer
from tasks.errors import AnnealError
from tests import tiny


def row(answer: str, user: str = "a red apple") -> dict:
    return {
        "id": "1",
        "messages": [{"role": "system", "content": "Sort it."}, {"role": "user", "content": user}],
        "answer": answer,
        "row": {},
    }


def with_template(base: Any, old: str, new: str) -> Any:
    tokenizer = load_tokenizer(base)
    assert old in tokenizer.chat_template
    tokenizer.chat_template = tokenizer.chat_template.replace(old, new)
    return tokenizer


def covers_the_answers(rows: list[dict], labels: Any) -> bool:
    """Whether the labels that are not -100 are each row's answer and its end of turn, and nothing else."""
    return [[token for token in line if token != -100] for line in labels.tolist()] == [
        row["input_ids"][row["prompt_length"] :] for row in rows
    ]


@given(answer=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_labels_cover_exactly_the_answer_and_the_end_of_turn(tokenizer, answer):
    encoded = encode(tokenizer, row(answer))
    read, said = encoded["input_ids"][: encoded["prompt_length"]], encoded["input_ids"][encoded["prompt_length"] :]
    assert tokenizer.decode(said) == answer + tiny.END
    assert tokenizer.decode(read).endswith("a red apple<|im_end|>\n<|im_start|>assistant\n")
    assert said.count(tokenizer.eos_token_id) == 1


def test_padding_is_never_trained_on_although_pad_is_the_end_of_turn(tokenizer):
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    rows = [
        encode(tokenizer, row("red")),
        encode(tokenizer, row("blue, and it goes on the cold shelf", "a blue boat that is big")),
    ]
    batch = left_padded(rows, tokenizer.pad_token_id)
    assert covers_the_answers(rows, batch["labels"])
    assert (
        batch["labels"][:, -1].tolist() == [tokenizer.eos_token_id] * 2
    )  # the end of turn is trained on, in every row
    for i, encoded in enumerate(rows):
        assert batch["input_ids"][i][batch["attention_mask"][i] == 1].tolist() == encoded["input_ids"]
        assert batch["position_ids"][i][batch["attention_mask"][i] == 1].tolist() == list(
            range(len(encoded["input_ids"]))
        )


def test_logits_are_kept_for_the_longest_answer_and_the_token_before_it(tokenizer):
    rows = [encode(tokenizer, row("red")), encode(tokenizer, row("a longer answer, in many tokens"))]
    batch = left_padded(rows, tokenizer.pad_token_id)
    assert (
        batch["logits_to_keep"]
        == batch["labels"].shape[1]
        == max(len(row["input_ids"]) - row["prompt_length"] for row in rows) + 1
    )
    assert (batch["labels"][:, 0] == -100).all()  # nothing predicts the first kept token


def test_a_batch_without_the_prefix_is_the_whole_batch_less_its_first_tokens(tokenizer):
    import torch

    rows = [encode(tokenizer, row("red")), encode(tokenizer, row("orange and warm", "an orange lamp"))]
    prefix = shared_prefix(rows)
    whole, short = left_padded(rows, tokenizer.pad_token_id), left_padded(rows, tokenizer.pad_token_id, len(prefix))
    assert len(prefix) > 5 and short["input_ids"].shape[1] == whole["input_ids"].shape[1] - len(prefix)
    assert torch.equal(short["labels"], whole["labels"]) and short["logits_to_keep"] == whole["logits_to_keep"]
    assert short["attention_mask"].shape == whole["attention_mask"].shape
    assert (
        short["attention_mask"][:, : len(prefix)] == 1
    ).all()  # the prefix is read by every row; padding comes after it
    for i, encoded in enumerate(rows):
        real = short["attention_mask"][i, len(prefix) :] == 1
        assert short["input_ids"][i][real].tolist() == encoded["input_ids"][len(prefix) :]
        assert short["position_ids"][i][real].tolist() == list(range(len(prefix), len(encoded["input_ids"])))


def test_the_template_that_fits_is_accepted(tokenizer):
    for answer in ("red", " red ", '{"colour": "red"}', "red\n"):
        check_template(tokenizer, row(answer))


CONTENT = "message['content']"
DEFECTS = {
    "trims the answer": (CONTENT, "(message['content'] | trim)", " red "),
    "uppercases the answer": (
        CONTENT,
        "(message['content'] | upper if message['role'] == 'assistant' else message['content'])",
        "red",
    ),
    "leaves the answer out": (CONTENT, "('' if message['role'] == 'assistant' else message['content'])", "red"),
    "ends turns with another token": ("<|im_end|>", "<|endoftext|>", "red"),
    "ends turns with no token": ("'<|im_end|>' + ", "", "red"),
    "asks with other words than it answers with": ("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>", "red"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_template_is_refused_that(base, defect):
    old, new, answer = DEFECTS[defect]
    with pytest.raises(
        AnnealError, match=r"chat template does not fit: at token \d+ .*chat_template.jinja or eos_token"
    ):
        check_template(with_template(base, old, new), row(answer))


def test_an_end_of_turn_other_than_the_templates_is_refused(base):
    tokenizer = load_tokenizer(base)
    tokenizer.eos_token = "<|endoftext|>"
    with pytest.raises(AnnealError, match="does not fit"):
        check_template(tokenizer, row("red"))


def test_a_tokenizer_without_a_template_is_refused(base, tmp_path):
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(AnnealError, match="without a chat template"):
        load_tokenizer(tmp_path)


tokens = st.lists(st.integers(0, 2), max_size=6)


@given(same=tokens, rests=st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5))
def test_the_shared_prefix_is_the_longest_that_begins_every_prompt_and_is_never_a_whole_one(same, rests):
    rows = [
        {"input_ids": (prompt := [*same, *rest, 3]) + answer, "prompt_length": len(prompt)} for rest, answer in rests
    ]
    prompts, prefix = [row["input_ids"][: row["prompt_length"]] for row in rows], shared_prefix(rows)
    assert len(prefix) >= len(same)
    assert all(prompt[: len(prefix)] == prefix and len(prompt) > len(prefix) for prompt in prompts)
    longer = {tuple(prompt[: len(prefix) + 1]) for prompt in prompts}
    assert len(longer) > 1 or any(len(prompt) == len(prefix) + 1 for prompt in prompts)


def test_the_prompt_is_what_stands_before_the_answer(tokenizer):
    encoded = encode(tokenizer, row("red"))
    assert encode_prompt(tokenizer, row("red")["messages"]) == encoded["input_ids"][: encoded["prompt_length"]]
