"""README opens with what Anneal is, its page and its commands; its pictures are there, and small enough to load."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST_SCREEN = 20  # lines
LARGEST = 150 * 1024  # bytes, of the picture of the page
PICTURE = re.compile(r'<img src="([^"]+)"|!\[[^\]]*\]\(([^)]+)\)')
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def pictures(text: str) -> list[Path]:
    """The files that a text of Markdown shows."""
    return [ROOT / (tag or mark) for tag, mark in PICTURE.findall(text)]


def test_the_first_screen_shows_the_page_and_how_to_start() -> None:
    first = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:FIRST_SCREEN])
    (page,) = pictures(first)
    assert page.read_bytes().startswith(SIGNATURE) and page.stat().st_size <= LARGEST
    assert "\n    make pipeline " in first and "\n    make up " in first


def test_every_picture_is_there() -> None:
    every = pictures((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(every) >= 2 and all(path.is_file() for path in every)
