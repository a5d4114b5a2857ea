"""Answers to one prompt as tokens, with their log-probabilities under a reference (tasks/stages/reference.py)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NotRequired

from tasks.dataset.encoded import Batch, Completion, Encoded, left_padded
from tasks.dataset.rows import Prepared, Splits
from tasks.dialogues import chat
from tasks.errors import AnnealError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase as Tokenizer


class Compared(Encoded):
    """The answers to a row. `input_ids` and `prompt_length` are those of the first or the longest, by which rows are
    grouped.
    """

    prompt_length: int
    both: tuple[Completion, ...]  # chosen and rejected; or an answer, and its mate unless it is not needed
    reference: NotRequired[list[float]]  # of each, in nats
    rating: NotRequired[bool]  # of the first
    factor: NotRequired[float]  # weight of the row in the loss


def answers(row: Prepared) -> list[str]:
    """The answers that a row compares, in the order of `both`."""
    return [row["answer"], row["rejected"] if "rejected" in row else row["mate"]]


def encode(tokenizer: "Tokenizer", row: Prepared, texts: Sequence[str]) -> list[Completion]:
    """`texts` as answers to the row, as sft encodes one; AnnealError unless all read the same prompt."""
    encoded = [chat.encode(tokenizer, _with_answer(row, text)) for text in texts]
    prompt = encoded[0]["input_ids"][: encoded[0]["prompt_length"]]
    for example in encoded:
        if example["prompt_length"] != len(prompt) or example["input_ids"][: len(prompt)] != prompt:
            raise AnnealError(
                f"row {row['id']}: the prompt is not read as the same tokens before both of its answers, so they "
                "cannot be compared; correct the chat template of the base (chat_template: chatml in its row)."
            )
    return encoded


def pair(tokenizer: "Tokenizer", row: Prepared) -> Compared:
    """The chosen and the rejected answer of a row, with its reference if it has one."""
    both = encode(tokenizer, row, answers(row))
    longer = longest(both)
    encoded: Compared = {
        "id": row["id"],
        "input_ids": longer["input_ids"],
        "prompt_length": longer["prompt_length"],
        "both": tuple(both),
    }
    return {**encoded, "reference": row["reference"]} if "reference" in row else encoded


def _with_answer(row: Prepared, text: str) -> Prepared:
    """The row with another answer; what a classifier predicts of both (tasks/stages/retest.py) stays in the prompt."""
    other: Prepared = {**row, "answer": text}
    return {**other, "rest": text.removeprefix(row["given"])} if "given" in row else other


def longest(both: Sequence[Completion]) -> Completion:
    """The one with the most tokens."""
    return max(both, key=lambda encoded: len(encoded["input_ids"]))


def arrange(encoded: Sequence[Compared], max_length: int) -> tuple[list[Compared], int]:
    """(the rows all of whose answers have at most `max_length` tokens with the prompt, the number of others)."""
    kept = [row for row in encoded if len(longest(row["both"])["input_ids"]) <= max_length]
    return kept, len(encoded) - len(kept)


def collate(rows: Sequence[Compared], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """The first answers of all rows, then the second ones; `reference` in this order."""
    import torch

    several = zip(*(row["both"] for row in rows), strict=True)
    batch = left_padded([answer for answers in several for answer in answers], pad_token_id, prefix_length)
    batch["examples"] = len(rows)
    if references := [row["reference"] for row in rows if "reference" in row]:
        batch["reference"] = torch.tensor(references).t().flatten()
    if ratings := [row["rating"] for row in rows if "rating" in row]:
        batch["ratings"] = torch.tensor(ratings)
    if factors := [row["factor"] for row in rows if "factor" in row]:
        batch["factors"] = torch.tensor(factors)
    return batch


def of_step(loss: "Tensor", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The part of a step's loss that a batch's mean `loss` is, given the examples of all its batches."""
    return loss if num_items is None else loss * batch["examples"] / num_items


def tokens_read(row: Compared) -> int:
    """The tokens that a model reads of a row: those of each answer after its prompt."""
    return sum(len(answer["input_ids"]) for answer in row["both"])


def figures(beta: float, values: "Tensor", ratios: "Tensor") -> "dict[str, Tensor]":
    """{name as in trl: value of each pair}, given those of the chosen answers, then of the rejected ones."""
    (chosen, rejected), (good, bad) = values.chunk(2), (beta * ratios).chunk(2)
    return {
        "rewards/chosen": good,
        "rewards/rejected": bad,
        "rewards/margins": good - bad,
        "rewards/accuracies": (good > bad).float(),
        "logps/chosen": chosen,
        "logps/rejected": rejected,
    }


def trained_on(encoded: Compared) -> list[bool]:
    """The answer in `input_ids`."""
    return [place >= encoded["prompt_length"] for place in range(len(encoded["input_ids"]))]


def check_references(kind: str, rows: Splits) -> None:
    """Raise AnnealError if a row has no log-probabilities of a reference."""
    for split in rows.values():
        for row in split:
            if "reference" not in row:
                raise AnnealError(
                    f"{kind} compares with a reference, and row {row['id']} has no log-probabilities of one: write "
                    "`references: {pairs_ref: {dataset: pairs, model: parent}}` with your names for the dataset and "
                    "the model's parent, and `dataset: pairs_ref` in the model."
                )


def check_ratings(rows: Mapping[str, Sequence[Prepared]]) -> None:
    """Raise AnnealError unless training rows have both ratings."""
    ratings = [row["rating"] for row in rows["train"]]
    if len(set(ratings)) < 2:
        words, other = ("good", "bad") if all(ratings) else ("bad", "good")
        raise AnnealError(
            f"all {len(ratings)} training rows are rated {words}, and kto learns what is better from both ratings: "
            f"add rows that are rated {other}."
        )
