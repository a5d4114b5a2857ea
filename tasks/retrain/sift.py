"""Sifts corrected answers: which become rows of the dataset, and which are set aside because they look planted or
cannot be used.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from tasks.answer import same
from tasks.clean import clean, folded, is_blank
from tasks.duplicates import similar_pairs

MANY = 5  # more near-identical texts than this in one harvest look planted; of fewer, prepare keeps one
PLACEHOLDER = re.compile(r"<(?:EMAIL|PHONE|IBAN|CARD|IP|SSN|SECRET)>")  # see tasks/redaction/
LEAST_WORDS, MOST_PLACEHOLDERS = 3, 0.25  # words beside the placeholders; share of the words that may be placeholders


@dataclass(frozen=True)
class Candidate:
    """A corrected answer as a row of the dataset; `text` is what the model was asked, `reasons` say why it is set
    aside.
    """

    request: str
    key: str | None
    corrected_at: float
    row: dict[str, str]
    text: str
    version: str | None = None
    template: str | None = None
    requested_at: float = 0.0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """What rows are held against."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]  # columns that are classes
    answer: tuple[str, ...]  # columns that a person wrote
    classes: dict[str, frozenset[str]]  # label: known values
    similarity: float
    max_share_of_key: float
    may_be_empty: frozenset[str] = frozenset()  # columns beside the answer that some rows of the dataset leave empty


@dataclass
class Sifted:
    """Every candidate in one of four heaps; `waiting` ones come up again in the next harvest."""

    taken: list[Candidate] = field(default_factory=list)
    quarantined: list[Candidate] = field(default_factory=list)
    waiting: list[Candidate] = field(default_factory=list)
    skipped: list[Candidate] = field(default_factory=list)


def sift(candidates: list[Candidate], known: list[Candidate], rules: Rules) -> Sifted:
    """`candidates` in heaps; `known` are the rows that the dataset has. The same values in any order, the same
    heaps.
    """
    heaps = Sifted()
    order = sorted(candidates, key=lambda one: (one.requested_at, one.request))
    looked_at = [replace(one, reasons=(*one.reasons, *_unusable(one, rules))) for one in order]
    heaps.quarantined += [one for one in looked_at if one.reasons]
    left = _apart(heaps.quarantined, [one for one in looked_at if not one.reasons], _crowded, rules)
    for one, words, is_same in _repeated(left, known, rules):
        (heaps.skipped if is_same else heaps.quarantined).append(replace(one, reasons=(words,)))
    gone = {one.request for heap in (heaps.quarantined, heaps.skipped) for one in heap}
    left = [one for one in left if one.request not in gone]
    surplus = surplus_of_keys(left, rules.max_share_of_key)
    words = f"its key brings more than {rules.max_share_of_key:.0%} of the rows; it waits for those of others"
    heaps.waiting = [replace(one, reasons=(words,)) for one in left if one.request in surplus]
    heaps.taken = [one for one in left if one.request not in surplus]
    return heaps


def _apart(aside: list[Candidate], left: list[Candidate], look: object, rules: Rules) -> list[Candidate]:
    """`left` without those that `look` has a reason against; they go to `aside`."""
    found = look(left, rules)
    aside += [replace(one, reasons=(found[one.request],)) for one in left if one.request in found]
    return [one for one in left if one.request not in found]


def _unusable(one: Candidate, rules: Rules) -> list[str]:
    columns = [column for column in rules.columns if column not in rules.may_be_empty]
    if beside := [column for column in columns if column not in one.row and column not in rules.answer]:
        return [
            f"`{beside[0]}` is in neither question nor answer, so a correction cannot fill it: take it out of "
            "ingest.columns"
        ]
    if missing := [column for column in columns if is_blank(one.row.get(column, ""))]:
        return [f"`{missing[0]}` is missing or empty"]
    reasons = [
        f"`{label}` is '{one.row[label][:40]}', which is no known value"
        for label in rules.labels
        if clean(one.row[label]) not in rules.classes[label]
    ]
    reasons += [
        f"`{column}` holds a redacted part, which the model would learn to write"
        for column in rules.answer
        if PLACEHOLDER.search(one.row[column])
    ]
    placeholders, words = len(PLACEHOLDER.findall(one.text)), len(re.findall(r"\w+", PLACEHOLDER.sub(" ", one.text)))
    if placeholders and (words < LEAST_WORDS or placeholders > MOST_PLACEHOLDERS * (words + placeholders)):
        reasons.append(f"redaction left too little of it: {placeholders} parts redacted, {words} words")
    return reasons


def labels_of(one: Candidate, rules: Rules) -> tuple[str, ...]:
    """The classes of a row."""
    return tuple(clean(one.row.get(label, "")) for label in rules.labels)


def _differ(one: Candidate, other: Candidate, rules: Rules) -> bool:
    """Whether two rows of (nearly) the same text say different things: other labels, or, without labels, the same
    text exactly and another answer.
    """
    if rules.labels:
        return labels_of(one, rules) != labels_of(other, rules)
    return same(one.text, other.text) and not all(
        same(one.row.get(column, ""), other.row.get(column, "")) for column in rules.answer
    )


def _crowded(left: list[Candidate], rules: Rules) -> dict[str, str]:
    """Request: reason, for groups of near-identical texts that contradict one another or are too many."""
    first: dict[str, int] = {}  # folded text: where it stands first; equal ones, however many, are compared once
    group = [first.setdefault(folded(one.text), i) for i, one in enumerate(left)]
    texts, places = list(first), list(first.values())

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    for i, j in similar_pairs(texts, texts, rules.similarity):
        ends = root(places[i]), root(places[j])
        group[max(ends)] = min(ends)
    members = defaultdict(list)
    for i, one in enumerate(left):
        members[root(i)].append(one)
    found = {}
    for together in members.values():
        if len({labels_of(one, rules) for one in together}) > 1:
            found |= {
                one.request: (
                    "corrections of (nearly) the same text contradict each other: "
                    f"{', '.join(other.request for other in together[:3])}"
                )
                for one in together
            }
        elif len(together) > MANY:
            found |= {one.request: f"one of {len(together)} near-identical texts" for one in together}
    return found


def _repeated(left: list[Candidate], known: list[Candidate], rules: Rules) -> list[tuple[Candidate, str, bool]]:
    """(candidate, reason, whether they say the same too) for texts that the dataset has already."""
    pairs = defaultdict(list)
    for i, j in similar_pairs([one.text for one in left], [one.text for one in known], rules.similarity):
        pairs[i].append(known[j])
    found = []
    for i, others in sorted(pairs.items()):
        other = next((row for row in others if _differ(left[i], row, rules)), None)
        under = "other labels" if rules.labels else "another answer"
        words = (
            f"the dataset has this text under {under} ({other.request})"
            if other
            else f"the dataset has this text already ({others[0].request})"
        )
        found.append((left[i], words, other is None))
    return found


def surplus_of_keys(left: list[Candidate], max_share: float) -> set[str]:
    """The newest rows of keys that bring more than `max_share` of all rows that stay, or than an equal share where
    there are too few keys for that.
    """
    counts = Counter(one.key for one in left)
    share = max(max_share, 1 / len(counts)) if counts else 1.0
    total = len(left)
    while (kept := sum(min(count, int(share * total + 1e-9)) for count in counts.values())) < total:
        total = kept
    allowed, surplus = int(share * total + 1e-9), set()
    seen: Counter = Counter()
    for one in left:
        seen[one.key] += 1
        if seen[one.key] > allowed:
            surplus.add(one.request)
    return surplus
