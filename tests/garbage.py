"""Keeps what libraries have loaded away from the garbage collector, which looks through all of it at each training."""

import gc
import sys

SEVERAL = 20  # modules, before their objects are worth the look


class Freezer:
    """Hands the objects that are alive to gc.freeze() whenever more modules have been loaded.

    torch, transformers, MLflow and pytest's own items are some two million objects that stay until the end; accelerate
    calls gc.collect() at the end of each training, and that takes longer than the tiny base's training itself.
    """

    def __init__(self) -> None:
        self.modules = 0

    def freeze_what_is_loaded(self) -> None:
        """Between two tests, where only what outlives them is alive."""
        if len(sys.modules) - self.modules < SEVERAL:
            return
        gc.collect()
        gc.freeze()
        self.modules = len(sys.modules)
