"""The plain form of a text, in which personal data is searched, and the mapping back to the original positions.

People write `DE89 3704` with no-break blanks, dashes of every kind, fullwidth digits and invisible characters; programs
write `%40` and `\\u00a0`. The plain form writes all of these in ASCII, so that the finders need to know one form only;
nothing but the places of what they find leaves it.
"""

import re
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

Span = tuple[int, int]

# Not category Cf, but invisible all the same: fillers, variation selectors, the joiner of graphemes, the frame of a
# keycap.
INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u20e3\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10))))
)
DASHES = frozenset(
    "\u02d7\u2043\u2212\u2500\u30fc\uff70"
)  # beside category Pd; Japanese phones are typed with the long vowel mark
DOTS = frozenset("\u00b7\u2027\u2219")
ENTITIES = {
    "nbsp": " ",
    "ensp": " ",
    "emsp": " ",
    "thinsp": " ",
    "ndash": "-",
    "mdash": "-",
    "shy": "",
    "zwnj": "",
    "zwj": "",
    "commat": "@",
}
ESCAPE = re.compile(
    r"(?P<percent>%C2%A0|%E2%80%[89A][0-9A-F]|%E2%88%92|%(?:09|20|2[89BDE]|40|5[BD]))"
    r"|&(?:#(?P<decimal>\d{1,6})|#x(?P<hex>[0-9a-f]{1,5})|(?P<entity>" + "|".join(ENTITIES) + r"));"
    r"|\\(?:u(?P<code>[0-9a-f]{4})|x(?P<byte>[0-9a-f]{2})|(?P<control>[nrt]))"
    r"| ?[(\[{] ?(?:(?P<at>at)|(?P<dot>dot|punkt|point|punto|punt)) ?[)\]}] ?",
    re.IGNORECASE,
)
# Chinese and Korean, and the planes that are private or empty: nine of ten characters, of which none has an ASCII form.
FORMLESS = re.compile("[\u3400-\u9fff\uac00-\ud7a3\U00020000-\U000dffff\U000f0000-\U0010ffff]+")
WORDS = re.compile(r"[(\[{] ?(?:[Aa][Tt]|[DdPp][OoUu])")


@dataclass(frozen=True)
class Plain:
    """`text` in plain form. Where a part of the original became shorter, `starts` and `shifts` say by how much all
    behind it moved.
    """

    text: str
    starts: tuple[int, ...] = ()  # places in `text` from which a shift holds, ascending
    shifts: tuple[int, ...] = ()  # place in the original less place in `text`
    widths: dict[int, int] | None = (
        None  # place in `text`: how many characters of the original it stands for, where not one
    )

    def original(self, span: Span) -> Span:
        """Where `span` of the plain text stood; invisible characters inside are part of it, those around it are not."""
        if not self.starts:
            return span
        last = span[1] - 1
        return self._original(span[0]), self._original(last) + (self.widths or {}).get(last, 1)

    def _original(self, place: int) -> int:
        index = bisect_right(self.starts, place) - 1
        return place + self.shifts[index] if index >= 0 else place


def plain_form(text: str) -> Plain:
    """`text` in ASCII where it has an ASCII form, without what is invisible; a text that has nothing of that comes
    back as it is.
    """
    forms = (
        {}
        if text.isascii() and "\t" not in text
        else {char: form for char in set(FORMLESS.sub("", text)) if (form := _form(char)) is not None}
    )
    hidden = {char for char, form in forms.items() if not form}
    escaped = any(mark in text for mark in "%&\\") or bool(WORDS.search(text))
    if not hidden and not escaped:
        return Plain(text.translate({ord(char): form for char, form in forms.items()}) if forms else text)
    pieces, starts, shifts, widths = [], [], [], {}
    done = length = 0
    for start, end, form in _changes(text, hidden, escaped):
        pieces += [text[done:start], form]
        length += start - done + len(form)
        if form:
            widths[length - 1] = end - start
        starts.append(length)
        shifts.append(end - length)
        done = end
    joined = "".join((*pieces, text[done:]))
    return Plain(
        joined.translate({ord(char): form for char, form in forms.items()}), tuple(starts), tuple(shifts), widths
    )


def _changes(text: str, hidden: set[str], escaped: bool) -> Iterator[tuple[int, int, str]]:
    """(start, end, form) of every part whose plain form is shorter, in order."""
    patterns = ([f"(?P<hidden>[{re.escape(''.join(sorted(hidden)))}]+)"] if hidden else []) + (
        [ESCAPE.pattern] if escaped else []
    )
    for match in re.finditer("|".join(patterns), text, re.IGNORECASE):
        kind = match.lastgroup or ""
        form = "" if kind == "hidden" else _unescaped(kind, match[kind])
        if form is not None:
            yield match.start(), match.end(), form


def _unescaped(kind: str, value: str) -> str | None:
    """What an escape stands for, in plain form; None where it is nothing that a finder looks for."""
    if kind == "entity":
        return ENTITIES[value.lower()]
    if kind in ("at", "dot", "control"):
        return {"at": "@", "dot": ".", "control": "\n"}[kind]
    code = ord(unquote(value)) if kind == "percent" else int(value, 10 if kind == "decimal" else 16)
    if code > sys.maxunicode:
        return None
    form = _form(chr(code))
    return form if form is not None else chr(code) if 32 <= code < 127 else None


@lru_cache(maxsize=4096)
def _form(char: str) -> str | None:
    """The ASCII form of one character, "" for an invisible one, None for any other."""
    if char == "\t":
        return " "
    if char.isascii():
        return None
    category = unicodedata.category(char)
    if category == "Pd" or char in DASHES:
        return "-"
    if category == "Cf" or char in INVISIBLE:
        return ""
    if category in ("Lo", "Cn", "Co"):
        return None  # most of Unicode: no letter of these has an ASCII form
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Zs":
        return " "
    if char in DOTS:
        return "."
    compatible = unicodedata.normalize("NFKC", char)
    return compatible if len(compatible) == 1 and compatible.isascii() and not compatible.isdigit() else None
