"""Chooses transformers or vLLM to generate a parent's answers in evaluation; for trained models
tasks/inference/engine/trained.py does so.
"""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.device import device
from tasks.errors import AnnealError
from tasks.models import architecture

if TYPE_CHECKING:
    from tasks.inference.engine.client import Vllm


def of_parent(engine: str, parent: Path) -> "Vllm | None":
    """vLLM with the weights in `parent`, by predict.engine; None for transformers. Raises AnnealError if vLLM is
    required and cannot answer.
    """
    if not uses_vllm(engine, lambda: why_not(parent)):
        return None
    from tasks.inference.engine.client import Vllm

    return Vllm(parent, parent, engine == "vllm")


def uses_vllm(engine: str, why: Callable[[], str]) -> bool:
    """Whether vLLM answers, by predict.engine; reports `why` it cannot, or raises AnnealError if it must."""
    if engine == "transformers" or (engine == "auto" and device() != "cuda"):
        return False
    if reason := why():
        if engine == "vllm":
            raise AnnealError(f"predict.engine is vllm, and {reason}: set it to auto or transformers in params.yaml.")
        print(f"answered by transformers: {reason}", file=sys.stderr, flush=True)
    return not reason


def why_not(parent: Path) -> str:
    """Why vLLM cannot answer here, or not with the weights in `parent`; empty if it can."""
    if not is_installed():
        return "vLLM is not installed here"
    kind = architecture.of_folder(parent)
    return "" if kind == "causal" else f"{parent} {architecture.IS[kind]}"


def is_installed() -> bool:
    """Whether vLLM is installed."""
    return find_spec("vllm") is not None
