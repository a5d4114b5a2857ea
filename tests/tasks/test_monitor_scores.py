"""Scores: what they are made of is not among what they are ranked in, odd texts have none, and two samples of one
source look the same.
"""

import random
from pathlib import Path

import numpy as np
import pytest

from tasks.monitor import texts
from tasks.monitor.embedding import cached_embed, novelty
from tasks.monitor.martingale import BINS
from tasks.monitor.mmd import mmd
from tasks.monitor.reference import read_reference
from tasks.monitor.scores import Scores
from tasks.monitor.streams import edges, fit_rows
from tests.tasks.monitored import ticket, vectors, version


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    """The score functions of the small world's version."""
    return Scores(read_reference(Path(version(tmp_path).folder)), vectors)


def test_what_is_fitted_on_is_never_in_the_pool(scores: Scores) -> None:
    held, fitted = scores.held_out(), {row["id"] for row in scores.fit}
    assert len(held) + len(fitted) == 300 and all(row["split"] == "train" for row in scores.fit)
    assert sum(scores.common["kind"].values()) == len(
        fitted
    )  # classes are counted on the fitted half only: the pool must know no more than a new request
    assert scores.pool()[scores.names.index("length")].sum() == len(held)


def test_labels_of_the_pool_do_not_move_the_scores(tmp_path: Path) -> None:
    """The planted defect was real: ranks of classes that were counted over all rows made the pool look better than
    any new request.
    """
    reference = read_reference(Path(version(tmp_path).folder))
    before = Scores(reference, vectors)
    fitted = {row["id"] for row in fit_rows(reference.rows)}
    for row in reference.rows:
        if row["id"] not in fitted:
            row["answer"]["kind"] = "bill"
    after = Scores(reference, vectors)
    assert after.common == before.common and after.streams == before.streams


def test_pool_and_new_requests_of_one_source_are_alike(scores: Scores) -> None:
    dice = random.Random(9)
    inputs = [{"text": ticket(dice)["text"]} for _ in range(400)]
    bins, pool = scores.of_inputs(inputs, vectors(scores.request_texts(inputs))), scores.pool()
    for name in ("length", "spelling", "novelty"):
        place = scores.names.index(name)
        new = np.bincount(bins[:, place], minlength=BINS).cumsum() / 400
        assert np.abs(new - pool[place].cumsum() / pool[place].sum()).max() < 0.14, name


def test_edges_leave_room_for_what_has_never_been_seen() -> None:
    for values in ([0.0] * 50, [1.0, 2.0, 3.0], [None, 5.0], []):
        found = edges(values)
        known = [value for value in values if value is not None] or [0.0]
        assert len(found) < BINS and (np.diff(found) > 0).all()
        assert np.searchsorted(found, max(known) + 0.5, side="right") > np.searchsorted(found, max(known), side="right")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"text": "a"}, "a"),
        ({}, ""),
        ({"text": None}, ""),
        ({"messages": [{"role": "user", "content": "b"}]}, "b"),
        ({"messages": ["x", {"role": "user"}]}, ""),
        ({"messages": [{"role": "user", "content": ["b", {"type": "text", "text": "c"}]}]}, "b\nc"),
    ],
)
def test_every_logged_input_has_a_text(given: dict, text: str) -> None:
    assert texts.Question("{{ text }}").text(given) == text


@pytest.mark.parametrize("text", ["", "12 345 !!", "\u2003"])
def test_a_text_without_words_has_no_share_of_new_ones(text: str) -> None:
    assert texts.new_words(text, frozenset()) is None
    assert texts.Spelling(["some words"]).surprise(text) in (
        None,
        pytest.approx(texts.Spelling(["some words"]).surprise(text)),
    )


def test_refusals_are_known_by_their_phrases() -> None:
    assert texts.is_refusal("I'm sorry, but I cannot help with that.") and not texts.is_refusal(
        "We cannot deliver today; a new lamp is on its way."
    )


def test_a_text_is_embedded_once_and_the_reference_once_for_all_checks(tmp_path: Path) -> None:
    asked: list[str] = []

    def counting(wanted: list[str]) -> np.ndarray:
        asked.extend(wanted)
        return vectors(wanted)

    for _ in range(2):
        cached_embed(counting, [{"text": "a b"}, {"text": "c"}], "{{ text }}", tmp_path / "vectors")(
            ["a b", "new", "new"]
        )
    assert asked == ["a b", "c", "new", "new"]


def test_novelty_leaves_a_point_itself_out() -> None:
    points = vectors(["lamp on", "lamp off", "box wet"])
    assert novelty(points, points).min() < novelty(points, points, leave_out_self=True).min()


def test_mmd_is_uniform_without_and_small_with_a_difference() -> None:
    chance = np.random.default_rng(0)
    same = [mmd(*chance.normal(size=(2, 40, 4)), 99, seed)[1] for seed in range(60)]
    assert 0.3 < np.mean(same) < 0.7 and np.mean(np.array(same) <= 0.1) < 0.25
    assert mmd(chance.normal(size=(40, 4)), chance.normal(1, 1, size=(40, 4)), 99)[1] == 0.01
