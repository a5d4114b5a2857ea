"""A folder of images with one folder per class: `cats/1.jpg` is a row of the class `cats` (torchvision's
ImageFolder).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.errors import AnnealError
from tasks.stages.ingest.params import Ingest
from tasks.texts.images import ENDINGS as OF_IMAGES

ENDINGS: tuple[str, ...] = ()  # it is told by its folders
UNIT = "image"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = False, False, False
HAS_HEADER = False
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}


def is_image(path: Path) -> bool:
    """Whether a file is called like an image; one that is being written has a dot in front."""
    return path.suffix.lower() in OF_IMAGES and not path.name.startswith(".")


def classes_of(folder: Path) -> tuple[Path, ...]:
    """The folders of `folder` that hold images, at whatever depth, by their names."""
    inner = (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))
    return tuple(path for path in inner if any(map(is_image, path.rglob("*"))))


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(number, `{id, image, label}`) of each image; the id is its place in the folder, and so is the image."""
    folders = classes_of(path)
    if names := sorted(folder.name for folder in folders if folder.name.casefold() in SPLITS):
        raise AnnealError(
            f"{path} holds splits ({', '.join(names)}), whose names would be learnt as classes: name one of these "
            f"folders as ingest.source, for example {path / names[0]}; Anneal splits its rows itself."
        )
    if loose := sorted(file.name for file in path.iterdir() if file.is_file() and is_image(file)):
        raise AnnealError(
            f"{path} holds images beside the folders of its classes: {', '.join(loose[:5])}"
            f"{' …' if len(loose) > 5 else ''}; move each into the folder of its class, or write a table with a "
            "column of paths and name that as ingest.image_column."
        )
    number = 0
    for folder in folders:
        for file in sorted(file for file in folder.rglob("*") if file.is_file() and is_image(file)):
            number += 1
            place = file.relative_to(path).as_posix()
            yield number, {"id": place, "image": place, "label": folder.name}
