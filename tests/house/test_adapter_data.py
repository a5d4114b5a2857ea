"""The three small sets for adapters on one base are what data/seed/three_adapters.md says: each row written for itself,
short, about nobody real; code that parses, e-mails in due form, recipes in three steps.
"""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from itertools import chain

import pytest

from tasks.texts import duplicates
from tests.house.project import ROOT
from tests.house.test_seed_data import Rows, real_addresses, repeated_ids, words

ROWS = 120
RUN = 8  # words in a row that two rows may not share
SIMILARITY = 0.3  # of two questions or two answers, as `prepare` compares them; it calls 0.8 a near-duplicate
LETTERS = (460, 440)  # of a question and of an answer: about 120 and 110 tokens
SETS = {  # file: the columns of question and answer
    "code_explanations/explanations.jsonl": ("code", "explanation"),
    "formal_emails/emails.jsonl": ("note", "email"),
    "short_recipes/recipes.jsonl": ("request", "recipe"),
}
EMAIL = re.compile(r"Subject: \S[^\n]+\n\nDear [^\n]+,\n\n[A-Z].+\n\n[A-Z][^\n]+(\n[^\n]+)*", re.DOTALL)
RECIPE = re.compile(r"[^\n]+\n1\. [^\n]+\n2\. [^\n]+\n3\. [^\n]+")
CASUAL = re.compile(r"\b(pls|thx|hiya|hey|gonna|wanna|asap|lol|ok|u|ur|can't|won't|don't|i'm|we'll)\b", re.IGNORECASE)


@cache
def rows_of(file: str) -> Rows:
    """The rows of a set."""
    lines = (ROOT / "data/seed" / file).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def texts(row: dict) -> list[str]:
    """A row's question and answer."""
    return [text for name, text in row.items() if name != "id"]


def untrimmed(rows: Rows) -> list[str]:
    """Rows with an empty text, or blanks around one."""
    return [
        row["id"] for row in rows if len(row) != 3 or any(not text or text != text.strip() for text in row.values())
    ]


def too_long(rows: Rows) -> list[str]:
    """Rows with a text that does not fit a short training."""
    return [
        f"{row['id']}: {len(text)} letters"
        for row in rows
        for text, most in zip(texts(row), LETTERS, strict=True)
        if len(text) > most
    ]


def shared_runs(rows: Rows) -> list[str]:
    """Pairs of rows that share a run of words, in their questions or answers."""
    seen: dict[tuple, set[str]] = defaultdict(set)
    for row in rows:
        for text in texts(row):
            parts = re.findall(r"\w+(?:['’]\w+)*", text.lower())
            for start in range(len(parts) - RUN + 1):
                seen[tuple(parts[start : start + RUN])].add(row["id"])
    return sorted({f"{' and '.join(sorted(ids))}: {' '.join(run)}" for run, ids in seen.items() if len(ids) > 1})


def alike(rows: Rows) -> list[str]:
    """Pairs of rows whose questions, or whose answers, are near each other as `prepare` measures it."""
    found = []
    for column in zip(*map(texts, rows), strict=True):
        pieces = [duplicates.shingles(text) for text in column]
        found += [
            f"{rows[i]['id']} and {rows[j]['id']}"
            for i in range(len(rows))
            for j in range(i)
            if len(pieces[i] & pieces[j]) > SIMILARITY * len(pieces[i] | pieces[j])
        ]
    return found


def wrong_code(rows: Rows) -> list[str]:
    """Pieces of code that do not parse, or that are another's but for the names in them."""
    found, seen = [], set()
    for row in rows:
        try:
            tree = ast.parse(row["code"])
        except SyntaxError as error:
            found.append(f"{row['id']}: {error}")
            continue
        for node in ast.walk(tree):
            for name in {"id", "arg", "name", "attr"} & set(node._fields):
                setattr(node, name, "")
        found += [row["id"]] if ast.dump(tree) in seen else []
        seen.add(ast.dump(tree))
    return found


