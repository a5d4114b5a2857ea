"""Decompresses gzip and zstd files, recognised by their extension or first bytes."""

import gzip
import zlib
from pathlib import Path

from tasks.errors import AnnealError

MARKS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
ENDINGS = {".gz": "gzip", ".zst": "zstd"}


def codec_of(path: Path) -> str | None:
    """How the file is compressed; None when it is not."""
    with path.open("rb") as file:
        start = file.read(4)
    by_mark = next((codec for mark, codec in MARKS.items() if start.startswith(mark)), None)
    return by_mark or ENDINGS.get(path.suffix.lower())


def content_of(path: Path) -> bytes:
    """The bytes of the file, decompressed; AnnealError when it breaks off or is damaged."""
    codec, stored = codec_of(path), path.read_bytes()
    try:
        if codec == "gzip":
            return gzip.decompress(stored)
        return _zstd(stored) if codec == "zstd" else stored
    except (OSError, EOFError, zlib.error) as error:
        raise AnnealError(f"{path}: not a complete {codec} file ({error}); copy it again.") from None


def _zstd(stored: bytes) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(stored), "zstd") as stream:
        return bytes(stream.read())
