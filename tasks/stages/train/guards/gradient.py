"""Tuned weights that no gradient reaches: a soft prompt whose keys and values are dropped on the way, an adapter that
is not part of the pass. Such a run would end as it began, without a word.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

STEPS = 3  # of the optimizer; the first matrices of LoRA have a gradient from the second on
NO_PATH = (
    "the loss does not depend on any weight that learns: no gradient reaches the tuner's weights; use another tuner, "
    "or leave out gradient_checkpointing, in params.yaml."
)


def reached(weights: "Mapping[str, nn.Parameter]", zero_counts: bool) -> set[str]:
    """The names of those that have a gradient, not all zero unless `zero_counts`."""
    return {
        name for name, weight in weights.items() if weight.grad is not None and (zero_counts or bool(weight.grad.any()))
    }


def problem(tuned: Collection[str], seen: Collection[str]) -> tuple[str, bool] | None:
    """(words, whether that ends the training) where some of the `tuned` weights have had no gradient in STEPS."""
    missing = sorted(set(tuned) - set(seen))
    if not missing:
        return None
    if len(missing) == len(tuned):
        return f"no gradient reached any of the {len(missing)} tuned weights in the first {STEPS} steps", True
    return f"no gradient reached {len(missing)} of {len(tuned)} tuned weights, such as {missing[0]}", False
