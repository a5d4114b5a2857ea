"""Lines with personal data at known places, made from published standards and not from what redaction looks for;
check digits are computed here.
"""

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass

from bench.redaction_sentences import AROUND, CALLED
from bench.redaction_standards import (
    BARE,
    BBANS,
    BLANKS,
    DASHES,
    DOMAINS,
    EXTENSIONS,
    HIDDEN,
    MAILS,
    NAMES,
    NETWORKS,
    PHONES,
)

SEED = 20261126


@dataclass(frozen=True)
class Line:
    """A text; from `start` to `end` stands personal data of `kind`, or nothing does."""

    text: str
    kind: str
    form: str
    start: int = 0
    end: int = 0

    @property
    def clean(self) -> str:
        """The text as redaction should leave it."""
        return self.text[: self.start] + (f"<{self.kind}>" if self.end else "") + self.text[self.end :]


def filled(form: str, dice: random.Random) -> str:
    """`form` with digits and letters for N, X, A and C."""
    letters = {
        "N": "23456789",
        "X": string.digits,
        "A": string.ascii_uppercase,
        "C": string.digits + string.ascii_uppercase,
    }
    return "".join(dice.choice(letters[char]) if char in letters else char for char in form)


def luhn(digits: str) -> int:
    """The check digit behind `digits`: every second one doubled, from the right."""
    return -sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits))) % 10


def iban(country: str, dice: random.Random) -> str:
    """An account of that country."""
    bban = filled(BBANS[country], dice)
    number = int("".join(str(int(char, 36)) for char in f"{bban}{country}00"))
    return f"{country}{98 - number % 97:02}{bban}"


def card(network: str, dice: random.Random) -> tuple[str, tuple[int, ...]]:
    """(number, printed groups) of that network."""
    beginnings, length, groups = NETWORKS[network]
    start = dice.choice(beginnings)
    digits = start + "".join(dice.choice(string.digits) for _ in range(length - 1 - len(start)))
    return f"{digits}{luhn(digits)}", groups


def grouped(text: str, sizes: tuple[int, ...], gap: str) -> str:
    """`text` in groups of these sizes; the last size is used for all that is left."""
    parts, place = [], 0
    while place < len(text):
        size = sizes[min(len(parts), len(sizes) - 1)]
        parts.append(text[place : place + size])
        place += size
    return gap.join(parts)


def placed(secret: str, kind: str, form: str, dice: random.Random, around: list[str] | None = None) -> Line:
    """The secret in a sentence of its kind, or in one of `around`."""
    before, after = dice.choice(around or AROUND[kind]).split("{}")
    return Line(f"{before}{secret}{after}", kind, form, len(before), len(before) + len(secret))


def personal(seed: int = SEED, times: int = 1) -> Iterator[Line]:
    """Lines with one piece of personal data each; `times` more of each form."""
    dice = random.Random(seed)
    for _ in range(times):
        for country in BBANS:
            account = iban(country, dice)
            for gap in (" ", "", dice.choice(BLANKS), dice.choice(DASHES)):
                yield placed(grouped(account, (4,), gap), "IBAN", country, dice)
            yield placed(grouped(account, (4,), " ").lower(), "IBAN", country, dice)
            yield placed(account[:9] + dice.choice(HIDDEN) + account[9:], "IBAN", country, dice)
        for network in NETWORKS:
            number, sizes = card(network, dice)
            for gap in (" ", "", "-", dice.choice(BLANKS), dice.choice(DASHES)):
                yield placed(grouped(number, sizes, gap), "CARD", network, dice)
            fullwidth = "".join(
                chr(0xFEE0 + ord(char)) if char.isdigit() else char for char in grouped(number, sizes, " ")
            )
            yield placed(fullwidth, "CARD", network, dice)
        for country, forms in PHONES.items():
            for form in forms:
                number = filled(form, dice)
                yield placed(number + dice.choice(EXTENSIONS), "PHONE", country, dice)
                typed = number.replace(" ", dice.choice(BLANKS)).replace("-", dice.choice(DASHES))
                yield placed(
                    typed if typed != number else number[:-3] + dice.choice(HIDDEN) + number[-3:],
                    "PHONE",
                    country,
                    dice,
                )
        for country, form in BARE.items():
            yield placed(filled(form, dice), "PHONE", country, dice, CALLED)
        for form in MAILS:
            for _ in range(5):
                name, other, domain = dice.choice(NAMES), dice.choice(NAMES), dice.choice(DOMAINS)
                mail = form.format(a=name, b=other, A=name.upper(), d=domain, D=domain.upper(), h=dice.choice(HIDDEN))
                yield placed(mail, "EMAIL", form, dice)
