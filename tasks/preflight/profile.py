"""Rules that the rows satisfy today, as Great Expectations: a first suite of a dataset, for a person to edit."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

from tasks.dataset.prepared import SPLITS
from tasks.dataset.rows import Example
from tasks.formats.answer import Spec
from tasks.texts.clean import clean

Row = Mapping[str, object]
MAX_CLASSES = 200  # a column with more values holds text, not classes
MIN_ROWS_PER_CLASS = 5  # on average: classes recur
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
MAX_LENGTH_FACTOR = 2  # times the longest text of today


class Rule(TypedDict):
    """One expectation of a suite."""

    type: str
    kwargs: dict[str, object]


def raw_rules(
    rows: Sequence[Row], columns: Sequence[str], max_quarantined_share: float, numbers: Sequence[str] = ()
) -> list[Rule]:
    """Return rules for raw `rows`; together, they set aside at most the allowed share of today's rows. Columns in
    `numbers` may hold any number, even if today's values are few.

    A rule that today's rows break too often (mostly blank texts) is left out: a profile describes the data as they are,
    and a person decides what they should be.
    """
    allowed = int(max_quarantined_share * len(rows))
    rules: list[Rule] = [_rule("expect_table_row_count_to_be_between", min_value=max(1, len(rows) // 2))]
    broken: set[int] = set()
    for column in columns:
        texts = [row.get(column) for row in rows]
        rules_of = _rules_of_numbers if column in numbers else _rules_of_column
        for rule, breaks in rules_of(column, texts):
            if len(broken | breaks) <= allowed:
                broken |= breaks
                rules.append(rule)
    return rules


def rules_of_texts(columns: Sequence[str]) -> list[Rule]:
    """Return rules for columns that hold any text."""
    rules: list[Rule] = [_rule("expect_table_row_count_to_be_between", min_value=1)]
    for column in columns:
        rules.append(_rule("expect_column_values_to_not_be_null", column=column))
        rules.append(_rule("expect_column_values_to_match_regex", column=column, regex=r"\S"))
    return rules


def spellings(rows: Sequence[Row], columns: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each column with classes that are written in two ways, such as `Billing` and `billing`."""
    for column in columns:
        texts = [cleaned for row in rows if isinstance(text := row.get(column), str) and (cleaned := clean(text))]
        counts = Counter(texts) if _classes(texts) else Counter()
        groups: dict[str, list[str]] = {}
        for text, _ in counts.most_common():
            groups.setdefault(unicodedata.normalize("NFKC", text).casefold(), []).append(text)
        if twice := [group for group in groups.values() if len(group) > 1]:
            rarer = sum(counts[text] for group in twice for text in group[1:])
            first = ", ".join(f"{text} ({counts[text]:,})" for text in twice[0])
            yield (
                f"{rarer:,} of {len(texts):,} rows write their `{column}` differently from most, in another case or "
                "form"
                f" ({first}{', …' if len(twice) > 1 else ''}): each spelling stays a class of its own "
                "until the source has one"
            )


def prepared_rules(makes: Example, answer: Spec) -> list[Rule]:
    """Return rules for prepared rows of any data; `split`, `prompt` and `answer` are columns that `prepare` adds."""
    texts = ["prompt", "answer", *(["rejected"] if makes == "preference" else [])]
    rules = [
        _rule("expect_column_values_to_be_in_set", column="split", value_set=list(SPLITS)),
        _rule("expect_column_values_to_be_unique", column="id"),
        *(_rule("expect_column_value_lengths_to_be_between", column=column, min_value=1) for column in texts),
    ]
    if makes == "rated":
        rules.append(_rule("expect_column_values_to_be_in_set", column="rating", value_set=["true", "false"]))
    is_json = isinstance(answer, list)
    return [*rules, _rule("expect_column_values_to_be_json_parseable", column="answer")] if is_json else rules


def _rules_of_column(column: str, texts: Sequence[object]) -> "Iterator[tuple[Rule, set[int]]]":
    """Yield (rule, indices of the rows that break it) for one column."""
    absent = {i for i, text in enumerate(texts) if not isinstance(text, str)}
    blank = absent | {i for i, text in enumerate(texts) if isinstance(text, str) and not clean(text)}
    yield _rule("expect_column_values_to_not_be_null", column=column), absent
    yield _rule("expect_column_values_to_match_regex", column=column, regex=r"\S"), blank
    held = [text for i, text in enumerate(texts) if i not in blank and isinstance(text, str)]
    if values := _classes(held):
        yield _rule("expect_column_values_to_be_in_set", column=column, value_set=values), blank
    elif held:
        longest = _rounded_up(MAX_LENGTH_FACTOR * max(map(len, held)))
        yield _rule("expect_column_value_lengths_to_be_between", column=column, min_value=1, max_value=longest), blank


def _rules_of_numbers(column: str, texts: Sequence[object]) -> "Iterator[tuple[Rule, set[int]]]":
    """Yield (rule, indices of the rows that break it) for a column of numbers."""
    yield (
        _rule("expect_column_values_to_not_be_null", column=column),
        {i for i, text in enumerate(texts) if not isinstance(text, str)},
    )
    yield (
        _rule("expect_column_values_to_match_regex", column=column, regex=NUMBER),
        {i for i, text in enumerate(texts) if not isinstance(text, str) or not re.match(NUMBER, text)},
    )


def _classes(texts: Sequence[str]) -> list[str]:
    """Return the values of a column of classes, most common first, both raw and cleaned; empty if it holds text."""
    counts = Counter(texts)
    if not counts or len(counts) > MAX_CLASSES or len(texts) < MIN_ROWS_PER_CLASS * len(counts):
        return []
    ordered = sorted(counts, key=lambda text: (-counts[text], text))
    return list(dict.fromkeys(version for text in ordered for version in (text, clean(text))))


def _rounded_up(number: int) -> int:
    """Return `number` rounded up to two significant digits."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step


def _rule(kind: str, **kwargs: object) -> Rule:
    return Rule(type=kind, kwargs=kwargs)
