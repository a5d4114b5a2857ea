"""What ranks the answers of samples, one module per kind, each with what the protocol below declares."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, cast

from pydantic import Field

from tasks import kinds
from tasks.dataset.sampled import Sampled
from tasks.section import Section


class Ranking(Section):
    """The keys of a row of `rankings` that all kinds have."""

    kind: str
    samples: str = Field(description="row of samples whose answers are ranked")
    by: str = Field(min_length=1, description="folder of what ranks; `make pipeline` writes it")
    pairs: Literal["best_worst", "all"] = Field(
        default="best_worst",
        description="pairs of a row's answers: the best and the worst, or all that differ in their scores",
    )
    margin: Annotated[float, Field(ge=0, description="least difference of the scores of a pair")] = 0.0


class Scored(NamedTuple):
    """Scores of the answers to each row (None: unknown), what each is made of, and facts for the report."""

    scores: list[list[float | None]]
    parts: list[list[Mapping[str, float]]]
    facts: Mapping[str, Any]


class Kind(Protocol):
    """A module of this package."""

    Params: type[Ranking]

    def scored(self, params: Ranking, rows: Sequence[Sampled], by: Path) -> Scored:
        """The scores of the `answers` of `rows`, by what lies in the folder `by`; higher is better."""
        ...

    def default_by(self, name: str, dataset: str) -> str:
        """`by` of the row `name`, whose samples are of `dataset`, where it is left out."""
        ...


def of(section: Section) -> Kind:
    """The kind of a typed row of rankings."""
    return cast(Kind, kinds.of(section, __name__))
