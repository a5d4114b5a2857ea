"""Numbers as text: which texts are numbers, and the canonical way to write them."""

import math
import re

LARGEST = 1e100  # accepted magnitude: its square is still finite
LONGEST = 60  # characters of a number with its unit
# A number with a unit, or marks between its digits.
MARKED = re.compile(r"[^\d.,+-]*([-+]?\d[\d., '\u00a0\u202f]*)[^\d]*")


def number(text: str) -> float | None:
    """`text` as a number; None for anything else, and beyond ±1e100."""
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if "_" not in text and math.isfinite(value) and abs(value) <= LARGEST else None


def format_number(value: float) -> str:
    """A number in as few digits as identify it: `4.5`, `4`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def problem(text: str) -> str | None:
    """Why `text` is not a number and, if possible, what to write instead, in one clause; None if it is one."""
    if number(text) is not None:
        return None
    shown = text.strip()[:40]
    if len(text) <= LONGEST and MARKED.fullmatch(text.strip()):
        return f"{shown!r}, which has a unit, or marks between its digits; write the digits alone, as in 1234.5"
    return f"{shown!r}, which is not a number"


def decimals(text: str) -> int:
    """The number of digits after the decimal point; 15 for a number with an exponent."""
    return len(text.strip().partition(".")[2]) if "e" not in text.lower() else 15


def rounds_to(answer: str, right: str) -> bool:
    """Whether the number `answer`, rounded to as many decimals as `right` has, equals it."""
    value, expected = number(answer), number(right)
    return value is not None and expected is not None and round(value, decimals(right)) == expected
