"""Finds IBANs (ISO 13616): the structure of each country from SWIFT's registry, by python-stdnum, and the check
digits.
"""

import re
from collections.abc import Iterator
from functools import cache
from string import ascii_uppercase

from stdnum import numdb

from tasks.texts.redaction.plain import Span

OTHER = re.compile(
    r"[A-Z]{2}\d\d(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
)  # of a country, but not as it has them
GAP = r"[ .\-_/+]{0,3}(?:\r?\n[ >]{0,4})?"  # between two characters; mail programs wrap lines
# Check digits behind two letters: digits are rarer than letters, so they are looked for first.
CHECK = re.compile(
    r"\d(?:(?<=[A-Za-z]\d)|(?<=[A-Za-z][ .\-]\d)|(?<=[A-Za-z][ .\-][ .\-]\d)) ?\d(?=[ .\-_/+]{0,3}[A-Za-z0-9])"
)
COUNTRY = re.compile(r"[A-Za-z]{2}[ .\-]{0,2}\Z")
PART = re.compile(r"([1-9]\d*)!([nac])")
# ISO 7064's value of each letter. (python-stdnum's checksum is the same, ten times slower; a test compares them.)
VALUES = {ord(letter): str(value) for value, letter in enumerate(ascii_uppercase, 10)}
CLASSES = {"n": "[0-9]", "a": "[A-Za-z]", "c": "[A-Za-z0-9]"}
# Countries that write IBANs without being in the registry: length of what follows the check digits.
UNREGISTERED = dict.fromkeys(("BJ", "BF", "CI", "ML", "NE", "SN", "TG", "MA"), 24) | dict.fromkeys(
    ("CF", "TD", "KM", "CG", "GQ", "GA", "MG", "CM"), 23
)
UNREGISTERED |= {"AO": 21, "CV": 21, "MZ": 21, "GW": 21, "DZ": 22, "IR": 22}


def ibans(text: str) -> Iterator[Span]:
    """Where IBANs stand in a plain text. The country says where one ends, so that the next word is not taken for a
    part of it.
    """
    place = 0
    while check := CHECK.search(text, place):
        place = check.start() + 1
        country = COUNTRY.search(text, max(0, check.start() - 4), check.start())
        if not country or (rest := _structure(country[0][:2].upper())) is None:
            continue
        if (
            country[0].isalpha()
            or country[0][:2].isupper()
            or "iban" in text[max(0, country.start() - 20) : country.start()].lower()
        ):
            account = rest.match(text, check.end())  # else it is a word: "no 12 …", "at 10 …"
            if not (account and is_iban(text[country.start() : account.end()])):
                account = OTHER.match(text, country.start())
            if account and _fits(text[country.start() : account.end()]):
                yield country.start(), account.end()
                place = account.end()


def is_iban(text: str) -> bool:
    """Country, structure and check digits fit. National check digits inside are not looked at: banks' own examples
    lack them.
    """
    packed = _packed(text)
    structure = _structure(packed[:2])
    return bool(structure and structure.fullmatch(packed[4:])) and _fits(text)


def _packed(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def _fits(text: str) -> bool:
    packed = _packed(text)
    return int((packed[4:] + packed[:4]).translate(VALUES)) % 97 == 1


@cache
def _structure(country: str) -> re.Pattern[str] | None:
    """What follows the check digits in that country's IBANs, gaps allowed; None for a country that has none."""
    registered = numdb.get("iban").info(country)[0][1].get("bban", "")
    parts = PART.findall(registered) or ([(UNREGISTERED[country], "c")] if country in UNREGISTERED else [])
    return re.compile("".join(f"(?:{GAP}{CLASSES[kind]}){{{count}}}" for count, kind in parts)) if parts else None
