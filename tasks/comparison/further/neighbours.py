"""Nearest training rows, and the number of neighbours that predicts labels best."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.comparison import linear
from tasks.comparison.further.place import Place
from tasks.dataset import answered
from tasks.dataset.rows import Prepared
from tasks.files import read_jsonl, sha256, write_json
from tasks.models import architecture, logistic
from tasks.stages.probe import user_text

FOLDER = "neighbours"
KS = (1, 3, 5, 9, 15)  # of which leave-one-out chooses
VALIDATION = 32  # rows at most on which retrieved examples are tried, spread over all
BLOCK = 512  # rows that are compared with all others at once
PLACES = 6  # of a cosine, which two machines agree on

Features = NDArray[np.floating[Any]]


def nearest(known: Features, queries: Features, count: int, are_same: bool = False) -> NDArray[np.intp]:
    """(queries, count): the places of the nearest of `known` by cosine, the nearest first, of equals the earlier.

    `are_same`: the queries are the known rows, and no row is its own neighbour.
    """
    ours, theirs = _unit(known), _unit(queries)
    most = min(count, len(ours) - are_same)
    parts: list[NDArray[np.intp]] = []
    for first in range(0, len(theirs), BLOCK):
        cosines = np.round(theirs[first : first + BLOCK] @ ours.T, PLACES)
        if are_same:
            rows = np.arange(len(cosines))
            cosines[rows, first + rows] = -np.inf
        parts.append(np.argsort(-cosines, axis=1, kind="stable")[:, :most])
    return np.concatenate(parts) if parts else np.empty((0, most), np.intp)


def vote(labels: Sequence[str]) -> dict[str, float]:
    """{class: its share} of the labels of neighbours, the nearest first; of equals the nearer's first."""
    return {name: count / len(labels) for name, count in Counter(labels).most_common()}


def choose(near: Sequence[Sequence[int]], classes: Mapping[str, Sequence[str]]) -> tuple[int, dict[int, float]]:
    """(the best k, the smallest of equals; {k: the share of labels that the k nearest predict right}), by leave-one-out
    on the training rows.
    """
    most = min((len(places) for places in near), default=0)
    shares = {k: _right(near, classes, k) for k in KS if k <= most}
    return (max(shares, key=shares.__getitem__) if shares else 1), shares


def _right(near: Sequence[Sequence[int]], classes: Mapping[str, Sequence[str]], k: int) -> float:
    hits = [
        next(iter(vote([values[other] for other in places[:k]]))) == values[row]
        for values in classes.values()
        for row, places in enumerate(near)
    ]
    return sum(hits) / len(hits)


def made_of(place: Place) -> dict[str, object]:
    """What `find` reads, by its hash."""
    files = {name: sha256(place.prepared / name) for name in ("train.jsonl", "validation.jsonl", "test.jsonl")}
    return {**files, "encoder": sha256(place.encoder)}


def known_rows(place: Place) -> list[Prepared]:
    """The training rows that are searched: all, or as many as the probe uses, evenly spaced."""
    rows: list[Prepared] = read_jsonl(place.prepared / "train.jsonl")
    return rows[:: max(1, -(-len(rows) // logistic.MOST))]


def tried_rows(place: Place) -> list[Prepared]:
    """The validation rows on which retrieved examples are tried."""
    rows: list[Prepared] = read_jsonl(place.prepared / "validation.jsonl")
    return rows[:: max(1, -(-len(rows) // VALIDATION))]


def find(place: Place, out: Path) -> None:
    """Write `out/timing.json` and `out/neighbours.json`: the places of the nearest of known_rows to each of them (among
    the others), of tried_rows and of the test rows; by the frozen embedding that the probe reads, or by TF-IDF where
    its encoder is a model that writes.
    """
    known, tried = known_rows(place), tried_rows(place)
    test: list[Prepared] = read_jsonl(place.prepared / "test.jsonl")
    ours, asked = [user_text(row) for row in known], [user_text(row) for row in [*test, *tried]]
    if architecture.of_folder(place.encoder) == "encoder":
        features: Features = linear.embeddings(place.encoder, ours)
        began = time.monotonic()
        theirs: Features = linear.embeddings(place.encoder, asked)
    else:
        features, theirs = linear.features(ours, asked, None)
        began = time.monotonic()
    near = nearest(features, theirs, KS[-1]).tolist()
    seconds = (time.monotonic() - began) / len(asked)
    among = nearest(features, features, KS[-1], are_same=True).tolist()
    nearest_of = {"train": among, "validation": near[len(test) :], "test": near[: len(test)]}
    write_json(out / "neighbours.json", nearest_of)
    write_json(out / answered.TIMING, {"seconds_per_answer": seconds})


def _unit(rows: Features) -> Features:
    unit: Features = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)
    return unit
