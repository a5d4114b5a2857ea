"""Personal data of structured kinds does not get through, ordinary text does, and no text makes it slow."""

import json
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.texts.redaction import redact, redact_all
from tasks.texts.redaction.card import is_card
from tasks.texts.redaction.iban import is_iban
from tests.house.project import ROOT

WORDS = st.text(alphabet="abcdefghij ÄÖé\n.,;!?", max_size=40)
GAP = st.sampled_from(["", "\n", " ", ", ", ": ", "(", '"'])


def surrounded(secret: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    """(text, secret): the secret as a word of its own somewhere in a text."""
    return st.tuples(WORDS, secret, WORDS).map(lambda parts: (f"{parts[0]} {parts[1]} {parts[2]}", parts[1]))


def luhn(digits: str) -> str:
    """`digits` with their check digit."""
    return next(digits + str(last) for last in range(10) if is_card(digits + str(last)))


def iban(country: str, rest: str) -> str:
    """An account with its check digits."""
    return next(f"{country}{check:02}{rest}" for check in range(2, 99) if is_iban(f"{country}{check:02}{rest}"))


MAILS = st.from_regex(r"[a-z]{1,10}([.+_-][a-z0-9]{1,8})?@([a-z]{1,8}\.){1,2}(com|org|museum|de)", fullmatch=True)
CARDS = st.from_regex(r"[3-6][0-9]{14}", fullmatch=True).map(luhn)
SPACED_CARDS = CARDS.map(lambda card: " ".join(card[i : i + 4] for i in range(0, 16, 4)))
IBANS = st.one_of(  # as the registry of SWIFT has them
    st.builds(iban, st.just("DE"), st.from_regex(r"[0-9]{18}", fullmatch=True)),
    st.builds(iban, st.just("GB"), st.from_regex(r"[A-Z]{4}[0-9]{14}", fullmatch=True)),
    st.builds(iban, st.just("FR"), st.from_regex(r"[0-9]{10}[A-Z0-9]{11}[0-9]{2}", fullmatch=True)),
    st.builds(iban, st.just("NL"), st.from_regex(r"[A-Z]{4}[0-9]{10}", fullmatch=True)),
)
SPACED_IBANS = IBANS.map(lambda account: " ".join(account[i : i + 4] for i in range(0, len(account), 4)))
SSNS = st.from_regex(r"[1-5][0-9]{2}-[1-9][0-9]-[1-9][0-9]{3}", fullmatch=True)
IPS = st.one_of(
    st.ip_addresses(v=4).filter(lambda ip: int(ip) > 1), st.ip_addresses(v=6).filter(lambda ip: int(ip) > 1)
).map(str)
PHONES = st.from_regex(
    r"(\+49 (30|40|89) [2-9][0-9]{6,7}|\+1 \(?[2-9][0-9]{2}\)? 555-[0-9]{4}|[2-9][0-9]{2}-555-[0-9]{4}|020 7946 "
    r"0[0-9]{3})",
    fullmatch=True,
)
URLS = st.from_regex(r"https://[a-z]{1,8}:[a-zA-Z0-9!$]{1,20}@[a-z]{2,8}\.com/x", fullmatch=True)


@pytest.mark.parametrize(
    "secrets",
    [MAILS, CARDS, SPACED_CARDS, IBANS, SPACED_IBANS, SSNS, IPS, PHONES],
    ids="mail card spaced_card iban spaced_iban ssn ip phone".split(),
)
def test_what_must_not_be_in_the_log_is_not(secrets: st.SearchStrategy[str]) -> None:
    @given(surrounded(secrets))
    def holds(found: tuple[str, str]) -> None:
        text, secret = found
        assert secret not in redact(text)
        assert re.search("<(EMAIL|CARD|IBAN|SSN|IP|PHONE)>", redact(text))

    holds()


@given(surrounded(URLS))
def test_a_password_in_a_url_is_taken_out_and_the_host_stays(found: tuple[str, str]) -> None:
    text, url = found
    assert url.split("@")[0].split("//")[1] not in redact(text).replace("<SECRET>", "") and "<SECRET>@" in redact(text)


def test_secrets_in_queries_and_our_own_keys() -> None:
    assert redact("see https://x.org/r?token=abc123&page=2") == "see https://x.org/r?token=<SECRET>&page=2"
    assert redact("my key anneal-0a1b2c3d-" + "x" * 43) == "my key <SECRET>"


@given(st.text(max_size=300))
def test_twice_is_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.text(alphabet=st.characters(exclude_categories=("Nd", "Cs"), exclude_characters="@:=-"), max_size=300))
def test_text_without_digits_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "order 1002938475 of 2024-11-03 at 10:30, serial FL-20394-881, ticket #70418",
        "from 01.02.2024 10 to 02.03.2024, £1,299.00, 3 x 100 ml, 12:30:45",
        "reference 1234567812345678 and 0000000000000000 are no cards",
        "DE00 3704 1044 1532 1130 11 is no account; std::vector<int>, ::1 and a1:b2:c3:d4:e5:f6 are nobody's address",
        "C3PO R2D2 4K 5GHz 802.11ac 19 inch 50% 7/8",
    ],
)
def test_numbers_that_are_nobodys_stay(text: str) -> None:
    """The guard of the guards: what only looks like it is kept, or the monitor would see drift where there is
    redaction.
    """
    assert redact(text) == text


def test_all_texts_of_a_value_are_redacted() -> None:
    given = {"messages": [{"content": [{"text": "a@b.com"}, 3, None, True]}], "a@b.com": "x"}
    assert redact_all(given) == {"messages": [{"content": [{"text": "<EMAIL>"}, 3, None, True]}], "<EMAIL>": "x"}


def test_the_tickets_we_ship_go_through_quickly_and_unchanged_but_for_mails() -> None:
    """A thousand a second at the very least, on any machine; the labels a person reads are untouched."""
    rows = [json.loads(line) for line in (ROOT / "data/seed/support_tickets/tickets.jsonl").read_text().splitlines()]
    started = time.process_time()
    changed = [redact(row["body"]) for row in rows if redact(row["body"]) != row["body"]]
    assert 2 * len(rows) / (time.process_time() - started) > 1000
    assert len(changed) < len(rows) / 10 and all("<EMAIL>" in text or "<PHONE>" in text for text in changed)


@pytest.mark.slow
def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tasks.texts.redaction import redact; redact('+49 30 1234567'); print([m for m in ('spacy', "
        "'torch', 'presidio_analyzer', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


@pytest.mark.slow
def test_presidio_finds_no_more() -> None:
    """What presidio's recognisers are sure of in these texts, we take out too. (Importing it takes seconds, so it is
    not what serves.)
    """
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        UsSsnRecognizer,
    )

    text = (
        "jo@example.com, o.neil+x@mail.example.co.uk; 4111 1111 1111 1111, 5500-0000-0000-0004; DE89 3704 0044 "
        "0532 0130 00, GB82WEST12345698765432; 078-05-1121"
    )
    for recogniser in (CreditCardRecognizer(), EmailRecognizer(), IbanRecognizer(), UsSsnRecognizer()):
        found = recogniser.analyze(text, recogniser.supported_entities)
        assert found or isinstance(recogniser, UsSsnRecognizer)
        assert [
            text[result.start : result.end] for result in found if text[result.start : result.end] in redact(text)
        ] == []
