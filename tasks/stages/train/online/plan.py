"""Which rows are answered when, and in which order their answers are learnt: by seed and number alone, so that a run
that was killed goes on as if it had not been.
"""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Plan:
    """A run over `rows` prompts, each `epochs` times: `size` are answered at once and learnt from in `passes` passes of
    `mini_batches` steps.
    """

    rows: int
    epochs: float
    size: int
    mini_batches: int
    passes: int
    seed: int

    @property
    def rollouts(self) -> int:
        """How often answers are written; the last time as many as ever."""
        return max(1, math.ceil(self.rows * self.epochs / self.size - 1e-9))

    @property
    def steps_each(self) -> int:
        """Steps from one writing to the next."""
        return self.mini_batches * self.passes

    @property
    def steps(self) -> int:
        """Steps of the optimizer in all."""
        return self.rollouts * self.steps_each

    def between(self, share: float) -> int:
        """Steps between evaluations (and checkpoints) at each `share` of the run: whole rollouts."""
        return max(1, math.ceil(self.rollouts * share - 1e-9)) * self.steps_each

    def prompts(self, rollout: int) -> list[int]:
        """The rows that are answered: all once in random order, then all again in another."""
        places = range(rollout * self.size, (rollout + 1) * self.size)
        orders = {epoch: self._order(self.rows, epoch, 0) for epoch in {place // self.rows for place in places}}
        return [orders[place // self.rows][place % self.rows] for place in places]

    def mini_batch(self, step: int) -> list[int]:
        """The places of the answers that are learnt at a `step` of the run, counted from 0, among those of its
        rollout.
        """
        rollout, within = divmod(step, self.steps_each)
        part, count = within % self.mini_batches, self.size // self.mini_batches
        order = self._order(self.size, rollout, 1 + within // self.mini_batches)
        return order[part * count : (part + 1) * count]

    def _order(self, count: int, number: int, use: int) -> list[int]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) * 1_009 + use)
        order: list[int] = torch.randperm(count, generator=generator).tolist()
        return order
