"""entity_f1: the F1 of whole entities (Tjong Kim Sang & De Meulder 2003, as seqeval counts them)."""

from collections.abc import Sequence

import numpy as np

from tasks.formats.entities import read, spans
from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import answer_text
from tasks.stages.evaluate.predictions import Prediction

PREFIXES = ("B", "I", "E", "S")
Entity = tuple[str, int, int]  # type, first and last token, or type, start and end in the text


def entity_f1(column: str) -> Measure:
    """F1 = 2 TP / (2 TP + FP + FN) of the entities of `column`, which holds their JSON (tasks/formats/entities.py) or a
    tag for each token, with blanks between them; an entity is right in type and both ends, or wrong. 0 where there is
    no entity, neither marked nor right.
    """
    return Measure(
        named(column, "entity_f1"),
        "F1",
        True,
        "score",
        lambda rows: np.array([_counts(row, column) for row in rows], float),
        of_counts,
    )


def of_counts(rows: Rows) -> float:
    """F1 of (TP, FP, FN), shape (rows, 3)."""
    hits, wrong, missed = rows.sum(axis=0)
    return float(2 * hits / (2 * hits + wrong + missed)) if hits + wrong + missed else 0.0


def entities(tags: Sequence[str]) -> frozenset[Entity]:
    """The entities of a row's tags (`B-PER I-PER O`, IOB1, IOB2 or IOBES); a tag without a prefix counts as `I-`."""
    from seqeval.metrics.sequence_labeling import get_entities

    return frozenset(get_entities([_prefixed(tag) for tag in tags]))


def _prefixed(tag: str) -> str:
    is_tag = tag == "O" or tag in PREFIXES or tag.startswith(tuple(f"{prefix}-" for prefix in PREFIXES))
    return tag if is_tag else f"I-{tag}"


def _counts(row: Prediction, column: str) -> tuple[int, int, int]:
    predicted, right = _entities(answer_text(row, column)), _entities(row.right[column])
    return len(predicted & right), len(predicted - right), len(right - predicted)


def _entities(value: str) -> frozenset[Entity]:
    if read(value) is None:
        return entities(value.split())
    return frozenset((entity.label, entity.start, entity.end) for entity in spans(value))
