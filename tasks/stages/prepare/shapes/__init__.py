"""Shapes of rows, one module per kind, each with what the protocol below declares."""

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from tasks import kinds
from tasks.dataset.rows import Example, Prepared
from tasks.section import Section
from tasks.stages.prepare.rows import Templates


class Shape(Protocol):
    """A module of this package."""

    Params: type[Section]  # shape: Literal["…"], and the columns of a row
    summary: str  # what a row holds, in one line
    makes: Example  # the kind of examples that its rows become

    def example(self, raw: Mapping[str, str], params: Section) -> Prepared:
        """The prepared row of an ingested one; SetAside if nothing can be learnt from it."""
        ...

    def templates(self, params: Section) -> Templates:
        """The templates that make prompt and answer from the `row` of an example, in training and at the gateway."""
        ...

    def columns(self, params: Section) -> tuple[str, ...]:
        """The columns of the source that every row must have, in the order in which they are read."""
        ...

    def source_row(self, row: Mapping[str, str], params: Section) -> dict[str, str] | None:
        """The columns of a source row that `example` makes into this corrected `row`; None if corrections make none."""
        ...

    def recognise(self, rows: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
        """The keys of `prepare` besides the shape for `rows` of a source; None if they are of another shape."""
        ...


def of(section: Section) -> Shape:
    """The shape of a typed section."""
    return cast(Shape, kinds.of(section, __name__, "shape"))


def name_of(section: Section) -> str:
    """The name of the shape of a typed section."""
    return kinds.of(section, __name__, "shape").__name__.rpartition(".")[2]
