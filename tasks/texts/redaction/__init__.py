"""Takes personal data of structured kinds out of a text: mail addresses, phones, IBANs, cards, IP addresses, secrets in
URLs, US SSNs.

Names and postal addresses have no form of their own and stay. Presidio's recognisers would do the same, but importing
them imports torch and spaCy (7 s, 600 MB in the gateway); a test compares the two. What stands where is found in the
plain form of a text (see plain.py) and replaced in the text as it was written, so that nothing else of it changes.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from tasks.texts.redaction.card import cards, grouped_cards
from tasks.texts.redaction.iban import ibans
from tasks.texts.redaction.nested import mapped
from tasks.texts.redaction.network import ips4, ips6, mails, without_secrets
from tasks.texts.redaction.phone import phones
from tasks.texts.redaction.plain import Span, plain_form

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")  # tasks/texts/images.py
MOST_PASSES = 8  # what goes may free what stood beside it; more than two passes are a text made for it
SSN = re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w-])")

LEAST_NUMBER, MOST_NUMBER = 10**11, 10**19  # numbers with as many digits as a card


def redact(text: str) -> str:
    """`text` with `<EMAIL>`, `<PHONE>`, `<IBAN>`, `<CARD>`, `<IP>`, `<SSN>` and `<SECRET>` where they stood;
    redacting twice changes nothing. The name of an image, a hash, stays whole: its digits are nobody's.
    """
    if DIGEST.fullmatch(text):
        return text
    for _ in range(MOST_PASSES):
        before, text = text, _pass(text)
        if text == before:
            break
    return text


def _ssns(text: str) -> Iterator[Span]:
    return (match.span() for match in SSN.finditer(text))


Finder = tuple[re.Pattern[str], Callable[[str], Iterable[Span]], str]
NUMBER = re.compile(r"\d(?:[ ().\-_/+]{0,4}\d){6}")  # no card, phone or SSN has fewer digits in a row
# In this order: what an earlier one takes, a later one does not see. (a cheap look whether there may be any, finder,
# placeholder)
FINDERS: tuple[Finder, ...] = (
    (re.compile("@"), mails, "<EMAIL>"),
    (re.compile(":"), ips6, "<IP>"),
    (re.compile(r"\d ?\d(?:[^A-Za-z0-9]{0,9}[A-Za-z0-9]){11}"), ibans, "<IBAN>"),
    (NUMBER, cards, "<CARD>"),
    (NUMBER, grouped_cards, "<CARD>"),
    (NUMBER, _ssns, "<SSN>"),
    (re.compile(r"\d\.\d{1,3}\.\d"), ips4, "<IP>"),
    (NUMBER, phones, "<PHONE>"),
)


def _pass(text: str) -> str:
    """One look at the whole text."""
    text = without_secrets(text)
    plain = plain_form(text)
    left, spans = plain.text, []
    worth = {look: bool(look.search(left)) for look in {look for look, _, _ in FINDERS}}
    for look, finder, placeholder in FINDERS:
        if worth[look]:
            new = list(finder(left))
            spans += [(*plain.original(span), placeholder) for span in new]
            left = _masked(left, new)
    return _replaced(text, sorted(spans))


def _masked(text: str, spans: list[Span]) -> str:
    """`text`, no longer and no shorter, without what is at `spans`."""
    pieces, done = [], 0
    for start, end in spans:
        pieces += [text[done:start], "<", "\0" * (end - start - 2), ">"]
        done = end
    return "".join((*pieces, text[done:])) if spans else text


def _replaced(text: str, spans: list[tuple[int, int, str]]) -> str:
    pieces, done = [], 0
    for start, end, placeholder in spans:
        pieces += [text[done:start], placeholder]
        done = end
    return "".join((*pieces, text[done:])) if spans else text


def redact_all(value: object) -> object:
    """`value` (texts in lists and objects, however deep) with every text redacted, the names of an object and
    numbers with a card's digits too.
    """
    return mapped(value, _redacted, redact)


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LEAST_NUMBER:
        text = str(value) if abs(value) < MOST_NUMBER else ""
        return clean if (clean := redact(text)) != text else value
    return value
