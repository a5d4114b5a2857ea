"""Finds payment cards (ISO/IEC 7812): the ranges and lengths of the networks, and the check digit."""

import re
from collections.abc import Iterator

from stdnum import luhn

from tasks.texts.redaction.plain import Span

GAP = r"[ .\-_/+]{1,3}"
# As cards are printed: 4-4-4-4 (and 3 more), Amex 4-6-5, Diners 4-6-4, Visa's old 4-3-3-3, and the halves that forms
# ask for. A year or CVC may follow.
PRINTED = re.compile(
    rf"(?<!\d)(?:\d{{4}}(?:{GAP}\d{{4}}){{3}}(?P<more>{GAP}\d{{3}})?|\d{{4}}{GAP}\d{{6}}{GAP}\d{{4,5}}|\d{{4}}(?:{GAP}\d{{3}}){{3}}"
    rf"|\d{{4}}{GAP}\d{{5}}{GAP}\d{{6}}|\d{{8}}{GAP}\d{{8}}|\d{{6}}{GAP}\d{{10,13}}|(?<!\d[.,])\d{{12,19}})(?!\d)"
)
# In any other groups, with blanks and dashes only, from the first group of a row of digits.
GROUPED = re.compile(r"(?<!\d)(?<!\d[.,])(?<!\d[ -])(?<!\d[ -]{2})(?<!\d[ -]{3})\d(?:[ -]{0,3}\d){11,26}(?!\d)")
MOST_BEHIND = 3  # groups after a card that may be its expiry date and CVC
NETWORKS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"  # Visa
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-59]|[689]\d)\d{11}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12,15}|(?:2131|1800)\d{11}"  # JCB
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}"  # Discover
    r"|(?:62|81)\d{14,17}"  # UnionPay
    # Maestro, RuPay, Elo, Hipercard, Verve
    r"|(?:50[0-9]|5[6-9]\d|60\d|63\d|67\d)\d{13}|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"
    r"|220[0-4]\d{12,15}|9792\d{12}"  # Mir, Troy
)


def cards(text: str) -> Iterator[Span]:
    """Where card numbers stand in a plain text; expiry dates and codes beside them are no part of them."""
    place = 0
    while match := PRINTED.search(text, place):
        place = match.start() + 1
        glued = match.start() > 0 and (text[match.start() - 1].isalpha() or text[match.start() - 1] == "_")
        ends = [match.end(), match.start("more")] if match["more"] else [match.end()]
        for end in ends:
            if is_card(text[match.start() : end], known_network=glued):
                yield match.start(), end
                place = end
                break


def grouped_cards(text: str) -> Iterator[Span]:
    """Where card numbers in unusual groups stand in a plain text."""
    for match in GROUPED.finditer(text):
        ends = [group.end() for group in re.finditer(r"\d+", match[0])][: -MOST_BEHIND - 2 : -1]
        for end in ends:
            if is_card(match[0][:end], known_network=True):
                yield match.start(), match.start() + end
                break


def is_card(text: str, known_network: bool = False) -> bool:
    """The check digit (Luhn) fits, it is no row of equal digits, and a network has such numbers; else 16 digits that
    begin with 3 to 6 will do.
    """
    digits = re.sub(r"\D", "", text)
    range_fits = NETWORKS.fullmatch(digits) or (not known_network and len(digits) == 16 and digits[0] in "3456")
    return bool(range_fits) and len(set(digits)) > 1 and luhn.checksum(digits) == 0
