"""The answer format of a tagger; see tasks/formats/answer.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.formats import entities
from tasks.texts.clean import has_half_character


@dataclass(frozen=True)
class EntityAnswer:
    """A JSON list of entities, `{label, text, start, end}` each; as a column it is canonical JSON."""

    column: str
    is_json = False  # a list, not an object of columns
    is_invertible = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    def write(self, row: Mapping[str, object]) -> str:
        """The column unchanged; KeyError if `row` lacks it."""
        return str(row[self.column])

    def read(self, text: str) -> dict[str, str] | None:
        """The entities as canonical JSON; None for anything but a list of entities."""
        pairs = entities.read(text)
        answer = None if pairs is None else entities.pairs_to_json(pairs)
        return None if answer is None or has_half_character(answer) else {self.column: answer}
