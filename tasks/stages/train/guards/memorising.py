"""Memorising: training answers that the model repeats word by word, while it does not so answer what it has not seen.

A greedy answer is the row's own if and only if, given that answer, each of its tokens is the likeliest: one forward
pass tells, without writing. Of a text without a prompt, its last LAST tokens are asked for, given all before them
(Carlini et al. 2023, arXiv:2202.07646).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from tasks.dataset.encoded import Completion, Encoded, left_padded, to_device
from tasks.stages.train.params import Guards

if TYPE_CHECKING:
    from torch import nn

ROWS = 32  # of each split
BATCH = 8
LAST = 50  # tokens
CHANCE = 0.01  # p of Fisher's exact test, one-sided


def verbatim(model: "nn.Module", pad_token_id: int, rows: Sequence[Encoded]) -> list[bool]:
    """Whether the model repeats each of up to ROWS answers, spread over `rows`."""
    import torch

    asked = _asked(rows)
    told: list[bool] = []
    device = next(model.parameters()).device
    for start in range(0, len(asked), BATCH):
        batch = to_device(left_padded(asked[start : start + BATCH], pad_token_id), device)
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "weights")}
        with torch.no_grad():
            likeliest = model(**inputs, use_cache=False).logits.argmax(-1)[:, :-1]
        right = batch["labels"][:, 1:]
        told += ((likeliest == right) | (right == -100)).all(-1).tolist()
    return told


def _asked(rows: Sequence[Encoded]) -> list[Completion]:
    """Up to ROWS examples with their prompts."""
    examples: list[Completion] = []
    for row in rows:
        for example in cast("dict[str, list[Completion]]", row).get("examples", [cast(Completion, row)]):
            length = len(example["input_ids"])
            if example["prompt_length"] == 1 and length < 2 * LAST:
                continue  # a text that is too short to ask for its end
            if example["prompt_length"] == 1:
                asked: Completion = {
                    "id": example["id"],
                    "input_ids": example["input_ids"],
                    "prompt_length": length - LAST,
                }
                examples.append(asked)
            else:
                examples.append(example)
    between = max(1, len(examples) / ROWS)
    return [examples[int(place * between)] for place in range(min(ROWS, len(examples)))]


def problem(guards: Guards, learnt: Sequence[bool], others: Sequence[bool]) -> str | None:
    """The share of `learnt` answers that are repeated exceeds that of `others` by `memorised` or more, and not by
    chance.
    """
    from scipy.stats import fisher_exact

    if guards.memorised is None or not learnt or not others:
        return None
    shares = [sum(told) / len(told) for told in (learnt, others)]
    if shares[0] - shares[1] < guards.memorised:
        return None
    table = [[sum(told), len(told) - sum(told)] for told in (learnt, others)]
    if fisher_exact(table, alternative="greater").pvalue > CHANCE:
        return None
    return (
        f"memorising: {shares[0]:.0%} of {len(learnt)} training answers are repeated word by word, and {shares[1]:.0%} "
        f"of {len(others)} validation answers; fewer num_train_epochs, a lower rank or more rows leave it less room"
    )
