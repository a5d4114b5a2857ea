"""Finds phone numbers: candidates by their notation, verified by libphonenumber's numbering plans."""

import re
from collections.abc import Iterator

from tasks.texts.redaction import phone_forms as forms
from tasks.texts.redaction.numbering import is_international, is_national
from tasks.texts.redaction.plain import Span

NEAR = 40  # characters before a number in which a word may say what it is
LEAST, LEAST_BARE = 7, 9  # digits; in one row, with nothing but a leading 0 to say that it is a phone
MOST = 2000  # candidates judged in one text; the others are taken out unjudged


def phones(text: str) -> Iterator[Span]:
    """Where phone numbers stand in a plain text, extensions included."""
    place = judged = done = 0
    while match := forms.CANDIDATE.search(text, place):
        judged += 1
        start = match.start()
        before = text[max(0, start - NEAR) : start]
        before = before[max(map(before.rfind, "<>\n")) + 1 :]
        if judged <= MOST and (other := _other(text, start, before)):
            place = other
        elif end := match.end() if judged > MOST else _end(text, match, before, done):
            extension = forms.EXTENSION.match(text, end)
            place = done = extension.end() if extension else end
            yield start + (text[start] == "(" and ")" not in text[start:end]), place
        else:
            group = forms.GROUP.match(text, start)
            place = group.end() if group else match.end()


def _other(text: str, start: int, before: str) -> int | None:
    """Where what begins at `start` ends when it is a date, hours of opening, a key in four groups of four, or named
    something else than a phone.
    """
    if text[start] != "+" and forms.NAMED.search(before):
        match = forms.ROW.match(text, start)
    else:
        is_behind = text[max(0, start - 2) : start] == "> "
        match = (
            (is_behind and forms.EXPIRY.match(text, start))
            or forms.DATE.match(text, start)
            or forms.HOURS.match(text, start)
            or forms.SERIAL.match(text, start)
        )
    return match.end() if match else None


def _end(text: str, match: re.Match[str], before: str, done: int) -> int | None:
    """Where the number that begins with `match` ends: the longest row of its groups that is one; None when none is.

    What stands before `done` is a phone already, so nothing that this number could go on from.
    """
    start = match.start()
    is_called = bool(forms.CALLED.search(before))
    ends = []
    last = _next_number(text, match) or match.end()
    for end in reversed([group.end() for group in forms.DIGITS.finditer(text, start, last)]):
        part = text[start:end]
        if sum(map(str.isdigit, part)) < LEAST:
            break
        if forms.EXTENSION.match(text, end) or not forms.AFTER.match(text, end):
            beside = forms.BESIDE.match(text, end)
            is_apart = not forms.BESIDE_BEFORE.search(text, max(done, start - 3), start) and (
                not beside or _begins(text, beside.end() - 1)
            )
            if is_phone(part, is_called, is_apart):
                return end
            ends += [end] if not forms.DECIMAL.fullmatch(part) else []
    return (
        ends[0] if ends and forms.NAMED_PHONE.search(before) else None
    )  # in no plan that we know, but a person calls it a phone


def _begins(text: str, place: int) -> bool:
    """A number in a phone's groups begins here."""
    return bool(forms.PAIRS_OF_TEN.match(text, place) or forms.GROUPS.match(text, place))


def _next_number(text: str, match: re.Match[str]) -> int | None:
    """Where the row of groups goes on with a number of its own: `030 2345678/030 2345679` are two."""
    start = match.start()
    for head in forms.TRUNK.finditer(text, start + LEAST, match.end()):
        before = text[start : head.start()].rstrip(" ()./-")
        if is_phone(before) and (following := forms.CANDIDATE.match(text, head.start())):
            ends = [group.end() for group in forms.DIGITS.finditer(text, head.start(), following.end())]
            if any(is_phone(text[head.start() : end]) for end in ends):
                return head.start()
    return None


def is_phone(text: str, is_called: bool = False, is_apart: bool = True) -> bool:
    """A possible number of any country after a +; after a leading 0 a valid number of some country, and likewise in
    groups that are a phone's and stand apart from other numbers, or called a phone.
    """
    digits = re.sub(r"\D", "", text)
    if not LEAST <= len(digits) <= 17:
        return False
    if "+" in text[:2] or digits.startswith("00"):
        return is_international(digits.removeprefix("00") if digits.startswith("00") else digits)
    if text.lstrip("(")[0] == "0":
        is_likely = is_called or (
            is_apart and len(digits) == 10
            if forms.PAIRS.fullmatch(text)
            else text != digits or len(digits) >= LEAST_BARE
        )
        return is_likely and is_national(digits)
    text = re.sub(" +", " ", text)
    if (
        forms.NORTH_AMERICA.fullmatch(text)
        or forms.RUSSIA.fullmatch(text)
        or ((is_called or forms.COUNTRY.match(text)) and is_international(digits, is_sure=True))
    ):
        return True
    return bool(
        (is_called and not forms.DECIMAL.fullmatch(text)) or (is_apart and forms.GROUPS.fullmatch(text))
    ) and is_national(digits)
