"""The dataset that ships is what its labelling guide says: balanced, labelled by the book, of distinct texts, about
nobody real.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache

import pytest

from tests.house.project import ROOT

ROWS, INTENTS, SHARES = 500, 20, (0.2, 0.3)
# The guide asks for one or two sentences; "Hope baby settles!" may follow.
REPLY_WORDS, REPLY_SENTENCES = (10, 35), 3
SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bDr)(?<!\bMrs)(?<!\bMs)(?<!\b[A-Za-z])[.!?…。！？]+(?=\s|$|[^\x00-\u02ff])"  # noqa: RUF001
)
RUN = 8  # words in a row that two tickets may not share
Rows = list[dict]


@cache
def tickets() -> Rows:
    """The rows."""
    return [
        json.loads(line)
        for line in (ROOT / "data/seed/support_tickets/tickets.jsonl").read_text(encoding="utf-8").splitlines()
    ]


@cache
def guide() -> tuple[dict[str, str], set[str]]:
    """({intent: category}, priorities) of the labelling guide's tables."""
    text = (ROOT / "data/seed/labelling_guide.md").read_text(encoding="utf-8")
    intents = re.findall(r"^\| (\w+) \| `(\w+)` \|", text, re.MULTILINE)
    return {intent: category for category, intent in intents}, set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def unbalanced(rows: Rows) -> list[str]:
    """Categories with too small or too large a share of the rows."""
    counts = Counter(row["category"] for row in rows)
    return [
        f"{name}: {count / len(rows):.1%}"
        for name, count in sorted(counts.items())
        if not SHARES[0] <= count / len(rows) <= SHARES[1]
    ]


def mislabelled(rows: Rows) -> list[str]:
    """Rows whose labels are not the guide's."""
    intents, priorities = guide()
    return [
        row["id"] for row in rows if intents.get(row["intent"]) != row["category"] or row["priority"] not in priorities
    ]


def odd_replies(rows: Rows) -> list[str]:
    """Replies that are too short, too long, or have too many sentences."""
    found = []
    for row in rows:
        sentences = len(SENTENCE_END.findall(row["reply"]))
        if not REPLY_WORDS[0] <= words(row["reply"]) <= REPLY_WORDS[1] or sentences > REPLY_SENTENCES:
            found.append(f"{row['id']}: {words(row['reply'])} words, {sentences} sentences")
    return found


def words(text: str) -> int:
    """The number of words; in scripts without spaces, two characters count as one."""
    unspaced = re.findall(r"[\u3040-\u30ff\u3400-\u9fff]", text)
    spaced = re.sub(r"[\u3040-\u30ff\u3400-\u9fff]", " ", text)
    return len(re.findall(r"[\w'’.-]*\w", spaced)) + len(unspaced) // 2


def shared_runs(rows: Rows) -> list[str]:
    """Pairs of tickets whose bodies share a run of words: a test row that a training row gives away."""
    seen: dict[tuple, set[str]] = defaultdict(set)
    for row in rows:
        text = re.findall(r"\w+(?:['’]\w+)*", row["body"].lower())
        for start in range(len(text) - RUN + 1):
            seen[tuple(text[start : start + RUN])].add(row["id"])
    return sorted({f"{' and '.join(sorted(ids))}: {' '.join(run)}" for run, ids in seen.items() if len(ids) > 1})


def real_addresses(rows: Rows) -> list[str]:
    """E-mail addresses that could be someone's: all but those of the names that RFC 2606 keeps free."""
    found = [
        (row["id"], address)
        for row in rows
        for text in row.values()
        for address in re.findall(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", text)
    ]
    return sorted(
        {
            f"{name}: {address}"
            for name, address in found
            if not re.search(r"@(\w[\w-]*\.)*example\.(com|org|net)$", address)
        }
    )


def repeated_ids(rows: Rows) -> list[str]:
    """Ids of more than one row."""
    return [name for name, count in Counter(row["id"] for row in rows).items() if count > 1]


def test_there_are_enough_rows_and_intents() -> None:
    assert len(tickets()) >= ROWS
    assert len({row["intent"] for row in tickets()}) >= INTENTS


def test_the_guide_is_used_up() -> None:
    """No intent or priority of the guide is without a row."""
    intents, priorities = guide()
    assert {row["intent"] for row in tickets()} == set(intents)
    assert {row["priority"] for row in tickets()} == priorities


RULES = [unbalanced, mislabelled, odd_replies, shared_runs, real_addresses, repeated_ids]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tickets(rule: Callable) -> None:
    assert not (found := rule(tickets())), "\n".join(found)


REPLY = "We have found your order and will write again as soon as the carrier answers us. Thank you!"
SOUND = [
    {"id": f"T-{number}", "body": body, "category": category, "intent": intent, "priority": "low", "reply": REPLY}
    for number, (body, category, intent) in enumerate(
        [
            ("Where is my lamp", "shipping", "delivery_status"),
            ("Two debits", "billing", "double_charge"),
            ("It will not pair", "technical", "device_setup"),
            ("Money back", "refund", "refund_request"),
        ]
    )
]
PLANTED = [
    (unbalanced, {"category": "billing"}),
    (mislabelled, {"intent": "refund_status"}),
    (mislabelled, {"priority": "critical"}),
    (odd_replies, {"reply": "We will see."}),
    (odd_replies, {"reply": "We will see what there is to do about this. " * 4}),
    (shared_runs, {"body": "Hello. This, is THE run of eight words that both have."}),
    (real_addresses, {"body": "Write to me@gmail.com."}),
    (real_addresses, {"body": "Write to me@example.com.evil.io."}),
    (repeated_ids, {"id": "T-1"}),
]


@pytest.mark.parametrize(("rule", "change"), PLANTED)
def test_a_planted_row_is_caught(rule: Callable, change: dict) -> None:
    rows = [dict(row) for row in SOUND]
    rows[1]["body"] = "So, this is the run of eight words that both have; me@example.com and m@mail.example.org"
    assert [found for every in RULES for found in every(rows)] == []
    rows[0] |= change
    assert len(rule(rows)) >= 1
