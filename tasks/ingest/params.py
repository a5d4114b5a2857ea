"""The `ingest` section of a dataset."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.section import Section

Format = Literal["jsonl", "json", "csv", "tsv"]


class Ingest(Section):
    """A source: a file or a folder of files; how it is read, and the columns that each of its rows must have."""

    source: str = Field(
        min_length=1, description="path of a file, or of a folder whose files are read in the order of their names"
    )
    format: Format | None = Field(default=None, description="of all files; each file's ending says it when not given")
    columns: Annotated[list[str], Field(min_length=1, description="columns that every row has")] | None = Field(
        default=None, description="all columns of the header, or of the first row, when not given"
    )
    json_columns: list[str] = Field(
        default=[], description="columns whose cells are any JSON value (lists of turns, objects), kept as JSON text"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.columns is not None and (more := [name for name in self.json_columns if name not in self.columns]):
            raise ValueError(f"json_columns names `{more[0]}`, which columns does not; add it there, or take it out")
        return self
