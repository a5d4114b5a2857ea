"""A forward and a backward pass over some rows that leave no trace: weights, gradients, buffers and random states are
as they were, so that a training ends in the same bytes with it and without it.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch

from tasks.dataset.encoded import Encoded
from tasks.plan import memory

if TYPE_CHECKING:
    from tasks.stages.train.checkpoints import LearntWeights


class Cost(NamedTuple):
    """What a batch took."""

    seconds: float
    peak: int  # bytes that the process took at most


def rehearse(trainer: "LearntWeights", rows: Sequence[Encoded]) -> Cost:
    """Learn from `rows` as one batch, without a step; MemoryError, or torch's own, where they do not fit."""
    with _without_a_trace(trainer):
        memory.forget_peak()
        start = time.perf_counter()
        loss = trainer.rehearsed(rows)
        if loss.requires_grad:  # if it does not, the guard of gradients says why
            loss.backward()
        if loss.device.type == "cuda":
            torch.cuda.synchronize()
        return Cost(time.perf_counter() - start, memory.peak())


def rehearse_writing(trainer: "LearntWeights", rows: Sequence[Encoded]) -> Cost:
    """Take the memory in which `trainer` writes an answer to each of `rows`, each as long as it may be."""
    with _without_a_trace(trainer):
        memory.forget_peak()
        start = time.perf_counter()
        trainer.rehearse_writing(rows)
        return Cost(time.perf_counter() - start, memory.peak())


@contextmanager
def _without_a_trace(trainer: "LearntWeights") -> Iterator[None]:
    model, was_training = trainer.model, trainer.model.training
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]  # running means, for example
    with random_states():
        if trainer.args.gradient_checkpointing:  # as a training begins
            model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
        model.train()
        try:
            yield
        finally:
            model.train(was_training)
            model.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)


@contextmanager
def random_states() -> Iterator[None]:
    """Restore the random states of Python, NumPy and torch, on every device."""
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
