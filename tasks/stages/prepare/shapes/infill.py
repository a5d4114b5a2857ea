"""Texts with a hole, to be filled in: code before and after a cursor."""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare.guess import Row, first_of, is_text, keys
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts.clean import clean, clean_part, is_blank

summary = "a text with a hole: what precedes it, what follows it, and what fills it"
makes: Example = "infill"
NAMES = {"prefix": ("prefix", "before"), "middle": ("middle", "hole"), "suffix": ("suffix", "after")}
DRAWS = 20


class Params(Prepare):
    """The columns of the three parts; or of a whole text, in which the hole is drawn by `seed` and the text."""

    shape: Literal["infill"]
    prefix: str = Field(default="prefix", min_length=1, description="column")
    middle: str = Field(default="middle", min_length=1, description="column")
    suffix: str = Field(default="suffix", min_length=1, description="column; its text may be empty")
    text: str | None = Field(default=None, min_length=1, description="column of whole texts, instead of the three")
    hole: Literal["characters", "lines"] = Field(
        default="characters", description="where a hole in a whole text begins and ends"
    )
    spm_share: Annotated[
        float, Field(ge=0, le=1, description="share of rows that are learnt with the suffix first; asked is PSM")
    ] = 0.5


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The hole, and what fills it as the answer; other columns of the row are kept beside them."""
    identity = clean(raw["id"])
    before, middle, after = _parts(raw, params)
    if is_blank(middle):
        raise SetAside("blank", "the hole is filled with nothing but white space")
    if is_blank(before + after):
        raise SetAside("blank", "nothing precedes or follows the hole")
    own = {params.text} if params.text else {params.prefix, params.middle, params.suffix}
    columns = {name: clean(text) for name, text in raw.items() if name not in own}
    dice = _dice(before + middle + after, params, "order")
    return {
        "id": identity,
        "messages": [],
        "answer": middle,
        "row": {**columns, "id": identity, "prefix": before, "middle": middle, "suffix": after},
        "infill": {"prefix": before, "suffix": after, "order": "spm" if dice.random() < params.spm_share else "psm"},
    }


def _parts(raw: Mapping[str, str], params: Params) -> tuple[str, str, str]:
    """What precedes the hole, fills it, and follows it."""
    if params.text is None:
        before, middle, after = (clean_part(raw[column]) for column in (params.prefix, params.middle, params.suffix))
        return before, middle, after
    text = clean(raw[params.text])
    places = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    if params.hole == "characters":
        places = list(range(len(text) + 1))
    elif len(places) < 3:
        raise SetAside("malformed", f"`{params.text}` has a single line, so no line of it can be a hole")
    dice = _dice(text, params, "hole")
    for _ in range(DRAWS):  # two places, uniformly, until something is missing and something left
        start, end = sorted(dice.choices(places, k=2))
        if not is_blank(text[start:end]) and not is_blank(text[:start] + text[end:]):
            break
    return text[:start], text[start:end], text[end:]


def _dice(text: str, params: Params, use: str) -> random.Random:
    """Random numbers that follow from the text and the seed."""
    return random.Random(hashlib.sha256(f"{params.seed} {use} {text}".encode()).digest())


def templates(params: Params) -> Templates:
    """Both sides of the hole, and what fills it; the model is asked by its tokenizer's marks."""
    return {"system": None, "user": "{{ prefix }}{{ suffix }}", "answer": "{{ middle }}"}


def columns(params: Params) -> tuple[str, ...]:
    """The three parts, or the text."""
    return (params.text,) if params.text else (params.prefix, params.middle, params.suffix)


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """None: answers of production fill holes that nobody corrects."""
    return None


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """Three columns of texts that are named for the parts."""
    columns = {part: first_of(rows, names) for part, names in NAMES.items()}
    return keys(columns) if all(column and is_text(rows, column) for column in columns.values()) else None
