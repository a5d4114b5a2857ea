"""Runs several tasks at once on a CPU, each on its share of the cores."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 4  # at once, since each holds memory of its own


def several_at_once(work: Callable[[Item], Result], items: Sequence[Item], device: str = "cpu") -> list[Result]:
    """The results of `work`, in the order of `items`: on a CPU in threads that share the cores, else one by one.

    Products of a small model do not parallelise well: two at once on a core each take 0.7 of the time of one after the
    other on both cores (docs/log.md). Python's lock is released during each.
    """
    import torch

    cores = torch.get_num_threads()
    workers = min(cores, len(items), MOST) if device == "cpu" else 1
    if workers < 2:
        return [work(item) for item in items]
    torch.set_num_threads(cores // workers)
    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(cores)
