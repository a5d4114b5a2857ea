"""Entities in a text: word boundaries, tags of words, and the one form in which entities are written, read and
compared.

A place is counted in characters of the text. Entities do not overlap: a word has one tag.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

FIELDS = ("label", "text", "start", "end")
BEGINS, ENDS = ("B", "S", "U"), ("E", "S", "L")  # prefixes of IOB2, IOBES and BILOU; I goes on, or begins after O
OUTSIDE = "O"
SpanProbabilities = dict[str, dict[str, float]]  # {span of a marked entity: {label: probability}}; OUTSIDE: no label


class Entity(NamedTuple):
    """A stretch of a text, or of its words, and what it is called."""

    start: int
    end: int  # the first place behind it
    label: str


def is_border(text: str, place: int) -> bool:
    """Whether a word may begin or end before the character at `place`: not between two letters or digits, unless they
    are of a script that writes no blanks.
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
    """(start, end) of the words and marks of `text`."""
    edges = [place for place in range(len(text) + 1) if is_border(text, place)]
    return [(start, end) for start, end in pairwise(edges) if not text[start:end].isspace()]


def problem(text: str, entities: Iterable[Entity]) -> str | None:
    """Why `entities` cannot be expressed by a tag for each word of `text`, in one clause; None if they can."""
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


def pairs_to_json(known: Iterable[tuple[Entity, str]]) -> str:
    """Entities with their texts as canonical JSON."""
    every = ((entity.label, text, entity.start, entity.end) for entity, text in known)
    return json.dumps([dict(zip(FIELDS, values, strict=True)) for values in every], ensure_ascii=False)


def read(answer: str) -> list[tuple[Entity, str]] | None:
    """The entities of a JSON list with their texts, in the order of the text; None for what is not one."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(map(_is_entity, value)):
        return None
    known = sorted((Entity(entry["start"], entry["end"], entry["label"]), entry["text"]) for entry in value)
    overlap = any(later.start < earlier.end for (earlier, _), (later, _) in pairwise(known))
    return None if overlap else known


def _is_entity(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != set(FIELDS):
        return False
    label, text, start, end = (value[field] for field in FIELDS)
    if not (isinstance(label, str) and isinstance(text, str) and type(start) is int and type(end) is int):
        return False
    return bool(label.strip()) and start >= 0 and end - start == len(text) > 0


def spans(answer: str) -> list[Entity]:
    """The entities of an answer that is one."""
    return [entity for entity, _ in read(answer) or ()]


def key(start: int, end: int) -> str:
    """The name of a span in reported probabilities."""
    return f"{start}-{end}"


def likeliest(probabilities: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, float]]:
    """Of each stretch its likeliest label, and how likely that is."""
    labels = {
        name: {label: p for label, p in shares.items() if label != OUTSIDE} for name, shares in probabilities.items()
    }
    return {name: max(known.items(), key=lambda item: item[1]) for name, known in labels.items() if known}


def calibration_pairs(probabilities: Mapping[str, Mapping[str, float]], right: str) -> list[tuple[float, bool]]:
    """Of each stretch that was told of how likely its likeliest label was, and whether the right answer has exactly
    that entity.
    """
    known = {(key(entity.start, entity.end), entity.label) for entity in spans(right)}
    return [(p, (name, label) in known) for name, (label, p) in likeliest(probabilities).items()]


def from_tags(tags: Sequence[str]) -> list[Entity]:
    """The entities of `tags`, by places of words, read as seqeval does: IOB1, IOB2, IOBES or BILOU; a tag without a
    prefix goes on, or begins.
    """
    known: list[Entity] = []
    before, is_open = "", False
    for place, tag in enumerate(tags):
        prefix, label = _parts(tag)
        if label and (prefix in BEGINS or not is_open or label != before):
            known.append(Entity(place, place + 1, label))
        elif label:
            known[-1] = known[-1]._replace(end=place + 1)
        before, is_open = label, bool(label) and prefix not in ENDS
    return known


def _parts(tag: str) -> tuple[str, str]:
    """(prefix, label) of a tag; no label of one that is outside."""
    prefix, dash, label = tag.partition("-")
    if dash and label and prefix in {*BEGINS, *ENDS, "I"}:
        return prefix, label
    return "I", "" if tag == OUTSIDE else tag


def to_tags(entities: Iterable[Entity], of_words: Sequence[tuple[int, int]]) -> list[str]:
    """A tag of IOB2 for each word (start, end): a word that an entity reaches into belongs to it."""
    tags = [OUTSIDE] * len(of_words)
    for start, end, label in sorted(entities):
        inside = [place for place, (first, last) in enumerate(of_words) if first < end and start < last]
        for place in inside:
            tags[place] = f"{'B' if place == inside[0] else 'I'}-{label}"
    return tags
