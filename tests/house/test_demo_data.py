"""The tickets of the drift demo are a real shift: the seed's labels and manners, another mix, and words the seed has
never used.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache, partial

import pytest

from tests.house.project import ROOT
from tests.house.test_seed_data import Rows, mislabelled, odd_replies, real_addresses, repeated_ids, tickets, words

ROWS = 200
COLUMNS = ("id", "subject", "body", "category", "intent", "priority", "reply")
SHARES = {"technical": (0.60, 0.70), "billing": (0.20, 0.30), "shipping": (0.03, 0.07), "refund": (0.03, 0.07)}
RUN = 6  # words in a row that two tickets may not share
NEW_WORDS, TICKETS_WITH_NEW_WORD = 30, 3  # words the seed never uses, each in at least so many tickets
LENGTH = (0.75, 1.33)  # the mean body, as a multiple of the seed's: the shift is of words and mix, not of length


@cache
def current() -> Rows:
    """The rows about the new product line."""
    return [
        json.loads(line) for line in (ROOT / "data/demo/current_tickets.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def off_schema(rows: Rows) -> list[str]:
    """Rows with other columns than the seed's, an empty or untrimmed text, or an id of another form."""
    found = [f"{row.get('id')}: columns {', '.join(row)}" for row in rows if tuple(row) != COLUMNS]
    found += [
        f"{row.get('id')}: {name} is empty or untrimmed"
        for row in rows
        for name, text in row.items()
        if not text or text != text.strip()
    ]
    return found + [
        f"{row['id']}: an id is FC- and four digits" for row in rows if not re.fullmatch(r"FC-\d{4}", row.get("id", ""))
    ]


def off_mix(rows: Rows) -> list[str]:
    """Categories with another share than the shift is written to have."""
    counts = Counter(row["category"] for row in rows)
    return [
        f"{name}: {counts[name] / len(rows):.1%}"
        for name, (low, high) in SHARES.items()
        if not low <= counts[name] / len(rows) <= high
    ]


def vocabulary(row: dict) -> list[str]:
    """The words of a ticket, in order and in lower case; `let's` is one."""
    return re.findall(r"\w+(?:['’]\w+)*", f"{row['subject']} \n {row['body']}".lower())


def shared_runs(rows: Rows, others: Rows = ()) -> list[str]:
    """Pairs of tickets, of which one at least is among `rows`, that share a run of words in subject or body."""
    seen: dict[tuple, set[str]] = defaultdict(set)
    for row in (*rows, *others):
        for column in ("subject", "body"):
            text = vocabulary({"subject": "", "body": row[column]})
            for start in range(len(text) - RUN + 1):
                seen[tuple(text[start : start + RUN])].add(row["id"])
    ours = {row["id"] for row in rows}
    return sorted(
        f"{' and '.join(sorted(ids))}: {' '.join(run)}" for run, ids in seen.items() if len(ids) > 1 and ids & ours
    )


def too_few_new_words(rows: Rows, others: Rows) -> list[str]:
    """A sentence when fewer than NEW_WORDS words are new against `others`; a word counts when several tickets use
    it.
    """
    known = {word for row in others for word in vocabulary(row)}
    tickets_with = Counter(
        word for row in rows for word in set(vocabulary(row)) - known if len(word) > 2 and word.isalpha()
    )
    new = sorted(word for word, count in tickets_with.items() if count >= TICKETS_WITH_NEW_WORD)
    return [] if len(new) >= NEW_WORDS else [f"only {len(new)} new words: {', '.join(new)}"]


def other_lengths(rows: Rows, others: Rows) -> list[str]:
    """A sentence when the bodies are much longer or shorter than those of `others`."""
    ours, theirs = (sum(words(row["body"]) for row in some) / len(some) for some in (rows, others))
    return [] if LENGTH[0] <= ours / theirs <= LENGTH[1] else [f"{ours:.1f} words a body, the seed {theirs:.1f}"]


def overlong_replies(rows: Rows) -> list[str]:
    """Replies of more than the two sentences that the guide allows, greetings of one word aside."""
    sentences = {row["id"]: re.split(r"(?<=[.!?])\s+", re.sub(r"\bM(r|s|rs)\. ", "", row["reply"])) for row in rows}
    return [name for name, parts in sentences.items() if len(parts) > 2]


def test_there_are_two_hundred_rows_in_order() -> None:
    assert [row["id"] for row in current()] == [f"FC-{number:04d}" for number in range(1, ROWS + 1)]


def test_every_intent_and_priority_occurs() -> None:
    """The relabelled desk is asked for all it knows, and for nothing it does not."""
    assert {row["intent"] for row in current()} == {row["intent"] for row in tickets()}
    assert {row["priority"] for row in current()} == {row["priority"] for row in tickets()}


RULES = [off_schema, off_mix, mislabelled, odd_replies, overlong_replies, shared_runs, real_addresses, repeated_ids]
AGAINST_SEED = [shared_runs, too_few_new_words, other_lengths]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tickets(rule: Callable) -> None:
    assert not (found := rule(current())), "\n".join(found)


@pytest.mark.parametrize("rule", AGAINST_SEED, ids=lambda rule: rule.__name__)
def test_the_tickets_against_the_seed(rule: Callable) -> None:
    assert not (found := rule(current(), tickets())), "\n".join(found)


REPLY = "We have looked at your inverter from here and will write again as soon as an engineer knows more."
MIX = (
    [("technical", "device_fault")] * 13
    + [("billing", "plan_change")] * 5
    + [("shipping", "delivery_status"), ("refund", "refund_status")]
)
SOUND = [
    dict(zip(COLUMNS, (f"FC-{i:04d}", "Hello", f"Ticket {i}", *pair, "low", REPLY), strict=True))
    for i, pair in enumerate(MIX)
]
OLD = [{"id": "FT-0001", "subject": "Lamp", "body": "Seven words that only the seed uses."}]
PLANTED = [
    (off_schema, {"reply": " "}),
    (off_schema, {"id": "FT-0001"}),
    (off_schema, {"language": "en"}),
    (off_mix, {"category": "refund"}),
    (mislabelled, {"intent": "refund_status"}),
    (odd_replies, {"reply": "We will see."}),
    (overlong_replies, {"reply": "Thank you for that. We are looking at it. An engineer will write to you."}),
    (shared_runs, {"body": "So this IS the run, of six words."}),
    (partial(shared_runs, others=OLD), {"body": "He used seven words that only the seed has."}),
    (real_addresses, {"body": "Write to me@gmail.com."}),
    (repeated_ids, {"id": "FC-0001"}),
]


@pytest.mark.parametrize(("rule", "change"), PLANTED)
def test_a_planted_row_is_caught(rule: Callable, change: dict) -> None:
    rows = [dict(row) for row in SOUND]
    rows[1]["body"] = "This is the run of six words, and no more of it than that."
    assert rule(rows) == []
    rows[0] |= change
    assert len(rule(rows)) >= 1


def test_other_lengths_are_caught() -> None:
    assert not other_lengths([{"body": "six words that are no shift"}], OLD)
    assert other_lengths([{"body": "too short"}], OLD)
    assert other_lengths([{"body": "far too long " * 4}], OLD)


def test_old_words_are_no_shift() -> None:
    assert too_few_new_words(SOUND, OLD)
    new = [chr(97 + i // 26) + chr(97 + i % 26) + "watt" for i in range(NEW_WORDS)]
    rows = [dict(SOUND[i], body=" ".join(new)) for i in range(TICKETS_WITH_NEW_WORD)]
    assert not too_few_new_words(rows, OLD)
    assert too_few_new_words(rows[:-1], OLD)
