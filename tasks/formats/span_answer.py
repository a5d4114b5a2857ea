"""The answer format of an extractive model (see tasks/formats/answer.py), and where a text occurs in another."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.formats import spans
from tasks.formats.entities import is_border
from tasks.formats.spans import Span
from tasks.texts.clean import clean, has_half_character


def places(text: str, context: str) -> list[int]:
    """Where `text` begins in `context`: as whole words, or anywhere where it stands nowhere as those."""
    every, place = [], context.find(text) if text else -1
    while place >= 0:
        every.append(place)
        place = context.find(text, place + 1)
    whole = [place for place in every if is_border(context, place) and is_border(context, place + len(text))]
    return whole or every


@dataclass(frozen=True)
class SpanAnswer:
    """An answer that stands in a text; as a column it is its words. Where it stands may be said beside it."""

    column: str = spans.COLUMN
    is_json = False  # it is more than an object of columns
    is_invertible = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    def write(self, row: Mapping[str, object]) -> str:
        """The answer to `row`, where its words stand first in its `context`; KeyError when it lacks one of these."""
        answer, context = str(row[self.column]), str(row["context"])
        start = next(iter(places(answer, context)), 0)
        return spans.to_json(context, Span(start, start + len(answer)) if answer else None)

    def read(self, text: str) -> dict[str, str] | None:
        """The words of an answer, empty where it is that there is none; None for what is not exactly an answer."""
        value = spans.read(text)
        return None if value is None or has_half_character(value["answer"]) else {self.column: value["answer"]}

    def others(self, text: str) -> tuple[str, ...]:
        """The texts that are as right as the answer `text`."""
        return tuple((spans.read(text) or {}).get("others", ()))

    def is_right(self, text: str, expected: str) -> bool:
        """Whether an answer has the words of the expected one, or of another that is as right."""
        said, right = self.read(text), self.read(expected)
        if said is None or right is None:
            return False
        return clean(said[self.column]) in map(clean, (right[self.column], *self.others(expected)))
