"""Texts with marked entities: a tag for each token, or spans of characters."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.formats import entities
from tasks.formats.entities import Entity
from tasks.stages.prepare.format import fill_templates
from tasks.stages.prepare.guess import Row, first_of, is_text, keys, value_of
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.stages.prepare.turns import cell
from tasks.texts.clean import clean, is_blank

summary = "a text and its entities: tokens with tags, spans, or CoNLL's lines"
makes: Example = "tagged"
NAMES = {"tokens": ("tokens", "words"), "tags": ("tags", "ner_tags", "labels", "ner")}
TEXTS, SPANS = ("text", "sentence", "content"), ("spans", "entities", "label", "labels", "annotations")
TAG = re.compile(r"O|[BIESLU]-\S+")
PLACE = re.compile(r"-?\d{1,9}")  # numbers of a source are read as texts
DOCUMENT = "-DOCSTART-"


class Params(Prepare):
    """The columns of tokens and tags; or of text and spans, if `spans` is set; or of lines, if `conll` is."""

    shape: Literal["tagged"]
    tokens: str = Field(default="tokens", min_length=1, description="column of the tokens, a list")
    tags: str = Field(default="tags", min_length=1, description="column of their tags, a list")
    names: list[str] = Field(default=[], description="names for numeric tags, starting at 0")
    text: str = Field(default="text", min_length=1, description="column of the text, beside `spans`")
    spans: (
        Annotated[str, Field(min_length=1, description="column of a span, `{start, end, label}`, or a list of spans")]
        | None
    ) = None
    conll: (
        Annotated[str, Field(min_length=1, description="column of CoNLL lines: a token, optional fields, a tag")] | None
    ) = None


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The text as one message, its entities as canonical JSON; SetAside unless there is one tag per token and spans
    are of whole words.
    """
    if params.spans:
        text, marked = _from_spans(raw[params.text], cell(raw, params.spans), params.spans)
    elif params.conll:
        text, marked = _from_tokens(*_from_lines(raw[params.conll]))
    else:
        tags = [_tag(value, params) for value in _list(raw, params.tags)]
        text, marked = _from_tokens([str(token) for token in _list(raw, params.tokens)], tags)
    if is_blank(text):
        raise SetAside("blank", "its text is empty")
    if reason := entities.problem(text, marked):
        raise SetAside("malformed", reason)
    row = {"id": clean(raw["id"]), "text": text, "entities": entities.to_json(text, marked)}
    return fill_templates(row, templates(params))


def _from_tokens(tokens: Sequence[str], tags: Sequence[str]) -> tuple[str, list[Entity]]:
    """(the tokens joined by blanks, the entities); blank tokens are left out with their tags."""
    if len(tokens) != len(tags):
        raise SetAside("malformed", f"it has {len(tokens)} tokens and {len(tags)} tags")
    cleaned = [" ".join(clean(token).split()) for token in tokens]
    kept = [(token, tag) for token, tag in zip(cleaned, tags, strict=True) if not is_blank(token)]
    starts = [0]
    for token, _ in kept:
        starts.append(starts[-1] + len(token) + 1)
    marked = [
        Entity(starts[entity.start], starts[entity.end] - 1, entity.label)
        for entity in entities.from_tags([tag for _, tag in kept])
    ]
    return " ".join(token for token, _ in kept), marked


def _from_lines(text: str) -> tuple[list[str], list[str]]:
    """(tokens, tags) of CoNLL lines: the first and the last field; comments are skipped."""
    tokens, tags = [], []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] == DOCUMENT:
            continue
        if len(fields) < 2 or not TAG.fullmatch(fields[-1]):
            if line.startswith("#"):
                continue
            raise SetAside("malformed", f"its line {number} ({line.strip()[:40]!r}) does not end in a tag")
        tokens.append(fields[0])
        tags.append(fields[-1])
    return tokens, tags


