"""Shared by objectives on images: the body, the image processor, a vector per image."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.dataset.rows import Row
from tasks.errors import AnnealError
from tasks.texts import images, pixels
from tasks.texts.images import NotAnImageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn
    from transformers import BaseImageProcessor, PretrainedConfig

Pooling = Literal["mean", "first"]
LEAST_AREA = 0.6  # of a random crop, as a share of the image
LONGEST_SIDE = 4 / 3  # of a random crop, relative to the other


@dataclass(frozen=True)
class Pixels:
    """An image after its processor: (channels, height, width)."""

    values: "Tensor"

    def __len__(self) -> int:
        """Its size in tokens of 16 x 16 pixels, by which batches are limited."""
        height, width = self.values.shape[-2:]
        return max(1, int(height * width // 256))


@dataclass(frozen=True)
class ImageReader:
    """An image processor with its own settings."""

    processor: "BaseImageProcessor"
    pad_token_id = 0  # never read: all images of a batch are of one size

    def decode(self, tokens: Sequence[int]) -> str:
        """A placeholder, where other readers show tokens."""
        return "(image)"

    def pixels(self, image: "Image") -> Pixels:
        """`image` as the model sees it."""
        return Pixels(self.processor(images=image, return_tensors="pt")["pixel_values"][0])

    def of_bytes(self, raw: bytes) -> Pixels:
        """The image in `raw`; raises NotAnImageError."""
        return self.pixels(pixels.decode(raw))


@dataclass(frozen=True)
class Picture:
    """The image of a row, read when a batch needs it: a dataset of them is larger than memory."""

    reader: ImageReader
    row: Row

    def pixels(self, alter: "random.Random | None" = None) -> "Tensor":
        """(channels, height, width); cropped and mirrored at random if `alter` is given."""
        image = pixels.decode(content(self.row))
        return self.reader.pixels(altered(image, alter) if alter else image).values


def content(row: Row) -> bytes:
    """The bytes of the image of a prepared or answered row; AnnealError if the file is missing or has changed."""
    file, name = Path(row["row"]["image_file"]), row["row"]["image"]
    try:
        raw = images.content(file)
    except NotAnImageError as why:
        raise AnnealError(
            f"row {row['id']}: its image {file} {why}: run `dvc checkout`, or `make pipeline` to ingest it again."
        ) from None
    if images.digest(raw) != name:
        raise AnnealError(
            f"row {row['id']}: its image {file} differs from the one that was prepared: run `dvc checkout`, or "
            "`make pipeline` to ingest it again."
        )
    return raw


def altered(image: "Image", draw: random.Random) -> "Image":
    """A random crop of `image`, at least LEAST_AREA of it, mirrored half of the time.

    As in Szegedy et al. 2014 (arXiv:1409.4842), but with larger crops: in small datasets, edges matter too.
    """
    from PIL import Image as Pil

    width, height = image.size
    area = draw.uniform(LEAST_AREA, 1) * width * height
    ratio = LONGEST_SIDE ** draw.uniform(-1, 1) * width / height
    across = min(width, max(1, round((area * ratio) ** 0.5)))
    down = min(height, max(1, round((area / ratio) ** 0.5)))
    left, top = draw.randint(0, width - across), draw.randint(0, height - down)
    part = image.crop((left, top, left + across, top + down))
    return part.transpose(Pil.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else part


def load_reader(weights: Path) -> ImageReader:
    """The image processor of the weights, or of the trained version, in a folder."""
    from tasks.models.architecture import load_processor

    return ImageReader(load_processor(weights))


def width(config: "PretrainedConfig") -> int:
    """The width of the last layer of a body of this config."""
    sizes = getattr(config, "hidden_sizes", None)
    return int(sizes[-1] if sizes else getattr(config, "hidden_size", None) or config.hidden_dim)


def usual_pooling(body: "nn.Module") -> Pooling:
    """first for a body with a class token, mean for others."""
    return "first" if any(name.endswith("cls_token") for name, _ in body.named_parameters()) else "mean"


def pool(hidden: "Tensor", pooling: Pooling) -> "Tensor":
    """(batch, places, width) or (batch, width, height, width of the map) → (batch, width) in fp32."""
    if hidden.dim() == 4:  # a convolution's
        return hidden.float().flatten(2).mean(-1)
    return hidden[:, 0].float() if pooling == "first" else hidden.float().mean(1)
