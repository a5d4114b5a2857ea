"""The answer format of an extractive model (see tasks/formats/answer.py), and where a text occurs in another."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.formats import spans
from tasks.formats.entities import is_border
from tasks.formats.spans import Span
from tasks.texts.clean import clean, has_half_character


def places(text: str, context: str) -> list[int]:
    """Where `text` begins in `context` as whole words; if it never does, where it begins within words."""
    starts, place = [], context.find(text) if text else -1
    while place >= 0:
        starts.append(place)
        place = context.find(text, place + 1)
    of_words = [place for place in starts if is_border(context, place) and is_border(context, place + len(text))]
    return of_words or starts


@dataclass(frozen=True)
class SpanAnswer:
    """An answer extracted from a text; as a column it is its words. Its position may be given beside it."""

    column: str = spans.COLUMN
    is_json = False  # it holds positions besides its column
    is_invertible = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    def write(self, row: Mapping[str, object]) -> str:
        """The answer of `row` at its first position in `context`; KeyError if one of these columns is missing."""
        answer, context = str(row[self.column]), str(row["context"])
        start = next(iter(places(answer, context)), 0)
        return spans.to_json(context, Span(start, start + len(answer)) if answer else None)

    def read(self, text: str) -> dict[str, str] | None:
        """The words of an answer, empty for "no answer"; None for anything but an answer."""
        value = spans.read(text)
        return None if value is None or has_half_character(value["answer"]) else {self.column: value["answer"]}

    def others(self, text: str) -> tuple[str, ...]:
        """The other right texts that the answer `text` lists."""
        return tuple((spans.read(text) or {}).get("others", ()))

    def is_right(self, text: str, expected: str) -> bool:
        """Whether an answer has the words of the expected one or of another right one."""
        answer, right = self.read(text), self.read(expected)
        if answer is None or right is None:
            return False
        return clean(answer[self.column]) in map(clean, (right[self.column], *self.others(expected)))
