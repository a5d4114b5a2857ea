"""No text makes redaction slow, and none is left half redacted."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_97_10

from tasks.texts.redaction import redact
from tasks.texts.redaction.iban import _fits
from tasks.texts.redaction.plain import FORMLESS, _form

HOSTILE = [
    "1 ",
    "0 ",
    "01 ",
    "4444 ",
    "4111 1111 1111 1112 ",
    "+",
    "+49 ",
    "DE11 ",
    "LC11AAAA1",
    "de11 aaaa aaaa ",
    ":",
    "1:",
    "(030) 1234567 ",
    "x://",
    "ab://a:a",
    "1.1.",
]
HOSTILE += [
    "@",
    "a@",
    "a.b@",
    "a@b.",
    '"a ',
    "%40",
    "a%40",
    "&#1",
    "(at)",
    "( ",
    "1\u200b",
    "1\u00a0",
    "\u3042@\u3042.",
    "tel 12345678 ",
    "06 12 34 56 7x ",
    "3f9a",
    "1((( ",
    "?key=",
    "sk-",
]


def seconds(part: str, size: int) -> float:
    """What it takes to redact `part` over and over, `size` characters in all."""
    text = part * (size // len(part)) + "@1"
    started = time.process_time()
    redact(text)
    return time.process_time() - started


@pytest.mark.parametrize("part", HOSTILE)
def test_time_grows_with_the_length_and_no_faster(part: str) -> None:
    """Four times the text takes at most some seven times the time, on a busy machine too."""
    assert seconds(part, 10_000) < 7 * seconds(part, 2_500) + 0.5


@pytest.mark.slow
@pytest.mark.parametrize("part", HOSTILE)
def test_no_text_makes_it_slow(part: str) -> None:
    """The same for 250 KB, the most of a body, and that in under two seconds."""
    longest = seconds(part, 250_000)
    assert longest < 2 and longest < 7 * seconds(part, 62_500) + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("part", ["01 ", "DE11 ", "LC11AAAA1"])
def test_a_megabyte_takes_less_than_two_seconds(part: str) -> None:
    assert seconds(part, 1_000_000) < 2


@pytest.mark.parametrize("part", HOSTILE)
def test_redacting_a_hostile_text_twice_changes_nothing(part: str) -> None:
    clean = redact(part * (3_000 // len(part)))
    assert redact(clean) == clean


def test_a_number_right_behind_a_phone_is_judged_without_it() -> None:
    assert redact("06 12 34 56 78 06 98 76 54 32 01 02 03 04 05") == "<PHONE> <PHONE> <PHONE>"


def test_what_is_never_looked_at_has_no_plain_form() -> None:
    assert not [
        char for char in map(chr, range(0x3400, 0x110000, 13)) if FORMLESS.match(char) and _form(char) is not None
    ]


@given(st.text("ABCXYZ0123456789", min_size=5, max_size=34))
def test_the_check_of_an_iban_is_that_of_iso_7064(packed: str) -> None:
    assert _fits(packed) == (mod_97_10.checksum(packed[4:] + packed[:4]) == 1)
    check = mod_97_10.calc_check_digits(packed[4:] + packed[:2])
    assert _fits(packed[:2] + check + packed[4:])
