"""Images with one or several labels, for image classification."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare.format import fill_templates
from tasks.stages.prepare.guess import Row
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts import images, pixels
from tasks.texts.clean import clean, is_blank
from tasks.texts.images import ENDINGS, NotAnImageError

summary = "an image and one or several labels: one folder per class, or a table of paths"
makes: Example = "image"
NAMES = ("image", "file_name", "image_path", "filename", "path", "file", "img", "img_path")
LABELS = ("label", "class", "category", "target")
OWN = ("image", "image_file")  # columns of a prepared row


class Params(Prepare):
    """Where the image is, and the labels."""

    shape: Literal["image"]
    image: str = Field(default="image", min_length=1, description="column of the images' paths")
    labels: list[str] = Field(default=["label"], min_length=1, description="columns with a few classes each")

    @model_validator(mode="after")
    def _names_no_column_of_its_own(self) -> Self:
        for name in (*OWN, self.image):
            if name in self.labels:
                raise ValueError(f"labels names `{name}`, which is what an image is called by: rename the column")
        return self


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The hash of the image's bytes as one message, the labels as one JSON object; SetAside for an image that cannot
    be read, and for a label that is blank.

    `row` has the hash as `image`, by which rows are split and told apart, and where the bytes lie as `image_file`.
    """
    try:
        content = images.content(Path(raw[params.image]))
        pixels.decode(content)
    except NotAnImageError as error:
        raise SetAside("malformed", f"its image {Path(raw[params.image]).name[-60:]} {error}") from None
    labels = {label: clean(raw[label]) for label in params.labels}
    for label, value in labels.items():
        if is_blank(value):
            raise SetAside("blank", f"`{label}` is empty")
    image = {"image": images.digest(content), "image_file": raw[params.image]}
    return fill_templates({"id": clean(raw["id"]), **image, **labels}, templates(params))


def templates(params: Params) -> Templates:
    """The prompt is the image's hash, by which rows are distinguished."""
    return {"system": None, "user": "{{ image }}", "answer": params.labels}


def columns(params: Params) -> tuple[str, ...]:
    """The image and the labels."""
    return (params.image, *params.labels)


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """None: the records keep no image, so a correction has none to learn from."""
    return None


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """A column of paths with extensions of images, and one that is named like a label."""
    names = list(rows[0]) if rows else []
    image = next((name for name in NAMES if name in names and all(_is_path(row.get(name)) for row in rows)), None)
    labels = [name for name in names if name.casefold() in LABELS and name != image]
    if image is None or len(labels) != 1:
        return None
    return {**({} if image == "image" else {"image": image}), "labels": labels}


def _is_path(cell: object) -> bool:
    return isinstance(cell, str) and cell.lower().strip().endswith(ENDINGS)
