"""Images as bytes: their digests, media types and data: URLs, and why one cannot be read."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.errors import AnnealError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")  # of files that are tried
# Media types that clients may send: their first bytes.
SENT = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/webp": (b"RIFF",),
}
MOST_BYTES = 32 << 20  # of an image
CARRIED, MOST_CARRIED = 16, 64 << 20  # rows whose images go with a version, and their bytes
URL = re.compile(r"data:(image/[a-z]+);base64,")


class NotAnImageError(AnnealError):
    """Raised for bytes that cannot be read as one image; the message says why, in one clause that continues "it"."""


def digest(content: bytes) -> str:
    """The name of an image: the SHA-256 of its bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def content(path: Path) -> bytes:
    """The bytes of an image; NotAnImageError if the file is missing or has more than MOST_BYTES."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise NotAnImageError(f"has {size >> 20} MiB, and {MOST_BYTES >> 20} are allowed at most")
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotAnImageError("is not there") from None


def kind_of(raw: bytes) -> str | None:
    """The media type of an image, from its first bytes; None for anything else."""
    kind = next((kind for kind, starts in SENT.items() if raw.startswith(starts)), None)
    return None if kind == "image/webp" and raw[8:12] != b"WEBP" else kind


def as_url(raw: bytes) -> str:
    """The bytes of an image as a `data:` URL."""
    return f"data:{kind_of(raw) or 'image/unknown'};base64,{base64.b64encode(raw).decode()}"


def of_url(url: str) -> bytes:
    """The bytes in a `data:` URL; NotAnImageError for any other URL, since nothing is fetched for clients."""
    match = URL.match(url)
    if not match:
        raise NotAnImageError("must come as a data: URL with its bytes in base64; no URL is fetched")
    try:
        return base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise NotAnImageError("is not complete base64") from None


def with_images(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`predictions`, the first ones about images with their `image` as a `data:` URL, so that a server can be asked
    them again wherever the version is deployed. The others are unchanged.
    """
    left, rows = MOST_CARRIED, []
    for place, row in enumerate(predictions):
        raw = content(Path(row["row"]["image_file"])) if place < CARRIED and "image_file" in row["row"] else b""
        left -= len(raw)
        rows.append({**row, "image": as_url(raw)} if raw and (left > 0 or place == 0) else dict(row))
    return rows


def can_be_asked(prediction: Mapping[str, Any]) -> bool:
    """Whether a server can be asked a prediction again: one about an image must carry it."""
    return "image_file" not in prediction["row"] or "image" in prediction


def chat_messages(url: str) -> list[dict[str, object]]:
    """The messages of a chat about the image in a `data:` URL."""
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
