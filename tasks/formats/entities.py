"""Entities in a text: word boundaries, tags of words, and the canonical JSON of entities.

Positions are counted in characters of the text. Entities do not overlap: a word has one tag.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

FIELDS = ("label", "text", "start", "end")
BEGINS, ENDS = ("B", "S", "U"), ("E", "S", "L")  # prefixes of IOB2, IOBES and BILOU; I continues, or begins after O
OUTSIDE = "O"
SpanProbabilities = dict[str, dict[str, float]]  # {span of a marked entity: {label: probability}}; OUTSIDE: no label


class Entity(NamedTuple):
    """A labelled span of a text, or of its words."""

    start: int
    end: int  # exclusive
    label: str


def is_border(text: str, place: int) -> bool:
    """Whether a word may begin or end before the character at `place`: not between two letters or digits, unless their
    script has no blanks between words.
    """
    if not 0 < place < len(text):
        return True
    before, after = text[place - 1], text[place]
    if not (_is_inner(before) and _is_inner(after)):
        return True
    return unicodedata.east_asian_width(before) == "W" or unicodedata.east_asian_width(after) == "W"


def _is_inner(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def words(text: str) -> list[tuple[int, int]]:
    """(start, end) of the words and punctuation marks of `text`."""
    edges = [place for place in range(len(text) + 1) if is_border(text, place)]
    return [(start, end) for start, end in pairwise(edges) if not text[start:end].isspace()]


def problem(text: str, entities: Iterable[Entity]) -> str | None:
    """Why `entities` cannot be expressed as one tag per word of `text`, in one clause; None if they can."""
    last = 0
    for start, end, label in sorted(entities):
        if not 0 <= start < end <= len(text):
            return f"the span from {start} to {end} is outside its text of {len(text)} characters"
        if not label.strip():
            return f"the span from {start} to {end} has no label"
        if not (is_border(text, start) and is_border(text, end)):
            return f"the span from {start} to {end} ({text[start:end]!r}) begins or ends within a word"
        if start < last:
            return f"the span from {start} to {end} ({text[start:end]!r}) overlaps another"
        last = end
    return None


def to_json(text: str, entities: Iterable[Entity]) -> str:
    """The canonical JSON of `entities` of `text`."""
    return pairs_to_json((entity, text[entity.start : entity.end]) for entity in sorted(entities))


def pairs_to_json(pairs: Iterable[tuple[Entity, str]]) -> str:
    """Entities with their texts as canonical JSON."""
    rows = ((entity.label, text, entity.start, entity.end) for entity, text in pairs)
    return json.dumps([dict(zip(FIELDS, values, strict=True)) for values in rows], ensure_ascii=False)


def read(answer: str) -> list[tuple[Entity, str]] | None:
    """(entity, its text) of a JSON list, in the order of the text; None for anything else."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(map(_is_entity, value)):
        return None
    pairs = sorted((Entity(entry["start"], entry["end"], entry["label"]), entry["text"]) for entry in value)
    overlap = any(later.start < earlier.end for (earlier, _), (later, _) in pairwise(pairs))
    return None if overlap else pairs


def _is_entity(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != set(FIELDS):
        return False
    label, text, start, end = (value[field] for field in FIELDS)
    if not (isinstance(label, str) and isinstance(text, str) and type(start) is int and type(end) is int):
        return False
    return bool(label.strip()) and start >= 0 and end - start == len(text) > 0


def spans(answer: str) -> list[Entity]:
    """The entities of an answer; none if it is not valid."""
    return [entity for entity, _ in read(answer) or ()]


def key(start: int, end: int) -> str:
    """The name of a span in reported probabilities."""
    return f"{start}-{end}"


def likeliest(probabilities: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, float]]:
    """{span: (its likeliest label, the probability of that)}."""
    labels = {
        name: {label: p for label, p in shares.items() if label != OUTSIDE} for name, shares in probabilities.items()
    }
    return {name: max(shares.items(), key=lambda item: item[1]) for name, shares in labels.items() if shares}


def calibration_pairs(probabilities: Mapping[str, Mapping[str, float]], right: str) -> list[tuple[float, bool]]:
    """(probability of the likeliest label, whether the right answer has exactly that entity) of each reported span."""
    expected = {(key(entity.start, entity.end), entity.label) for entity in spans(right)}
    return [(p, (name, label) in expected) for name, (label, p) in likeliest(probabilities).items()]


def from_tags(tags: Sequence[str]) -> list[Entity]:
    """The entities of `tags`, as positions of words, read as seqeval does: IOB1, IOB2, IOBES or BILOU. A tag without a
    prefix continues an entity, or begins one.
    """
    entities: list[Entity] = []
    before, is_open = "", False
    for place, tag in enumerate(tags):
        prefix, label = _parts(tag)
        if label and (prefix in BEGINS or not is_open or label != before):
            entities.append(Entity(place, place + 1, label))
        elif label:
            entities[-1] = entities[-1]._replace(end=place + 1)
        before, is_open = label, bool(label) and prefix not in ENDS
    return entities


def _parts(tag: str) -> tuple[str, str]:
    """(prefix, label) of a tag; the label of O is empty."""
    prefix, dash, label = tag.partition("-")
    if dash and label and prefix in {*BEGINS, *ENDS, "I"}:
        return prefix, label
    return "I", "" if tag == OUTSIDE else tag


def to_tags(entities: Iterable[Entity], of_words: Sequence[tuple[int, int]]) -> list[str]:
    """An IOB2 tag for each word (start, end): a word that an entity overlaps belongs to it."""
    tags = [OUTSIDE] * len(of_words)
    for start, end, label in sorted(entities):
        inside = [place for place, (first, last) in enumerate(of_words) if first < end and start < last]
        for place in inside:
            tags[place] = f"{'B' if place == inside[0] else 'I'}-{label}"
    return tags
