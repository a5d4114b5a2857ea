"""Personal data is found in the forms that people and programs write it in, and nothing else of the text changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.serve.gateway.writer import storable
from tasks.texts.redaction import redact, redact_all

BLANKS = {
    "no-break": "\u00a0",
    "figure": "\u2007",
    "thin": "\u2009",
    "narrow no-break": "\u202f",
    "ideographic": "\u3000",
    "tab": "\t",
    "two": "  ",
    "zero width": "\u200b",
}
DASHES = {f"U+{ord(dash):04X}": dash for dash in "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"}
GAPS = BLANKS | DASHES


def other_digits(text: str, zero: int) -> str:
    """`text` with the digits of another script, whose 0 is `zero`."""
    return "".join(chr(zero + int(char)) if char.isdigit() else char for char in text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Please pay it to ES51 9999 0000 1100 0000 9999 this week", "Please pay it to <IBAN> this week"),
        ("pay AT731999900000099999 now", "pay <IBAN> now"),
        ("IBAN: gb82west12345698765432thanks", "IBAN: <IBAN>thanks"),
        ("konto DE 89 3704 0044 0532 0130 00, bitte", "konto <IBAN>, bitte"),
        ("DE89.3704.0044.0532.0130.00 or DE89/3704/0044/0532/0130/00.", "<IBAN> or <IBAN>."),
        ("to ES51 9999 0000\n1100 0000 9999.\nThanks", "to <IBAN>.\nThanks"),
        ("call +49\u00a030\u00a02345678 please", "call <PHONE> please"),
        ("call 030\u20112345678, or 01.23.45.67.89", "call <PHONE>, or <PHONE>"),
        ("+1 (212) 555-0123 ext. 12, +44 (0)20 7946 0018", "<PHONE>, <PHONE>"),
        ("Tel.030 / 23 45-678 after six", "Tel.<PHONE> after six"),
        ("mi número es 612345678", "mi número es <PHONE>"),
        ("tel:%2B49%2030%202345678", "tel:<PHONE>"),
        ("https://example.org/?u=someone%40example.org", "https://example.org/?u=<EMAIL>"),
        (
            "jo\uff20example.org, j\u200bo@example\u200b.org\u200b, jo (at) example [dot] org; jo&#64;example.org",
            "<EMAIL>, <EMAIL>\u200b, <EMAIL>; <EMAIL>",
        ),
        ("Mail jo@example.com.Thanks for all", "Mail <EMAIL>.Thanks for all"),
        ("連絡先はjo@example.co.jpまで", "連絡先は<EMAIL>まで"),
        ("用户@例子.中国 und jörg.müller@müller.de", "<EMAIL> und <EMAIL>"),
        ("4111 1111 1111 1111 exp 04/27", "<CARD> exp 04/27"),
        ("4111 1111 1111 1111 04/27 123", "<CARD> 04/27 123"),
        ("4111111111111111 04 27 123 is it", "<CARD> 04 27 123 is it"),
        ("card5500-0000-0000-0004thanks", "card<CARD>thanks"),
        ("3782 822463 10005 and 3056 930902 5904", "<CARD> and <CARD>"),
        ("41 11 11 11 11 11 11 11", "<CARD>"),
        (
            f"{other_digits('4111 1111 1111 1111', 0xFF10)} or {other_digits('4111 1111 1111 1111', 0x0660)}",
            "<CARD> or <CARD>",
        ),
        (
            '{"reply": "Call\\n+49\\u00a030\\u00a02345678 or 4111\\u00a01111\\u00a01111\\u00a01111"}',
            '{"reply": "Call\\n<PHONE> or <CARD>"}',
        ),
        ("078\u201305\u20131120, 10.0.\u200b0.1", "<SSN>, <IP>"),
        ("https://me:p%40ss@example.org/?token=a%20b&x=1", "https://<SECRET>@example.org/?token=<SECRET>&x=1"),
    ],
)
def test_what_is_personal_goes_and_all_else_stays(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize("gap", GAPS.values(), ids=GAPS)
def test_blanks_and_dashes_of_every_kind(gap: str) -> None:
    """Ten kinds of dashes and eight of blanks between the groups; the text around keeps its own."""
    for groups, placeholder in (
        ("4111 1111 1111 1111", "<CARD>"),
        ("3782 822463 10005", "<CARD>"),
        ("DE89 3704 0044 0532 0130 00", "<IBAN>"),
        ("+49 30 2345678", "<PHONE>"),
        ("06 12 34 56 78", "<PHONE>"),
        ("+420 601 234 567", "<PHONE>"),
    ):
        assert redact(f"a{gap}-\u00a0{groups.replace(' ', gap)} end\u2009.") == f"a{gap}-\u00a0{placeholder} end\u2009."


@pytest.mark.parametrize(
    "text",
    [
        "order no 1002938475, no 12 3456 7890 123, at 10 30 2024, be 12345678901234",
        "open 0800-1700, 01/02/2024 10:30, 01.02.24, 2024-11-03 10:30:45.123, 04/27",
        "1 234 567,89 € or 1.234.567,89 EUR or 1,234,567.89 or 12'345'678.00 CHF",
        "0.4111111111111111, 48.137154, 11.576124, v1.22.333.4444",
        "git@github.com:anneal/anneal.git, react@18.2.0, @jo, a @ b",
        "550e8400-e29b-41d4-a716-446655440000, 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "ISBN 978-3-16-148410-0, EAN 4006381333931, IMEI 49 015420 323751 8, tracking 1Z999AA10123456784",
        "arrived (at) noon, UTC+01 2024, C++11 2017 2020, 100%40, a\u00a0b\u2013c",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text) == text


PARTS = [
    *"0123456789 .-+()/@:%aDE\n\t<>",
    "4111 1111 1111 1111",
    "+49 30 2345678",
    "jo@x.org",
    "\u00a0",
    "\u200b",
    "\u0663",
    "%40",
    "::2",
    "DE89370400440532013000",
]


@given(st.lists(st.sampled_from(PARTS), max_size=60).map("".join))
def test_twice_is_once_where_kinds_touch(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(
    st.text(
        alphabet=st.characters(exclude_categories=("Nd",), exclude_characters="@\uff20\ufe6b:=-([{&%\\"), max_size=300
    )
)
def test_text_without_digits_and_ats_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_names_that_become_equal_lose_no_entry() -> None:
    assert redact_all({"a@b.com": 1, "c@d.com": 2, 3: "x"}) == {"<EMAIL>": 1, "<EMAIL> 2": 2, "3": "x"}


def test_a_card_written_as_a_number_goes_too() -> None:
    assert redact_all({"card": 4111111111111111, "count": 1002938475, "time": 1700000000000, "yes": True}) == {
        "card": "<CARD>",
        "count": 1002938475,
        "time": 1700000000000,
        "yes": True,
    }


def test_ten_thousand_levels_do_not_matter() -> None:
    value: object = "jo@example.org"
    for level in range(10_000):
        value = [value] if level % 2 else {"in": value}
    value = redact_all(value)
    for level in reversed(range(10_000)):
        value = value[0] if level % 2 else value["in"]
    assert value == "<EMAIL>"


def test_what_json_can_nest_can_be_stored() -> None:
    """The thread that writes the records does not die of a request."""
    value = json.loads("[" * 900 + '{"a\\u0000": "jo@example.org"}' + "]" * 900)
    text = json.dumps(storable(redact_all(value)))
    assert text == "[" * 900 + '{"a": "<EMAIL>"}' + "]" * 900


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("030 2345678/030 2345679 or 030 2345678 / 0171 2345679", "<PHONE>/<PHONE> or <PHONE> / <PHONE>"),
        ("+49 30 2345678 0171 2345679, 07911 123456 07911 123457", "<PHONE> <PHONE>, <PHONE> <PHONE>"),
        ("06 12 34 56 78 06 12 34 56 79; 612 345 678 612 345 679", "<PHONE> <PHONE>; <PHONE> <PHONE>"),
        ("4111 1111 1111 1111 5500 0000 0000 0004", "<CARD> <CARD>"),
        ("DE89 3704 0044 0532 0130 00 AT731999900000099999", "<IBAN> <IBAN>"),
        ("a@b.org/c@d.org,e@f.org", "<EMAIL>/<EMAIL>,<EMAIL>"),
    ],
)
def test_two_beside_each_other_are_two(text: str, clean: str) -> None:
    assert redact(text) == clean
