"""Thumbnails of the images in rows, for a self-contained page."""

import base64
import io
from pathlib import Path

from tasks.dataset.rows import Answered
from tasks.texts import images, pixels
from tasks.texts.images import NotAnImageError

SIDE = 96  # pixels


def of_row(row: Answered) -> str | None:
    """A `data:` URL of the image of an answered row; None without one, or if the file is missing or changed."""
    file = row["row"].get("image_file")
    if file is None:
        return None
    try:
        raw = images.content(Path(file))
        if images.digest(raw) != row["row"]["image"]:
            return None
        image = pixels.decode(raw)
    except NotAnImageError:
        return None
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
