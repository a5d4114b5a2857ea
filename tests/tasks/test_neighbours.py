"""Nearest neighbours: who they are, what they tell of a label, and how many are asked."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tasks.comparison.further.neighbours import KS, choose, nearest, vote


def test_the_nearest_are_by_cosine_and_of_equals_the_earlier_comes_first() -> None:
    known = np.array([[0.0, 2.0], [1.0, 0.0], [5.0, 0.0], [1.0, 1.0]])
    assert nearest(known, np.array([[3.0, 0.0], [0.0, 1.0]]), 3).tolist() == [[1, 2, 3], [0, 3, 1]]
    assert nearest(known, known, 9, are_same=True).tolist() == [[3, 1, 2], [2, 3, 0], [1, 3, 0], [0, 1, 2]]
    assert nearest(known, np.empty((0, 2)), 3).shape == (0, 3)


@pytest.mark.parametrize("seed", range(3))
def test_votes_are_those_of_scikit_learn_where_there_are_no_ties(seed: int) -> None:
    chance = np.random.default_rng(seed)
    known, asked = chance.normal(size=(700, 8)), chance.normal(size=(600, 8))  # more than are compared at once
    labels = np.array(["a", "b"])[(known[:, 0] + 0.5 * chance.normal(size=700) > 0).astype(int)]
    near = nearest(known, asked, KS[-1])
    for k in KS:  # odd, and of two classes
        theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(known, labels).predict(asked)
        ours = [next(iter(vote([labels[place] for place in places[:k]]))) for places in near]
        assert ours == theirs.tolist()


def test_of_equally_many_the_nearer_wins() -> None:
    assert vote(["b", "a", "a", "b", "c"]) == {"b": 0.4, "a": 0.4, "c": 0.2}
    assert next(iter(vote(["b", "a", "a", "b", "c"]))) == "b" and next(iter(vote(["c", "a", "b"]))) == "c"
    assert next(iter(vote(["b", "a", "a"]))) == "a"


def planted(noisy: int) -> tuple[list[list[int]], dict[str, list[str]]]:
    """The neighbours of 60 rows on two arcs, of each of which `noisy` rows far from one another have a wrong label."""
    turns = np.concatenate([np.linspace(0, 1, 30), np.linspace(2, 3, 30)])
    labels = ["a"] * 30 + ["b"] * 30
    for place in [arc + 3 + 8 * number for arc in (0, 30) for number in range(noisy)]:
        labels[place] = "b" if labels[place] == "a" else "a"
    rows = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return nearest(rows, rows, KS[-1], are_same=True).tolist(), {"side": labels}


def test_k_is_the_smallest_of_those_that_tell_the_training_rows_best() -> None:
    k, shares = choose(*planted(noisy=0))
    assert k == 1 and shares == dict.fromkeys(KS, 1.0)
    k, shares = choose(*planted(noisy=3))
    assert k == 3 and shares[3] == pytest.approx(54 / 60) and shares[1] < shares[3]  # the noisy rows alone are wrong
    assert choose(*planted(noisy=3)) == (k, shares)


def test_of_few_rows_no_more_are_asked_than_there_are() -> None:
    rows = np.eye(4)
    assert list(choose(nearest(rows, rows, 15, are_same=True).tolist(), {"side": list("aabb")})[1]) == [1, 3]
    assert choose(nearest(rows[:1], rows[:1], 15, are_same=True).tolist(), {"side": ["a"]}) == (1, {})
