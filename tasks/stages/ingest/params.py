"""The `ingest` section of a dataset."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tasks import kinds
from tasks.section import Section

FORMATS = "tasks.stages.ingest.readers"  # a module each


def _known(name: str) -> str:
    names = kinds.names(FORMATS)
    if name not in names:
        raise PydanticCustomError("literal_error", "Input should be {names}", {"names": f"one of {', '.join(names)}"})
    return name


Format = Annotated[str, AfterValidator(_known)]


class Ingest(Section):
    """A source: a file or a folder of files; how it is read, and the columns that each of its rows must have."""

    source: str = Field(
        min_length=1, description="path of a file, or of a folder whose files are read in alphabetical order"
    )
    format: Format | None = Field(
        default=None, description="format of all files; by default each file's extension decides"
    )
    columns: Annotated[list[str], Field(min_length=1, description="columns that every row has")] | None = Field(
        default=None, description="columns to read; by default all of the header, or of the first row"
    )
    header: bool | None = Field(
        default=None,
        description="for tables: false if the first row is data (then give `columns`), true if it only looks like data",
    )
    split: Literal["none", "lines", "paragraphs", "labelled"] | None = Field(
        default=None,
        description="for text files: one row per line or per paragraph; labelled: per line, whose first "
        "word is the label; none: one row per file, the default in a folder",
    )
    license: str | None = Field(default=None, min_length=1, description="license of the data, recorded in manifests")
    json_columns: list[str] = Field(
        default=[], description="columns whose cells are JSON values (lists of turns, objects), kept as JSON text"
    )
    image_column: str | None = Field(
        default=None,
        min_length=1,
        description="for a table in a folder of images: column of their paths, relative to the table; not "
        "needed with a folder per class",
    )
    optional_columns: list[str] = Field(
        default=[], description="columns that may be null or missing, read as empty text"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.header is False and self.columns is None:
            raise ValueError("header is false, so the file names no columns; name those of its cells under columns")
        for key, names in (
            ("json_columns", self.json_columns),
            ("optional_columns", self.optional_columns),
            ("image_column", [self.image_column] if self.image_column else []),
        ):
            if self.columns is not None and (missing := [name for name in names if name not in self.columns]):
                raise ValueError(f"{key} names `{missing[0]}`, which columns does not; add it there, or remove it")
        return self