def _from_spans(text: str, value: object, column: str) -> tuple[str, list[Entity]]:
    """(the cleaned text, its entities); blanks at the ends of a span are left out of it."""
    cleaned, marked = clean(text), set()
    for start, end, label in map(_span, value if isinstance(value, list) else [None]):
        if not isinstance(label, str):
            raise SetAside("malformed", f"`{column}` is not a list of spans with start, end and label")
        if not 0 <= start < end <= len(text):
            raise SetAside("malformed", entities.problem(text, [Entity(start, end, label)]) or "")
        inner = text[start:end].strip()
        start += text[start:end].find(inner)
        first, last = (len(clean(text[:place] + "!")) - 1 for place in (start, start + len(inner)))
        if cleaned[first:last] != clean(inner):
            raise SetAside("malformed", f"the span from {start} to {end} ends within a character that is several")
        marked.add(Entity(first, last, clean(label)))
    return cleaned, sorted(marked)


def _span(value: object) -> tuple[int, int, object]:
    """(start, end, label); the label is None if `value` is not a span."""
    fields = [value.get(key) for key in ("start", "end", "label")] if isinstance(value, Mapping) else value
    if not isinstance(fields, list) or len(fields) != 3 or not all(PLACE.fullmatch(str(place)) for place in fields[:2]):
        return 0, 0, None
    return int(fields[0]), int(fields[1]), fields[2]


def _list(raw: Mapping[str, str], column: str) -> list[object]:
    """The list in a cell: JSON, Python's notation, or words separated by blanks."""
    text = raw[column].strip()
    if not text.startswith("["):
        return list(text.split())
    for reads in (json.loads, ast.literal_eval):
        try:
            value = reads(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and not any(isinstance(entry, list | dict) for entry in value):
            return value
    raise SetAside("malformed", f"`{column}` is not a list of tokens or tags ({text[:40]!r})")


def _tag(value: object, params: Params) -> str:
    """A tag, or the name of a numeric tag."""
    text = str(value).strip()
    if not text.isdecimal():
        return text
    if int(text) >= len(params.names):
        way = "prepare.names says what numbers stand for" if params.names else "write prepare.names: [O, …]"
        raise SetAside("malformed", f"its tag {text} is a number without a name: {way}")
    return params.names[int(text)]


def templates(params: Params) -> Templates:
    """The text unchanged, and the list of entities."""
    return {"system": None, "user": "{{ text }}", "answer": {"entities": list(entities.FIELDS)}}


def columns(params: Params) -> tuple[str, ...]:
    """The columns of the text and of its entities, in the notation that `params` name."""
    if params.spans:
        return (params.text, params.spans)
    return (params.conll,) if params.conll else (params.tokens, params.tags)


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """The text with its spans, or its words with their tags."""
    marked, text = entities.spans(row["entities"]), row["text"]
    if params.spans:
        objects = [entity._asdict() for entity in marked]
        return {params.text: text, params.spans: json.dumps(objects, ensure_ascii=False)}
    words = entities.words(text)
    tokens, tags = [text[start:end] for start, end in words], entities.to_tags(marked, words)
    if params.conll:
        return {params.conll: "\n".join(f"{token} {tag}" for token, tag in zip(tokens, tags, strict=True))}
    return {
        name: json.dumps(cells, ensure_ascii=False) for name, cells in zip(columns(params), (tokens, tags), strict=True)
    }


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """Lists of tokens and of as many tags; texts and lists of spans; lines that end in tags."""
    named = {key: first_of(rows, names) for key, names in NAMES.items()}
    if all(named.values()) and all(_is_tagged(*(value_of(row.get(str(named[key]))) for key in NAMES)) for row in rows):
        return keys(named)
    text, spans = first_of(rows, TEXTS), first_of(rows, SPANS)
    if text and spans and is_text(rows, text):
        lists = [value_of(row.get(spans)) for row in rows]
        if any(lists) and all(isinstance(value, list) and all(_span(entry)[2] for entry in value) for value in lists):
            return {"spans": spans, **keys({"text": text})}
    if text and is_text(rows, text) and all(_is_conll(str(row[text])) for row in rows):
        return {"conll": text}
    return None


def _is_tagged(tokens: object, tags: object) -> bool:
    if not isinstance(tokens, list) or not isinstance(tags, list):
        return False
    return len(tokens) == len(tags) and all(TAG.fullmatch(str(tag)) for tag in tags)


def _is_conll(text: str) -> bool:
    try:
        return bool(_from_lines(text)[0]) or DOCUMENT in text
    except SetAside:
        return False
