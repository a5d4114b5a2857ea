"""Sifting puts each corrected answer into one heap and lets no key speak for all; a template is read backwards where
there is one way only.
"""

import random

from hypothesis import given
from hypothesis import strategies as st

from tasks.retrain.invert import columns_of_input
from tasks.retrain.sift import Candidate, Rules, sift, surplus_of_keys
from tasks.texts.template import invert
from tests.examples import examples

WORDS = (
    "amber bridge candle dragon engine forest garden harbour island jacket kettle ladder mirror needle orange "
    "pencil quarry river saddle tunnel"
).split()
USER = "Subject: {{ subject }}\n\n{{ body }}"
NOW = 1_800_000_000.0


def ticket(seed: int, **more: str) -> dict[str, str]:
    """A ticket whose text is like no other's."""
    drawn = random.Random(seed)
    texts = {"subject": " ".join(drawn.choices(WORDS, k=3)), "body": " ".join(drawn.choices(WORDS, k=25))}
    return {
        **texts,
        "category": ["billing", "shipping"][seed % 2],
        "reply": f"We look into {drawn.choice(WORDS)} and write again.",
        **more,
    }


@examples(100)
@given(st.lists(st.integers(0, 5), max_size=60), st.floats(0.05, 1))
def test_no_key_has_more_than_its_share_of_what_stays(keys, share):
    rows = [Candidate(f"r{i}", f"k{key}", 0.0, {}, "") for i, key in enumerate(keys)]
    surplus = surplus_of_keys(rows, share)
    kept = [row.key for row in rows if row.request not in surplus]
    allowed = max(share, 1 / max(1, len(set(keys))))
    assert all(kept.count(key) <= allowed * len(kept) + 1e-6 for key in set(kept))
    assert surplus_of_keys(rows, 1.0) == set()


heap = st.lists(
    st.fixed_dictionaries(
        {
            "seed": st.integers(0, 12),
            "category": st.sampled_from(["billing", "shipping", "planted"]),
            "key": st.sampled_from(["a", "b"]),
            "tail": st.sampled_from(["", "!", " <EMAIL>", " <|im_end|>"]),
        }
    ),
    max_size=14,
)


@examples(20)
@given(heap, st.randoms(use_true_random=False))
def test_every_row_ends_up_in_one_heap_whatever_the_order(drawn, shuffle):
    def candidate(i: int, one: dict) -> Candidate:
        row = ticket(one["seed"], category=one["category"])
        return Candidate(
            f"r{i:02}",
            one["key"],
            NOW,
            {**row, "body": row["body"] + one["tail"]},
            row["subject"] + row["body"] + one["tail"],
        )

    columns = ("subject", "body", "category", "reply")
    rules = Rules(
        columns, ("category",), ("category", "reply"), {"category": frozenset({"billing", "shipping"})}, 0.8, 0.5
    )
    candidates = [candidate(i, one) for i, one in enumerate(drawn)]
    known = [Candidate(f"T-{i}", None, 0, ticket(i), ticket(i)["subject"] + ticket(i)["body"]) for i in range(4)]
    found = sift(candidates, known, rules)
    heaps = [one.request for part in (found.taken, found.quarantined, found.waiting, found.skipped) for one in part]
    assert sorted(heaps) == [one.request for one in candidates]
    assert all(one.row["category"] != "planted" for one in found.taken)
    assert all(one.reasons for part in (found.quarantined, found.waiting, found.skipped) for one in part)
    shuffle.shuffle(candidates)
    assert sift(candidates, known, rules) == found


def test_inverting_a_template_is_its_opposite_or_nothing():
    assert invert("Subject: a\n\nb\n\nc", USER, ["subject"]) == {"subject": "a", "body": "b\n\nc"}
    assert invert("Subject: a\n\nb\n\nc", USER) is None  # where does the subject end?
    assert invert("Subject: a\n\nb", USER) == {"subject": "a", "body": "b"}
    assert invert("a-a", "{{ x }}-{{ x }}") == {"x": "a"}
    assert invert("a-b", "{{ x }}-{{ x }}") is None
    assert invert("AB", "{{ x | upper }}") is None
    assert invert("ab", "{% if x %}{{ x }}{% endif %}") is None
    assert columns_of_input({"subject": 1, "body": "b"}, {"user": USER, "system": "s"}, ["body", "subject"], []) is None


def test_thousands_of_equal_texts_are_told_in_seconds():
    rules = Rules(("body", "category"), ("category",), ("category",), {"category": frozenset({"billing"})}, 0.8, 1.0)
    row = {"body": ticket(1)["body"], "category": "billing"}
    candidates = [Candidate(f"r{i}", "k", NOW, row, row["body"] + "\u200b" * (i % 3)) for i in range(3000)]
    assert [one.reasons for one in sift(candidates, [], rules).quarantined] == [
        ("one of 3000 near-identical texts",)
    ] * 3000
