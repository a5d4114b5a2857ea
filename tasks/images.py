"""Images: what is read of the bytes of one, alike in training, evaluation and serving, and why one cannot be read."""

import base64
import binascii
import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import AnnealError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")  # of files that are tried
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # of what is opened; others are no images here
SENT = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/webp": (b"RIFF",),
}  # how they begin
MOST_PIXELS = 50_000_000  # 150 MB as RGB; a file of a few kB may hold any number
MOST_BYTES = 64 << 20
WHITE = (255, 255, 255)
URL = re.compile(r"data:(image/[a-z]+);base64,")


class NotAnImageError(AnnealError):
    """What cannot be read as one image; its words say why, in one clause that follows on `it`."""


def digest(content: bytes) -> str:
    """What an image is called by: the SHA-256 of its bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def content(path: Path) -> bytes:
    """The bytes of an image; NotAnImageError where they are not there, or more than MOST_BYTES."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise NotAnImageError(f"has {size >> 20} MiB, and {MOST_BYTES >> 20} are read at most")
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotAnImageError("is not there") from None


def opened(raw: bytes) -> "Image":
    """The image in `raw` as RGB of 8 bits, upright, what is transparent on white; NotAnImageError for what is none."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            _refuse(image)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise _too_many("too many") from None
    except Image.UnidentifiedImageError:
        raise NotAnImageError("is empty" if not raw else "is no PNG, JPEG, WebP, BMP, GIF, TIFF or PPM") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        words = (
            " ".join(str(error).split())[:80] or type(error).__name__
        )  # Pillow's readers raise whatever breaks first
        raise NotAnImageError(f"is damaged or breaks off ({words})") from None


def _refuse(image: "Image") -> None:
    """Raise NotAnImageError for more pixels than are read, and for more pictures than one; none is decoded yet."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_many(f"{width} × {height}")
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and image.format != "MPO":  # a photo whose other pictures are previews of itself
        raise NotAnImageError(f"holds {frames} pictures, and one is read: save the one that is meant")


def _too_many(pixels: str) -> NotAnImageError:
    return NotAnImageError(
        f"has {pixels} pixels, and {MOST_PIXELS // 1_000_000} million are read at most: scale it down"
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


def kind_of(raw: bytes) -> str | None:
    """The media type of what servers are sent, told from its first bytes; None of anything else."""
    kind = next((kind for kind, starts in SENT.items() if raw.startswith(starts)), None)
    return None if kind == "image/webp" and raw[8:12] != b"WEBP" else kind


def as_url(raw: bytes) -> str:
    """The bytes of an image as a `data:` URL."""
    return f"data:{kind_of(raw) or 'image/unknown'};base64,{base64.b64encode(raw).decode()}"


def of_url(url: str) -> bytes:
    """The bytes in a `data:` URL; NotAnImageError for any other URL, since nothing that a client points to is
    fetched.
    """
    match = URL.match(url)
    if not match:
        raise NotAnImageError("must come as a data: URL with its bytes in base64; no address is fetched")
    try:
        return base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise NotAnImageError("is not whole base64") from None