def wrong_emails(rows: Rows) -> list[str]:
    """E-mails without subject, salutation or closing, and those in the manner of the notes."""
    return [row["id"] for row in rows if not EMAIL.fullmatch(row["email"]) or CASUAL.search(row["email"])]


def wrong_recipes(rows: Rows) -> list[str]:
    """Recipes that are not a name and three numbered steps."""
    return [row["id"] for row in rows if not RECIPE.fullmatch(row["recipe"])]


EVERY = [untrimmed, too_long, shared_runs, alike, real_addresses, repeated_ids]
OWN = dict(zip(SETS, (wrong_code, wrong_emails, wrong_recipes), strict=True))


@pytest.mark.parametrize("file", SETS)
def test_the_rows(file: str) -> None:
    rows = rows_of(file)
    assert len(rows) >= ROWS and {tuple(row) for row in rows} == {("id", *SETS[file])}
    assert not (found := [line for rule in (*EVERY, OWN[file]) for line in rule(rows)]), "\n".join(found)


def test_no_row_is_in_two_sets() -> None:
    every = list(chain.from_iterable(map(rows_of, SETS)))
    assert not shared_runs(every) and not repeated_ids(every)


def test_the_card_counts_the_rows() -> None:
    card = (ROOT / "data/seed/three_adapters.md").read_text(encoding="utf-8")
    for file, columns in SETS.items():
        rows = rows_of(file)
        means = [round(sum(words(row[column]) for row in rows) / len(rows)) for column in columns]
        folder = file.partition("/")[0]
        expected = f"| [{folder}/]({folder}/) | {len(rows)} | `{columns[0]}`, {means[0]} | `{columns[1]}`, {means[1]} |"
        assert expected in card, expected


SOUND = [
    {"id": "A-1", "note": "tell them i quit", "email": "Subject: Notice\n\nDear all,\n\nI resign.\n\nYours,\nBo"},
    {"id": "A-2", "note": "where r my shoes", "email": "Subject: Order\n\nDear shop,\n\nIt is late.\n\nRegards"},
]
EIGHT = "one two three four five six seven eight"
PLANTED = [
    (untrimmed, {"note": "late "}),
    (untrimmed, {"note": ""}),
    (too_long, {"email": SOUND[0]["email"] + "a" * 440}),
    (shared_runs, {"note": f"So, {EIGHT.upper()}!"}),
    (alike, {"email": "Subject: Order\n\nDear shop,\n\nIt is very late.\n\nRegards"}),
    (real_addresses, {"note": "write to bo@gmail.com"}),
    (repeated_ids, {"id": "A-2"}),
    (wrong_emails, {"email": "Dear all,\n\nI resign.\n\nYours,\nBo"}),
    (wrong_emails, {"email": "Subject: Notice\n\nDear all,\n\nI won't stay.\n\nYours,\nBo"}),
]


@pytest.mark.parametrize(("rule", "change"), PLANTED)
def test_a_planted_row_is_caught(rule: Callable, change: dict) -> None:
    rows = [dict(row) for row in SOUND]
    rows[1]["note"] += f" {EIGHT}"
    assert [line for every in (*EVERY, wrong_emails) for line in every(rows)] == []
    rows[0] |= change
    assert rule(rows)


def test_wrong_code_and_recipes_are_caught() -> None:
    assert not wrong_code([{"id": "C-1", "code": "a = b + 1"}, {"id": "C-2", "code": "a = b * 1"}])
    assert wrong_code([{"id": "C-1", "code": "a = b +"}])
    assert wrong_code([{"id": "C-1", "code": "a = b + 1"}, {"id": "C-2", "code": "x = y + 1"}])
    assert not wrong_recipes([{"id": "R-1", "recipe": "Tea\n1. Boil.\n2. Pour.\n3. Wait."}])
    assert wrong_recipes([{"id": "R-1", "recipe": "Tea\n1. Boil.\n2. Pour."}])
