"""Texts that are found alike are really that alike, and texts that are equal are always found."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.texts.duplicates import shingles, similar_pairs
from tests.examples import examples
from tests.tasks.preparing import jaccard

WORDS = "amber boat cedar dusk ember frost grove heron".split()
short = st.lists(st.sampled_from(WORDS), min_size=3, max_size=8).map(" ".join)


@examples(50)
@given(st.lists(short, max_size=6), st.lists(short, max_size=6), st.sampled_from([0.3, 0.6, 0.9, 1.0]))
def test_pairs_that_are_found_are_really_that_alike_and_equal_texts_are_always_found(texts, others, threshold):
    found = list(similar_pairs(texts, others, threshold))
    assert found == list(similar_pairs(texts, others, threshold))
    assert all(jaccard(shingles(texts[i]), shingles(others[j])) >= threshold for i, j in found)
    assert {(i, j) for i, text in enumerate(texts) for j, other in enumerate(others) if text == other} <= set(found)
