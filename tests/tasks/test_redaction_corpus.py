"""Personal data of 15 countries and more, generated from the published standards, is taken out, exactly; innocent
numbers stay.
"""

from collections import Counter

import pytest

from bench.innocent_corpus import INNOCENT, innocent
from bench.redaction_corpus import Line, luhn, personal
from bench.redaction_standards import BBANS, NETWORKS, PHONES
from tasks.texts.redaction import redact

LINES = list(personal())


def test_the_corpus_is_what_it_says() -> None:
    """Known test accounts of banks and networks have the check digits that the generator computes."""
    assert luhn("411111111111111") == 1 and luhn("37828224631000") == 5 and luhn("3056930902590") == 4
    assert (
        len(LINES) >= 400
        and min(len(BBANS), len(PHONES)) >= 15
        and len({line.form for line in LINES if line.kind == "CARD"}) == len(NETWORKS)
    )
    assert all(line.clean != line.text and 0 <= line.start < line.end <= len(line.text) for line in LINES)
    assert len(list(innocent())) >= 400 and len(INNOCENT) >= 20


@pytest.mark.parametrize("kind", ["IBAN", "CARD", "PHONE", "EMAIL"])
def test_recall_of_each_kind_is_at_least_99_percent(kind: str) -> None:
    """Taken out whole, and nothing beside it."""
    lines = [line for line in LINES if line.kind == kind]
    missed = [
        f"{line.form}: {line.text!r} → {redact(line.text)!r}" for line in lines if redact(line.text) != line.clean
    ]
    assert len(missed) <= 0.01 * len(lines), "\n".join(missed)


def test_no_country_and_no_network_is_left_behind() -> None:
    """A country's own way to write is not lost in the average."""
    lines = list(personal(seed=1, times=3))
    missed = Counter((line.kind, line.form) for line in lines if redact(line.text) != line.clean)
    assert all(
        count <= 0.1 * sum((line.kind, line.form) == form for line in lines) for form, count in missed.items()
    ), missed


def test_at_most_one_innocent_line_in_a_hundred_is_touched() -> None:
    lines = list(innocent())
    touched = [
        f"{line.kind}: {line.text!r} → {redact(line.text)!r}" for line in lines if redact(line.text) != line.text
    ]
    assert len(touched) <= 0.01 * len(lines), "\n".join(touched)


def test_many_at_once_are_taken_as_each_by_itself() -> None:
    """All lines as one text: what stands around them does not matter."""
    lines: list[Line] = LINES[:: len(LINES) // 100]
    assert redact("\n\n".join(line.text for line in lines)) == "\n\n".join(redact(line.text) for line in lines)
