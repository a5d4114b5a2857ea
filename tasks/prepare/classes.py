"""The classes of labelled rows: their shares in training, and held-out rows of a class, or with an entity of a label,
that training never saw.
"""

from collections import Counter
from collections.abc import Sequence

from tasks.entities import spans
from tasks.prepare.assign import Dropped, Placed


def shares(kept: Sequence[Placed], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """{label: {class: its share of the training rows}}, by the alphabet."""
    rows = [placed.row["row"] for placed in kept if placed.split == "train"]
    counts = {label: Counter(row[label] for row in rows) for label in labels}
    return {label: {name: count[name] / len(rows) for name in sorted(count)} for label, count in counts.items()}


def known(kept: Sequence[Placed], labels: Sequence[str]) -> tuple[list[Placed], list[Dropped]]:
    """(rows whose classes all occur in training, the others with the reason)."""
    of_training = shares(kept, labels)
    left, dropped = [], []
    for placed in kept:
        row = placed.row["row"]
        strange = next((label for label in labels if row[label] not in of_training[label]), None)
        if strange is None:
            left.append(placed)
        else:
            words = f"`{strange}` is {row[strange]!r} in the {placed.split} split and in no row of training"
            dropped.append(Dropped(row, "unseen_class", words))
    return left, dropped


def marked(kept: Sequence[Placed]) -> tuple[list[Placed], list[Dropped]]:
    """(rows whose labels of entities all occur in training, the others with the reason)."""
    every = [{entity.label for entity in spans(placed.row["answer"])} for placed in kept]
    of_training = set().union(*(labels for labels, placed in zip(every, kept, strict=True) if placed.split == "train"))
    left, dropped = [], []
    for placed, labels in zip(kept, every, strict=True):
        if strange := sorted(labels - of_training):
            words = f"an entity is {strange[0]!r} in the {placed.split} split and in no row of training"
            dropped.append(Dropped(placed.row["row"], "unseen_class", words))
        else:
            left.append(placed)
    return left, dropped
