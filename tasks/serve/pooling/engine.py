"""vLLM in this process, which pools and applies the heads; same interface as an objective that predicts (see
tasks/serve/transformers/reading.py).
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import objectives
from tasks.dataset.rows import Reply
from tasks.models import encoder, heads
from tasks.models.encoder import Reader
from tasks.serve.transformers.reading import ReadingModel

if TYPE_CHECKING:
    from torch import Tensor
    from vllm import LLM, PoolingParams

head: objectives.Head = "classes"
eats = frozenset({"labelled"})
in_windows = False  # a longer text is cut


@dataclass(frozen=True)
class Pooled:
    """The engine, its parameters (logits, no activation), and the classes of each column in the order of the logits."""

    llm: "LLM"
    params: "PoolingParams"
    classes: Mapping[str, Sequence[str]]


def load(folder: Path, max_model_len: int) -> ReadingModel:
    """The classifier in `folder`, see tasks/models/pooled.py; in fp32, since bf16 moves probabilities by more than
    parity allows.
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # one process, which dies whole
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; without it vLLM wants a share of all memory
    from vllm import LLM, PoolingParams

    reader = encoder.load_tokenizer(folder)
    llm = LLM(
        model=str(folder),
        runner="pooling",
        dtype="float32",
        max_model_len=min(max_model_len, reader.positions),
        enforce_eager=True,
        enable_prefix_caching=False,
        seed=0,
    )
    facts = heads.facts(folder)
    return ReadingModel(
        sys.modules[__name__], Pooled(llm, PoolingParams(use_activation=False), facts["classes"]), reader, max_model_len
    )


def of_text(reader: Reader, text: str) -> list[int]:
    """The tokens of `text`, cut to the model's positions."""
    return reader.encode(text)


def predict(model: Pooled, reader: Reader, encoded: Sequence[list[int]]) -> list[Reply]:
    """A reply to each text."""
    import torch

    from tasks.models import classifier

    prompts = [{"prompt_token_ids": ids} for ids in encoded]
    outputs = model.llm.encode(prompts, model.params, use_tqdm=False, pooling_task="embed")
    logits: Tensor = torch.stack([output.outputs.data for output in outputs]).float()
    edges = pairwise(accumulate(map(len, model.classes.values()), initial=0))
    probabilities = classifier.by_class(model.classes, [logits[:, start:end].log_softmax(-1) for start, end in edges])
    return [classifier.reply(shares, ids) for ids, shares in zip(encoded, probabilities, strict=True)]
