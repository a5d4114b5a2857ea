"""The `ingest` section of a dataset."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tasks import kinds
from tasks.section import Section

FORMATS = "tasks.ingest.readers"  # a module each


def _known(name: str) -> str:
    names = kinds.names(FORMATS)
    if name not in names:
        raise PydanticCustomError("literal_error", "Input should be {names}", {"names": f"one of {', '.join(names)}"})
    return name


Format = Annotated[str, AfterValidator(_known)]


class Ingest(Section):
    """A source: a file or a folder of files; how it is read, and the columns that each of its rows must have."""

    source: str = Field(
        min_length=1, description="path of a file, or of a folder whose files are read in the order of their names"
    )
    format: Format | None = Field(default=None, description="of all files; each file's ending says it when not given")
    columns: Annotated[list[str], Field(min_length=1, description="columns that every row has")] | None = Field(
        default=None, description="all columns of the header, or of the first row, when not given"
    )
    header: bool | None = Field(
        default=None,
        description="of tables: false where their first row is data, whose cells `columns` then names; true where "
        "it only looks like data",
    )
    split: Literal["none", "lines", "paragraphs", "labelled"] | None = Field(
        default=None,
        description="of files of text: into rows at line ends, or at empty lines; labelled: at line ends, the first "
        "word of a line is its label; a file of a folder is one row when not given",
    )
    license: str | None = Field(default=None, min_length=1, description="of the data, as it stands in the manifests")
    json_columns: list[str] = Field(
        default=[], description="columns whose cells are any JSON value (lists of turns, objects), kept as JSON text"
    )
    image_column: str | None = Field(
        default=None,
        min_length=1,
        description="of tables that stand in a folder with images: the column of their paths from there on; a folder "
        "of folders of images needs none",
    )
    optional_columns: list[str] = Field(
        default=[], description="columns that are null in some rows, or that some rows lack: an empty text there"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.header is False and self.columns is None:
            raise ValueError("header is false, so the file names no columns; name those of its cells under columns")
        of_images = [self.image_column] if self.image_column else []
        for key, named in (
            ("json_columns", self.json_columns),
            ("optional_columns", self.optional_columns),
            ("image_column", of_images),
        ):
            if self.columns is not None and (more := [name for name in named if name not in self.columns]):
                raise ValueError(f"{key} names `{more[0]}`, which columns does not; add it there, or take it out")
        return self
