"""Assigns each row to a split, or drops it with a reason; judged on what the person wrote, not on the template."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.dataset.rows import Prepared, prompt
from tasks.stages.prepare import shapes
from tasks.stages.prepare.labels import answers, asked_columns, label_columns
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import Fault, Templates, duplicate_key, user_text
from tasks.stages.prepare.split import split
from tasks.texts import template
from tasks.texts.clean import clean, folded
from tasks.texts.duplicates import Pair, first_like, leaders

Kind = Fault | Literal["contradiction", "near_duplicate", "contamination", "broken_rule", "unseen_class"]

EXACT = ("tagged", "spans", "scored", "choice")  # examples whose answers are not comparable between similar texts


@dataclass(frozen=True)
class Placed:
    """A row and its split."""

    row: Prepared
    split: str


@dataclass(frozen=True)
class Dropped:
    """A row (its columns) that is in no split, the reason, and the id of the row that it is like, with the similarity
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

    Rows with (nearly) the same question and different labels are all dropped; of those that agree one is kept. Then
    training rows that are too similar to a held-out row are dropped.
    """
    rows = sorted(rows, key=lambda row: (prompt(row), row["answer"], row["id"]))
    form = shapes.of(params).templates(params)
    columns = asked_columns([row["row"] for row in rows], form["user"])
    context = form.get("context")  # all rows about a text are in one split, or it would leak into others
    questions = [folded(row["row"][context] if context else user_text(row, columns)) for row in rows]
    dropped = _repeated(rows, questions, params, form)
    texts = [row["row"][context] if context else prompt(row) for row in rows]
    splits = [split(text, params.seed, params.validation_share, params.test_share) for text in texts]
    left = [i for i in range(len(rows)) if i not in dropped]
    trained, held_out = [i for i in left if splits[i] == "train"], [i for i in left if splits[i] != "train"]
    trained_questions, held_out_questions = ([questions[i] for i in part] for part in (trained, held_out))
    similar = first_like(trained_questions, held_out_questions, params.contamination_similarity)
    for i, pair in zip(trained, similar, strict=True):
        if pair:
            other = held_out[pair.place]
            reason = f"too similar to {rows[other]['id']} of the {splits[other]} split"
            dropped[i] = Dropped(rows[i]["row"], "contamination", reason, rows[other]["id"], pair.similarity)
    kept = tuple(Placed(rows[i], splits[i]) for i in left if i not in dropped)
    return Assignment(kept, tuple(dropped[i] for i in sorted(dropped)))


def _repeated(rows: Sequence[Prepared], questions: list[str], params: Prepare, form: Templates) -> dict[int, Dropped]:
    """{position: the dropped row} of near-duplicates and contradictions."""
    row_answers = [answers(row, form) for row in rows]
    keys = [duplicate_key(row, question) for row, question in zip(rows, questions, strict=True)]
    is_exact = shapes.of(params).makes in EXACT
    labels = tuple(row_answers[0]) if is_exact and row_answers else label_columns(keys, row_answers)
    groups: dict[int, list[tuple[int, Pair]]] = defaultdict(list)
    for i, pair in enumerate(_leaders(keys, _context_questions(rows, form), params.near_duplicate_similarity)):
        groups[pair.place].append((i, pair))
    dropped = {}
    for leader, members in groups.items():
        values = {i: tuple(clean(row_answers[i][label]) for label in labels) for i, _ in members}
        if is_exact:
            values = {i: value if keys[i] == keys[leader] else values[leader] for i, value in values.items()}
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


def _context_questions(rows: Sequence[Prepared], form: Templates) -> list[str]:
    """The folded questions about the contexts of rows; empty for rows without context."""
    context = form.get("context")
    columns = [column for column in template.columns(form["user"]) if context and column != context]
    return [folded("\n".join(row["row"][column] for column in columns)) for row in rows]


def _leaders(texts: Sequence[str], group_keys: Sequence[str], similarity: float) -> list[Pair]:
    """The first text that each of `texts` is like (itself if there is none), among those with the same group key."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, group_key in enumerate(group_keys):
        groups[group_key].append(i)
    pairs: dict[int, Pair] = {}
    for members in groups.values():
        group = leaders([texts[i] for i in members], similarity) if len(members) > 1 else [Pair(0, 1.0)]
        pairs |= {i: pair._replace(place=members[pair.place]) for i, pair in zip(members, group, strict=True)}
    return [pairs[i] for i in range(len(texts))]


def _difference(labels: Sequence[str], values: Sequence[str], others: Sequence[str]) -> str:
    """The first label in which two rows differ, with both values."""
    triples = zip(labels, values, others, strict=True)
    return next(f"`{label}` is {a!r} here and {b!r} there" for label, a, b in triples if a != b)
