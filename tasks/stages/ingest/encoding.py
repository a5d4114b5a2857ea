"""Decodes files as UTF-8, UTF-16 or UTF-32; for anything else, one sentence says what it seems to be."""

import codecs
import shlex
from pathlib import Path

from tasks.errors import AnnealError
from tasks.stages.ingest.compressed import content_of

# The longer mark first: UTF-32 LE begins with the mark of UTF-16 LE.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTAINERS = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"PAR1", "a Parquet file (call it .parquet)"),
    (b"ARROW1", "an Arrow file (call it .arrow)"),
    (b"SQLite format 3", "a SQLite database"),
)
SAMPLE = 65_536  # bytes from which the encoding is guessed


def text_of(path: Path) -> str:
    """The text of the file, decompressed; AnnealError for what is damaged, or not Unicode."""
    return decode(content_of(path), path)


def decode(content: bytes, path: Path) -> str:
    """`content` as text without its byte order mark."""
    for magic, name in CONTAINERS:
        if content.startswith(magic):
            raise AnnealError(f"{path} is {name}: save its rows as CSV (UTF-8) or JSON lines.")
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), None) or _unmarked(content)
    try:
        return content.decode(encoding).lstrip("\ufeff")  # some programs put a mark before the mark
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        if not encoding.startswith("utf-8"):
            raise AnnealError(
                f"{path}, line {line}: begins as {encoding.upper()} and is truncated; save the file as UTF-8."
            ) from None
        raise AnnealError(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); {_advice(content, error.start, path)}"
        ) from None


def _unmarked(content: bytes) -> str:
    """UTF-16 without a mark begins, in JSON and under nearly every header, with an ASCII character: one of two bytes
    is 0.
    """
    pairs = content[:64]
    even, odd = pairs[0::2], pairs[1::2]
    if odd.count(0) > len(odd) / 2 and not even.count(0):
        return "utf-16-le"
    if even.count(0) > len(even) / 2 and not odd.count(0):
        return "utf-16-be"
    return "utf-8"


def _advice(content: bytes, place: int, path: Path) -> str:
    """What the file seems to be, and the command that makes UTF-8 of it."""
    from charset_normalizer import from_bytes

    start = max(0, place - SAMPLE // 2)
    guess = from_bytes(content[start : start + SAMPLE]).best()
    if guess is None:
        return "save the file as UTF-8."
    # Several read the same of these bytes; then it is the commonest.
    name = "cp1252" if "cp1252" in guess.could_be_from_charset else guess.encoding.replace("_", "-")
    command = f"iconv -f {name} -t utf-8 {shlex.quote(path.name)} > {shlex.quote(f'new.{path.name}')}"
    return f"it seems to be {name}: save the file as UTF-8, for example with `{command}`, and look at its accents."
