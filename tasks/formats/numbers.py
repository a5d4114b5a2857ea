"""Numbers as text: what counts as one, and the one way to write each."""

import math
import re

LARGEST = 1e100  # of a number that is taken for one: its square is a number as well
LONGEST = 60  # characters of a number with its unit
MARKED = re.compile(
    r"[^\d.,+-]*([-+]?\d[\d., '\u00a0\u202f]*)[^\d]*"
)  # a number with a unit, or marks between its digits


def number(text: str) -> float | None:
    """The number that `text` is; None for anything else, and for one beyond 1e100 on either side."""
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if "_" not in text and math.isfinite(value) and abs(value) <= LARGEST else None


def format_number(value: float) -> str:
    """A number in as few digits as tell it: `4.5`, `4`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def problem(text: str) -> str | None:
    """Why `text` is not a number, and what to write where that can be told, in one clause; None when it is one."""
    if number(text) is not None:
        return None
    shown = text.strip()[:40]
    if len(text) <= LONGEST and MARKED.fullmatch(text.strip()):
        return f"{shown!r}, which has a unit, or marks between its digits; write the digits alone, as in 1234.5"
    return f"{shown!r}, which is not a number"


def decimals(text: str) -> int:
    """How many digits stand behind the point of a number that is written without an exponent; 15 of any other."""
    return len(text.strip().partition(".")[2]) if "e" not in text.lower() else 15


def rounds_to(said: str, right: str) -> bool:
    """Whether the number `said` is the one that a person wrote, in as many decimals as they wrote."""
    ours, theirs = number(said), number(right)
    return ours is not None and theirs is not None and round(ours, decimals(right)) == theirs
