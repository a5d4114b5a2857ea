"""Takes personal data of structured kinds out of a text: mail addresses, phones, IBANs, cards, IP addresses, secrets in URLs, US SSNs.

Names and postal addresses have no form of their own and stay. Presidio's recognisers would do the same, but importing them
imports torch and spaCy (7 s, 600 MB in the gateway); a test compares the two. Phone numbers are libphonenumber's to judge.
"""

import ipaddress
import re
from collections.abc import Callable

# Lengths are bounded everywhere, so that no text makes a pattern slow.
EMAIL = re.compile(r"[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}\b")
CREDENTIALS = re.compile(r"\b([a-z][a-z0-9+.-]{1,15}://)[^\s/@:]{0,100}:[^\s/@]{1,200}@", re.IGNORECASE)
SECRET = re.compile(r"([?&](?:access_token|api_?key|auth|code|key|password|pwd|secret|sig|signature|token)=)[^\s&#\"'<>]{1,2000}", re.IGNORECASE)
OUR_KEY = re.compile(r"\banneal-[0-9a-f]{8}-[\w-]{20,100}|\bsk-[\w-]{16,200}")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b", re.IGNORECASE)
CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-]|\.\d)")
SSN = re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w-])")
IP4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
IP6 = re.compile(r"(?<![\w:.])[0-9a-f:]{2,39}:[0-9a-f:.]{0,39}(?![\w:])", re.IGNORECASE)
# A phone is written with + or 00, with a leading 0, or in the groups of North America; a bare run of digits is an order number, 01.02.2026 a date.
PHONE = re.compile(r"(?<![\w.,#/-])(?!\d\d[.-]\d\d[.-]\d{4}\b)(?:(?:\+|00)\d|\(?0\d|\(\d{3}\)|(?:1[ .-])?\d{3}[ .-](?=\d{3}[ .-]\d{4}(?!\w)))[\d ().-]{4,22}\d(?![\w/]|[-.]\d)")
NORTH_AMERICA = re.compile(r"(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}")
REGIONS = ("GB", "DE", "FR", "IT", "NL", "US", "AU", "IN")  # where a number that begins with 0 may be at home
MOST_PHONES = 50  # judged by libphonenumber in one text; the others go unjudged


def redact(text: str) -> str:
    """`text` with `<EMAIL>`, `<PHONE>`, `<IBAN>`, `<CARD>`, `<IP>`, `<SSN>` and `<SECRET>` where they stood; redacting twice changes nothing."""
    if "://" in text:
        text = CREDENTIALS.sub(r"\1<SECRET>@", text)
    if "=" in text:
        text = SECRET.sub(_secret, text)
    if "-" in text:
        text = OUR_KEY.sub("<SECRET>", text)
    if "@" in text:
        text = EMAIL.sub("<EMAIL>", text)
    if ":" in text:
        text = IP6.sub(_if(is_ip, "<IP>"), text)
    if sum(map(str.isdigit, text)) < 4:  # nothing of what follows has fewer
        return text
    text = IBAN.sub(_if(is_iban, "<IBAN>"), text)
    text = CARD.sub(_if(is_card, "<CARD>"), text)
    text = SSN.sub("<SSN>", text)
    text = IP4.sub(_if(is_ip, "<IP>"), text)
    return PHONE.sub(_phones(), text)


def redact_all(value: object) -> object:
    """`value` (texts in lists and objects) with every text redacted, the names of an object too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(name)): redact_all(entry) for name, entry in value.items()}
    return [redact_all(entry) for entry in value] if isinstance(value, list | tuple) else value


def is_card(text: str) -> bool:
    """The check digit of ISO/IEC 7812 (Luhn) fits, and it is no row of equal digits."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """The check digits of ISO 13616 fit."""
    packed = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(packed) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in packed[4:] + packed[:4])) % 97 == 1


def is_ip(text: str) -> bool:
    """An address of version 4 or 6, but not the empty ones, which are words of computing and nobody's."""
    try:
        return int(ipaddress.ip_address(text.rstrip("."))) > 1
    except ValueError:
        return False


def is_phone(text: str) -> bool:
    """libphonenumber takes it for a number: of any country after a +, of some countries after a 0."""
    import phonenumbers

    if NORTH_AMERICA.fullmatch(text):
        return True
    digits = re.sub(r"\D", "", text)
    if not 7 <= len(digits) <= 15:
        return False
    if text.startswith(("+", "00")):
        return _is_possible(phonenumbers, f"+{digits.removeprefix('00')}")
    return any(_is_valid(phonenumbers, text, region) for region in REGIONS)


def _is_possible(phonenumbers: object, text: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False


def _is_valid(phonenumbers: object, text: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False


def _if(holds: Callable[[str], bool], placeholder: str) -> Callable[[re.Match], str]:
    return lambda match: placeholder if holds(match[0]) else match[0]


def _secret(match: re.Match) -> str:
    return f"{match[1]}<SECRET>"


def _phones() -> Callable[[re.Match], str]:
    """The replacement for one text: after MOST_PHONES numbers it judges no more and takes all of them out."""
    seen = 0

    def replace(match: re.Match) -> str:
        nonlocal seen
        seen += 1
        return "<PHONE>" if seen > MOST_PHONES or is_phone(match[0].strip()) else match[0]

    return replace
