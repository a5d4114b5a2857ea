"""Chooses transformers or vLLM to generate a trained model's answers: vLLM with an adapter where it loads one, or
with the model's own weights where they were fully trained or can be merged.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import objectives, tuners
from tasks.errors import AnnealError
from tasks.inference.engine import lifetime
from tasks.inference.engine.choice import uses_vllm, why_not
from tasks.inference.engine.wire import key
from tasks.section import Section
from tasks.weights import tuned

if TYPE_CHECKING:
    from torch import nn

    from tasks.inference.engine.client import Vllm

MERGED = "merged-"  # and the process that made it: a folder of lifetime.FOLDER


def of_trained(engine: str, parent: Path, trained: Path) -> "Vllm | None":
    """vLLM with what was `trained` on `parent`, by predict.engine; None for transformers, and for models that
    do not generate text. Raises AnnealError if vLLM is required and cannot answer.
    """
    settings, head = tuners.settings_of(trained), objectives.head_of(trained)
    if engine != "vllm" and head not in objectives.WRITES:
        return None
    if not uses_vllm(engine, lambda: why_never(settings, head) or why_not(parent)):
        return None
    from tasks.inference.engine.client import Adapter, Vllm

    reader = tuned.tokenizer_folder(parent, trained)
    if tuners.is_hot(trained):
        adapter = Adapter(trained, _name(trained), getattr(settings, "saved_rank", 0))
        return Vllm(parent, reader, engine == "vllm", adapter)

    def weights(model: "nn.Module") -> AbstractContextManager[Path]:
        whole = (trained / "config.json").exists()
        return nullcontext(trained) if whole else _merged(model, parent, trained)

    return Vllm(parent, reader, engine == "vllm", weights=weights)


def why_never(settings: Section, head: objectives.Head) -> str:
    """Why vLLM can never run what these settings of a tuner train under such a head, in a clause; empty if it can."""
    if head == "seq2seq":
        return "the model has an encoder beside what writes"
    if head != "lm":
        return "the model reads and does not write"
    tuner = tuners.of(settings)
    if not tuner.hot(settings) and not tuner.mergeable:
        return f"vLLM does not load what tuner.kind {getattr(settings, 'kind', '')} trains, which cannot be merged"
    return ""


def _name(adapter: Path) -> str:
    """A name for an adapter, which another one in the same folder does not get."""
    return hashlib.sha256(f"{adapter} {key(adapter, 'adapter_*')}".encode()).hexdigest()[:16]


@contextmanager
def _merged(model: "nn.Module", parent: Path, trained: Path) -> Iterator[Path]:
    """A temporary folder with the merged weights of the loaded `model`."""
    import psutil

    try:
        merged: nn.Module = tuners.of_folder(trained).merge(model)
    except ValueError as error:  # a weight that is not finite
        raise AnnealError(f"{trained} cannot be merged into {parent} ({error}): train again.") from None
    for folder in lifetime.FOLDER.glob(f"{MERGED}*"):  # left by killed processes
        if not psutil.pid_exists(int(folder.name.removeprefix(MERGED))):
            shutil.rmtree(folder, ignore_errors=True)
    folder = lifetime.FOLDER / f"{MERGED}{os.getpid()}"
    try:
        merged.save_pretrained(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
