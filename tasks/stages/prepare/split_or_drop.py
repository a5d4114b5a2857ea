"""Assigns each row to a split, or drops it with a reason; judged on what the person wrote, not on the template."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.dataset.rows import Prepared
from tasks.stages.prepare import shapes
from tasks.stages.prepare.labels import answers, asked_columns, label_columns
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import Fault, Templates, duplicate_key, prompt, user_text
from tasks.stages.prepare.split import split
from tasks.texts import template
from tasks.texts.clean import clean, folded
from tasks.texts.duplicates import Pair, first_like, leaders

Kind = Fault | Literal["contradiction", "near_duplicate", "contamination", "broken_rule", "unseen_class"]


@dataclass(frozen=True)
class Placed:
    """A row and its split."""

    row: Prepared
    split: str


@dataclass(frozen=True)
class Dropped:
    """A row (its columns) that is in no split: why, in words, and the id of the row that it is `like`, and how much
    (0 to 1).
    """

    row: dict[str, str]
    kind: Kind
    reason: str
    like: str | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class Assignment:
    """Every row, once: kept in a split, or dropped."""

    kept: tuple[Placed, ...]
    dropped: tuple[Dropped, ...]


def assign(rows: Sequence[Prepared], params: Prepare) -> Assignment:
    """Each row with its split, in an order that does not depend on the order of the source, and the dropped ones.

    Rows that ask (nearly) the same and have other labels are all dropped; of those that agree one survives; then rows
    of training that resemble a held-out row too much go as well.
    """
    rows = sorted(rows, key=lambda row: (prompt(row), row["answer"], row["id"]))
    form = shapes.of(params).templates(params)
    columns = asked_columns([row["row"] for row in rows], form["user"])
    shared = form.get("context")  # rows of one text are in one split, or it would be known there
    asked = [folded(row["row"][shared] if shared else user_text(row, columns)) for row in rows]
    dropped = _repeated(rows, asked, params, form)
    texts = [row["row"][shared] if shared else prompt(row) for row in rows]
    splits = [split(text, params.seed, params.validation_share, params.test_share) for text in texts]
    left = [i for i in range(len(rows)) if i not in dropped]
    trained, held_out = [i for i in left if splits[i] == "train"], [i for i in left if splits[i] != "train"]
    near = first_like([asked[i] for i in trained], [asked[i] for i in held_out], params.contamination_similarity)
    for i, pair in zip(trained, near, strict=True):
        if pair:
            other = held_out[pair.place]
            reason = f"too similar to {rows[other]['id']} of the {splits[other]} split"
            dropped[i] = Dropped(rows[i]["row"], "contamination", reason, rows[other]["id"], pair.similarity)
    kept = tuple(Placed(rows[i], splits[i]) for i in left if i not in dropped)
    return Assignment(kept, tuple(dropped[i] for i in sorted(dropped)))


def _repeated(rows: Sequence[Prepared], asked: list[str], params: Prepare, form: Templates) -> dict[int, Dropped]:
    """Position: why, of the rows that ask what another asks."""
    given = [answers(row, form) for row in rows]
    repeated = [duplicate_key(row, question) for row, question in zip(rows, asked, strict=True)]
    is_of_places = shapes.of(params).makes in ("tagged", "spans", "scored")
    labels = tuple(given[0]) if is_of_places and given else label_columns(repeated, given)
    groups: dict[int, list[tuple[int, Pair]]] = defaultdict(list)
    for i, pair in enumerate(_leaders(repeated, _beside(rows, form), params.near_duplicate_similarity)):
        groups[pair.place].append((i, pair))
    dropped = {}
    for leader, members in groups.items():
        values = {i: tuple(clean(given[i][label]) for label in labels) for i, _ in members}
        if is_of_places:  # of two texts that differ, so do they
            values = {i: own if repeated[i] == repeated[leader] else values[leader] for i, own in values.items()}
        is_contradicted = len(set(values.values())) > 1
        for i, pair in members:
            if is_contradicted:
                other = leader if values[leader] != values[i] else next(j for j in values if values[j] != values[i])
                reason = (
                    f"contradicts {rows[other]['id']}, which asks (nearly) the same: "
                    f"{_difference(labels, values[i], values[other])}"
                )
                similarity = pair.similarity if other == leader else None
                dropped[i] = Dropped(rows[i]["row"], "contradiction", reason, rows[other]["id"], similarity)
            elif i != leader:
                dropped[i] = Dropped(
                    rows[i]["row"],
                    "near_duplicate",
                    f"near-duplicate of {rows[leader]['id']}",
                    rows[leader]["id"],
                    pair.similarity,
                )
    return dropped


def _beside(rows: Sequence[Prepared], form: Templates) -> list[str]:
    """What rows ask about their context, folded; the same of all where they ask about none."""
    shared = form.get("context")
    columns = [column for column in template.columns(form["user"]) if shared and column != shared]
    return [folded("\n".join(row["row"][column] for column in columns)) for row in rows]


def _leaders(texts: Sequence[str], beside: Sequence[str], similarity: float) -> list[Pair]:
    """The first text that each of `texts` is like (itself, where there is none), among those beside which the same
    stands.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, words in enumerate(beside):
        groups[words].append(i)
    pairs: dict[int, Pair] = {}
    for members in groups.values():
        of_group = leaders([texts[i] for i in members], similarity) if len(members) > 1 else [Pair(0, 1.0)]
        pairs |= {i: pair._replace(place=members[pair.place]) for i, pair in zip(members, of_group, strict=True)}
    return [pairs[i] for i in range(len(texts))]


def _difference(labels: Sequence[str], own: Sequence[str], other: Sequence[str]) -> str:
    """The first label in which two rows differ, with both values."""
    return next(
        f"`{label}` is {a!r} here and {b!r} there" for label, a, b in zip(labels, own, other, strict=True) if a != b
    )
