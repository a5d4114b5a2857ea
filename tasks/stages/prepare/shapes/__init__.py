"""Shapes of rows, one file per kind. The protocol below says what each declares and does."""

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from tasks import kinds
from tasks.dataset.rows import Example, Prepared
from tasks.section import Section
from tasks.stages.prepare.rows import Templates


class Shape(Protocol):
    """A module of this package."""

    Params: type[Section]  # shape: Literal["…"], and where in a row things stand
    summary: str  # what a row holds, in one line
    makes: Example  # what its rows become

    def example(self, raw: Mapping[str, str], params: Section) -> Prepared:
        """A row as it was ingested, as one to learn from; SetAside when it is not fit to be one."""
        ...

    def templates(self, params: Section) -> Templates:
        """What makes a prompt and an answer of the `row` of an example, at the gateway as in training."""
        ...

    def columns(self, params: Section) -> tuple[str, ...]:
        """The columns of the source that every row must have, in the order in which they are read."""
        ...

    def source_row(self, row: Mapping[str, str], params: Section) -> dict[str, str] | None:
        """The columns of a row of the source of which `example` makes this `row`, for what a person has corrected; None
        where corrected answers make no rows.
        """
        ...

    def recognise(self, rows: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
        """What `prepare` must say besides the shape for `rows` of a source, as they were read; None when they are of
        another shape.
        """
        ...


def of(section: Section) -> Shape:
    """The shape of a typed section."""
    return cast(Shape, kinds.of(section, __name__, "shape"))


def name_of(section: Section) -> str:
    """The name of the shape of a typed section."""
    return kinds.of(section, __name__, "shape").__name__.rpartition(".")[2]
