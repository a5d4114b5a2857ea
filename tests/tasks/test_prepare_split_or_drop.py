"""The content of a row alone decides its split, near-duplicates leave one survivor, and nothing held out is like
anything trained on.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stages.prepare.split_or_drop import assign
from tasks.texts.duplicates import shingles
from tests.examples import examples
from tests.tasks.preparing import PARAMS, WORDS, assigned, bodies, jaccard, of_split, row

short = st.lists(st.sampled_from(WORDS), min_size=3, max_size=8).map(" ".join)


@examples(25)
@given(st.lists(short, min_size=1, max_size=8, unique=True), st.lists(short, max_size=8))
def test_rows_that_are_added_never_move_a_row_to_another_split(texts, added):
    before, _ = assigned(texts)
    after, _ = assigned(list(dict.fromkeys([*texts, *added])))
    assert all(before[text] == after[text] for text in before.keys() & after.keys())


@examples(25)
@given(st.lists(short, min_size=1, max_size=10, unique=True), st.randoms(use_true_random=False))
def test_every_row_is_kept_or_dropped_once_in_an_order_of_its_own(texts, chance):
    rows = [row(text, text) for text in texts]
    assignment = assign(rows, PARAMS)
    assert sorted([one.row["id"] for one in [*assignment.kept, *assignment.dropped]]) == sorted(texts)
    chance.shuffle(rows)
    assert assign(rows, PARAMS) == assignment


def test_near_duplicates_leave_one_survivor():
    base = "the lamp in the hall flickers every evening at about ten past nine and then goes out"
    texts = [base, base + "!", base.upper(), base.replace("ten", "six"), *bodies(10)]
    kept, dropped = assigned(texts)
    assert len(kept.keys() & set(texts[:4])) == 1 and set(bodies(10)) <= kept.keys()
    (survivor,) = kept.keys() & set(texts[:4])
    assert set(dropped.values()) == {f"near-duplicate of {survivor}"}


def test_a_row_is_dropped_only_for_one_that_stays():
    first = "the lamp in the hall flickers every evening at about ten past nine and then goes out until the morning"
    second, third = f"{first}, so I am told", f"{first}, so I am told by my aunt"
    pieces = [shingles(text) for text in (first, second, third)]
    assert jaccard(pieces[0], pieces[1]) >= 0.8 and jaccard(pieces[1], pieces[2]) >= 0.8 > jaccard(pieces[0], pieces[2])
    kept, dropped = assigned([first, second, third], PARAMS.model_copy(update={"contamination_similarity": 1.0}))
    assert kept.keys() == {first, third} and dropped == {second: f"near-duplicate of {first}"}


def test_rows_that_are_only_somewhat_alike_all_stay():
    first, second = "the lamp in the hall flickers every evening", "the lamp in the hall was delivered broken"
    assert jaccard(shingles(first), shingles(second)) < PARAMS.contamination_similarity
    assert set(assigned([first, second])[0]) == {first, second}


def alike(held_out: str) -> tuple[str, str]:
    """A text of the split `held_out` and one of training: too alike to be held out from each other, not alike enough
    to be duplicates.
    """
    base = "the lamp in the hall flickers every evening at about ten past nine and then goes out until the morning"
    one, other = of_split(held_out, base), of_split("train", base + ", which my neighbour saw too")
    assert PARAMS.contamination_similarity <= jaccard(shingles(one), shingles(other)) < PARAMS.near_duplicate_similarity
    return one, other


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_a_row_of_training_that_is_too_like_a_held_out_row_goes_and_the_held_out_row_stays(held_out):
    one, other = alike(held_out)
    kept, dropped = assigned([one, other, *bodies(10)])
    assert kept[one] == held_out
    assert dropped == {other: f"too similar to {one} of the {held_out} split"}


def test_two_rows_of_training_may_be_that_alike():
    _, other = alike("test")
    another = of_split(
        "train",
        "the lamp in the hall flickers every evening at about ten past nine and then goes out until the morning",
    )
    assert (
        PARAMS.contamination_similarity
        <= jaccard(shingles(another), shingles(other))
        < PARAMS.near_duplicate_similarity
    )
    assert assigned([another, other]) == ({another: "train", other: "train"}, {})


def test_many_planted_duplicates_are_all_found_and_nothing_else_goes():
    originals = bodies(150, seed=3)
    chance = random.Random(4)
    copies = []
    for text in originals[:100]:
        place = chance.randrange(len(text))
        copies.append(text[:place] + chance.choice("!?,x") + text[place:])
    kept, dropped = assigned([*originals, *copies])
    assert len(dropped) == 100 and len(kept) == 150
    assert set(originals[100:]) <= kept.keys()
