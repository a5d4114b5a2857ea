"""Reports which rows were dropped, and by which threshold, in figures and words with an example pair."""

from collections import Counter
from collections.abc import Sequence

from tasks.dataset.prepared import SPLITS
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.split_or_drop import Dropped, Kind, Placed

WORDS: dict[Kind, str] = {
    "blank": "blank rows",
    "malformed": "rows that are not of their shape",
    "no_preference": "pairs of two answers that are the same",
    "contradiction": "rows that ask (nearly) the same as another and have other labels",
    "near_duplicate": "near-duplicates",
    "contamination": "training rows too similar to a held-out one",
    "unseen_class": "held-out rows of a class, or label of an entity, that no row of training has",
    "broken_rule": "rows that break a rule of the suite for prepared rows",
}
THRESHOLDS: dict[Kind, str] = {
    "contradiction": "near_duplicate_similarity",
    "near_duplicate": "near_duplicate_similarity",
    "contamination": "contamination_similarity",
}
FEWEST = 5  # held-out rows by which anything can be shown: a fair coin gives five of five to one side in 1 of 32 cases
SHOWN = 20  # contradictions in the report; dropped.jsonl has all


def figures(kept: Sequence[Placed], dropped: Sequence[Dropped], params: Prepare) -> dict[str, object]:
    """The report: counts of rows, of each split and of each kind of dropped rows with an example; contradictions."""
    counts = Counter(row.kind for row in dropped)
    pairs = [f"{row.row['id']}: {row.reason}" for row in dropped if row.kind == "contradiction"]
    return {
        "rows": len(kept) + len(dropped),
        **{name: sum(row.split == name for row in kept) for name in SPLITS},
        "dropped": len(dropped),
        "dropped_for": {kind: counts[kind] for kind in WORDS},
        "examples": {kind: _example(kind, dropped, params) for kind in WORDS if counts[kind]},
        "contradictions": pairs[:SHOWN],
    }


def sentences(dropped: Sequence[Dropped], params: Prepare) -> list[str]:
    """For each kind of dropped rows that occurs: how many, and an example with its threshold."""
    counts = Counter(row.kind for row in dropped)
    return [
        f"{counts[kind]} {words}, for example {_example(kind, dropped, params)}"
        for kind, words in WORDS.items()
        if counts[kind]
    ]


def too_few(kept: Sequence[Placed], params: Prepare) -> list[str]:
    """A sentence if too few test rows are held out to show that a model is better."""
    count = sum(placed.split == "test" for placed in kept)
    if count >= FEWEST:
        return []
    held_out = f"{count} row{'s' if count > 1 else ''} of {len(kept)} {'are' if count > 1 else 'is'}"
    return [
        f"{held_out} held out for the test, and by fewer than {FEWEST} the gate cannot show that a model is better; "
        f"add data, or raise prepare.test_share ({params.test_share:g})"
    ]


def _example(kind: Kind, dropped: Sequence[Dropped], params: Prepare) -> str:
    """The pair closest to the threshold, which shows best whether it is right."""
    row = min(
        (row for row in dropped if row.kind == kind), key=lambda row: (row.similarity is None, row.similarity or 0.0)
    )
    if row.similarity is None or kind not in THRESHOLDS:
        return f"{row.row['id']}: {row.reason}"
    key = THRESHOLDS[kind]
    similarity, threshold = f"{row.similarity:.2f}", f"prepare.{key} is {getattr(params, key)}"
    return f"{row.row['id']} and {row.like}, which are {similarity} alike ({threshold})"
