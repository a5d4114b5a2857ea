"""Innocent lines: numbers of every kind that are nobody's, as people write them to a help desk."""

import random
import string
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from bench.redaction_corpus import SEED, Line, filled, grouped, luhn


def _failing(dice: random.Random, length: int = 16) -> str:
    """A serial number whose last digit is not the check digit of a card."""
    digits = "".join(dice.choice(string.digits) for _ in range(length - 1))
    return digits + str((luhn(digits) + dice.randint(1, 9)) % 10)


def _isbn(dice: random.Random) -> str:
    digits = "978" + filled("XXXXXXXXX", dice)
    check = -sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(digits)) % 10
    return f"{digits[:3]}-{digits[3]}-{digits[4:8]}-{digits[8:]}-{check}"


def _moment(dice: random.Random, form: str) -> str:
    return (datetime(2019, 1, 1) + timedelta(seconds=dice.randrange(8 * 365 * 86_400))).strftime(form)


def _amount(dice: random.Random, thousands: str, point: str) -> str:
    return f"{dice.randrange(1_000, 99_999_999):,}".replace(",", thousands) + f"{point}{dice.randrange(100):02}"


def _hex(dice: random.Random, length: int) -> str:
    return "".join(dice.choice("0123456789abcdef") for _ in range(length))


TRACKING = [
    "1ZAAAAXXXXXXXXXXXX",
    "JD0XXXXXXXXXXXXXXXXX",
    "AAXXXXXXXXXGB",
    "00340NXXXXXXXXXXXXXX",
    "940NXXXXXXXXXXXXXXXXXX",
]  # UPS, DHL, S10, SSCC, USPS
Maker = Callable[[random.Random], str]
INNOCENT: dict[str, Maker] = {
    "order number": lambda dice: (
        "my order "
        f"{filled(dice.choice(['XXXXXX', 'NXXXXXXXX', '1XXXXXXXXX', 'XXX-NXXXXXX-XXXXXXX', 'ORD-XXXXX']), dice)} is "
        "late"
    ),
    "invoice": lambda dice: (
        f"Rechnung Nr. {filled(dice.choice(['202X-XXXXX', 'RE-XXXXXXXX', '0XXXXXXXXX']), dice)} "
        f"vom {_moment(dice, '%d.%m.%Y')}"
    ),
    "ticket": lambda dice: f"ticket #{filled('NXXXXXXXXX', dice)}, case {filled('XXXXXXXX', dice)}",
    "date": lambda dice: (
        "since "
        + _moment(dice, dice.choice(["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%y", "%d %m %Y", "%d-%m-%Y", "%Y%m%d"]))
    ),
    "date and time": lambda dice: (
        "at "
        + _moment(dice, dice.choice(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y, %H.%M"]))
        + " it broke"
    ),
    "span of dates": lambda dice: (
        f"from {_moment(dice, '%d.%m.%Y')} to {_moment(dice, '%d.%m.%Y')}, {_moment(dice, '%Y')}-{_moment(dice, '%Y')}"
    ),
    "hours": lambda dice: (
        f"open {_moment(dice, '%H%M')}-{_moment(dice, '%H%M')}, {_moment(dice, '%H:%M')} - {_moment(dice, '%H:%M')}"
    ),
    "version": lambda dice: (
        "version "
        f"{filled(dice.choice(['X.X.X', 'X.XX.XXX', '10.0.XXXXX.NXXX', 'N.XX.X-rc.X', '202X.1X.X']), dice)} of the app"
    ),
    "tracking": lambda dice: f"parcel {filled(dice.choice(TRACKING), dice)}",
    "local address": lambda dice: (
        f"MAC {':'.join(_hex(dice, 2) for _ in range(6))}, port {dice.randrange(1024, 65536)}"
    ),
    "price in English": lambda dice: f"I paid ${_amount(dice, ',', '.')} for it",
    "price in German": lambda dice: f"Ich habe {_amount(dice, '.', ',')} € bezahlt",
    "price in French": lambda dice: (
        f"J'ai payé {_amount(dice, dice.choice([' ', chr(0xA0), chr(0x202F)]), ',')} € hier"
    ),
    "price in Swiss German": lambda dice: f"CHF {_amount(dice, chr(0x2019), '.')} abgebucht",
    "ISBN": lambda dice: f"the book {_isbn(dice)} has pages 117-342",
    "UUID": lambda dice: f"request {uuid.UUID(int=dice.getrandbits(128), version=4)} failed",
    "hash": lambda dice: f"commit {_hex(dice, dice.choice([7, 12, 40, 64]))}",
    "coordinates": lambda dice: (
        f"at {dice.uniform(-90, 90):.{dice.choice([4, 6, 14])}f}, {dice.uniform(-180, 180):.6f}"
    ),
    "license plate": lambda dice: (
        f"my car {filled(dice.choice(['M-AA NXXX', 'AAXX AAA', 'AA-XXX-AA', 'NAAAXXX']), dice)} is outside"
    ),
    "serial number": lambda dice: f"serial {_failing(dice)}, device SN-{_failing(dice, 12)}",
    "printed serial": lambda dice: f"key {grouped(_failing(dice), (4,), '-')}",
    "timestamp": lambda dice: f"ts={1_500_000_000 + dice.randrange(300_000_000)} took {dice.random()!r} s",
    "measures": lambda dice: (
        f"{dice.randrange(10, 999)} x {dice.randrange(10, 999)} mm, {dice.randrange(100, 240)} "
        f"V, {dice.randrange(1000, 9999)} K"
    ),
    "list of numbers": lambda dice: "readings " + ", ".join(str(dice.randrange(10, 9999)) for _ in range(6)),
    "package": lambda dice: (
        f"pip install {dice.choice(['torch', 'vllm'])}=={filled('N.XX.X', dice)} "
        f"react@{filled('1X.X.X', dice)} git@github.com:a/b.git"
    ),
    "customer number": lambda dice: (
        f"customer no. {filled(dice.choice(['XXXXXXXX', '00XXXXXXXX', 'K-XXX-XXX-XXX', 'XXX XXX XXX']), dice)}"
    ),
    "error code": lambda dice: (
        f"error 0x{_hex(dice, 8).upper()} in line {dice.randrange(1, 9999)}, code E{filled('XXXX', dice)}"
    ),
    "population": lambda dice: (
        f"{dice.randrange(10**6, 10**8):,} people, {dice.randrange(10, 99)} %, 1:{dice.randrange(10, 999)}000"
    ),
}


def innocent(seed: int = SEED, times: int = 16) -> Iterator[Line]:
    """`times` lines of each kind of INNOCENT."""
    dice = random.Random(seed)
    for _ in range(times):
        for kind, maker in INNOCENT.items():
            yield Line(maker(dice), kind, kind)
