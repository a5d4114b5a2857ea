"""Means of what an objective measures beside its loss, between two lines of the log."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Figures:
    """The values of each figure since its mean was last taken, apart for training and for validation."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, prefix: str, figures: "Mapping[str, Tensor]") -> None:
        """Keep the values of a batch: of examples, or of the batch."""
        for name, values in figures.items():
            self.values[prefix + name] += values.detach().float().tolist()

    def take(self, logs: Mapping[str, float]) -> dict[str, float]:
        """The means of those figures that belong to the loss in `logs`; they are kept no longer."""
        prefixes = [prefix for prefix in ("", "eval_") if f"{prefix}loss" in logs]
        names = [name for name in self.values if any(name.startswith("eval_") == bool(prefix) for prefix in prefixes)]
        kept = {name: self.values.pop(name) for name in names}
        return self.means({name: values for name, values in kept.items() if values})

    def means(self, values: Mapping[str, list[float]]) -> dict[str, float]:
        """The mean of each figure."""
        return {name: sum(numbers) / len(numbers) for name, numbers in values.items()}
