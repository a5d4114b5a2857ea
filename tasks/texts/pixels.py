"""Decodes the pixels of an image, alike in training, evaluation and serving, whatever its format."""

import io
import struct
import zlib
from typing import TYPE_CHECKING

from tasks.texts.images import NotAnImageError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # of what is opened; others are no images here
MOST_PIXELS = 50_000_000  # 150 MB as RGB; a file of a few kB may hold any number
# What Pillow's readers raise of files that are damaged: whatever breaks first.
BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error, zlib.error)
WHITE = (255, 255, 255)


def decode(raw: bytes) -> "Image":
    """The image in `raw` as upright 8-bit RGB, transparency on white; NotAnImageError if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            _refuse(image)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise _too_many("too many") from None
    except Image.UnidentifiedImageError:
        raise NotAnImageError("is empty" if not raw else "is not a PNG, JPEG, WebP, BMP, GIF, TIFF or PPM") from None
    except BROKEN as error:
        words = " ".join(str(error).split())[:80] or type(error).__name__
        raise NotAnImageError(f"is damaged or truncated ({words})") from None


def _refuse(image: "Image") -> None:
    """Raise NotAnImageError for too many pixels and for several frames, before anything is decoded."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_many(f"{width} × {height}")
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and image.format != "MPO":  # a photo whose other pictures are previews of itself
        raise NotAnImageError(f"holds {frames} pictures, and only one can be read: save just that one")


def _too_many(pixels: str) -> NotAnImageError:
    return NotAnImageError(
        f"has {pixels} pixels, and {MOST_PIXELS // 1_000_000} million are allowed at most: scale it down"
    )


def _rgb(image: "Image") -> "Image":
    """`image` as RGB; 16 bits a sample are scaled to 8, as Pillow would cut them off."""
    from PIL import Image

    if image.mode == "F":
        raise NotAnImageError("has numbers without a scale for pixels: save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        import numpy as np

        return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65_535) >> 8).astype(np.uint8)).convert(
            "RGB"
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, (*WHITE, 255)), shown).convert("RGB")
    return image.convert("RGB")
