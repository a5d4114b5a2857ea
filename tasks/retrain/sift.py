"""Sorts corrected answers into rows of the dataset and suspicious or unusable ones."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from tasks.formats.answer import is_same_text
from tasks.texts.clean import clean, folded, is_blank
from tasks.texts.duplicates import similar_pairs

MAX_ALIKE = 5  # near-identical texts in one harvest; more look planted, and of fewer prepare keeps one
PLACEHOLDER = re.compile(r"<(?:EMAIL|PHONE|IBAN|CARD|IP|SSN|SECRET)>")  # see tasks/texts/redaction/
LEAST_WORDS, MOST_PLACEHOLDERS = 3, 0.25  # words beside the placeholders; share of the words that may be placeholders


@dataclass(frozen=True)
class Candidate:
    """A corrected answer as a row of the dataset; `text` is what the person wrote, `reasons` say why it is set
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
    """The dataset's requirements of a row."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]  # columns that are classes
    answer: tuple[str, ...]  # columns of the answer, which a person wrote
    classes: dict[str, frozenset[str]]  # label: known values
    similarity: float
    max_share_of_key: float
    may_be_empty: frozenset[str] = frozenset()  # columns beside the answer that some rows of the dataset leave empty


@dataclass
class Sifted:
    """All candidates in four groups; the next harvest considers `waiting` ones again."""

    taken: list[Candidate] = field(default_factory=list)
    quarantined: list[Candidate] = field(default_factory=list)
    waiting: list[Candidate] = field(default_factory=list)
    skipped: list[Candidate] = field(default_factory=list)


def sift(candidates: list[Candidate], known: list[Candidate], rules: Rules) -> Sifted:
    """Sort `candidates`; `known` are the rows that the dataset has. The result does not depend on their order."""
    sifted = Sifted()
    order = sorted(candidates, key=lambda candidate: (candidate.requested_at, candidate.request))
    checked = [replace(candidate, reasons=(*candidate.reasons, *_unusable(candidate, rules))) for candidate in order]
    sifted.quarantined += [candidate for candidate in checked if candidate.reasons]
    left = [candidate for candidate in checked if not candidate.reasons]
    crowded = _crowded(left, rules)
    sifted.quarantined += [
        replace(candidate, reasons=(crowded[candidate.request],)) for candidate in left if candidate.request in crowded
    ]
    left = [candidate for candidate in left if candidate.request not in crowded]
    for candidate, words, is_same in _repeated(left, known, rules):
        (sifted.skipped if is_same else sifted.quarantined).append(replace(candidate, reasons=(words,)))
    decided = {candidate.request for group in (sifted.quarantined, sifted.skipped) for candidate in group}
    left = [candidate for candidate in left if candidate.request not in decided]
    surplus = surplus_of_keys(left, rules.max_share_of_key)
    words = f"its key brings more than {rules.max_share_of_key:.0%} of the rows; it waits for rows from others"
    sifted.waiting = [replace(candidate, reasons=(words,)) for candidate in left if candidate.request in surplus]
    sifted.taken = [candidate for candidate in left if candidate.request not in surplus]
    return sifted


def _unusable(candidate: Candidate, rules: Rules) -> list[str]:
    columns = [column for column in rules.columns if column not in rules.may_be_empty]
    if beside := [column for column in columns if column not in candidate.row and column not in rules.answer]:
        return [
            f"`{beside[0]}` is in neither question nor answer, so a correction cannot fill it: remove it from "
            "ingest.columns"
        ]
    if missing := [column for column in columns if is_blank(candidate.row.get(column, ""))]:
        return [f"`{missing[0]}` is missing or empty"]
    reasons = [
        f"`{label}` is '{candidate.row[label][:40]}', which is not a known value"
        for label in rules.labels
        if clean(candidate.row[label]) not in rules.classes[label]
    ]
    reasons += [
        f"`{column}` holds a redacted part, which the model would learn to write"
        for column in rules.answer
        if PLACEHOLDER.search(candidate.row[column])
    ]
    placeholders, words = (
        len(PLACEHOLDER.findall(candidate.text)),
        len(re.findall(r"\w+", PLACEHOLDER.sub(" ", candidate.text))),
    )
    if placeholders and (words < LEAST_WORDS or placeholders > MOST_PLACEHOLDERS * (words + placeholders)):
        reasons.append(f"redaction left too little of it: {placeholders} parts redacted, {words} words")
    return reasons


def labels_of(candidate: Candidate, rules: Rules) -> tuple[str, ...]:
    """Return the classes of a row."""
    return tuple(clean(candidate.row.get(label, "")) for label in rules.labels)


def _differ(candidate: Candidate, other: Candidate, rules: Rules) -> bool:
    """True if two rows of (nearly) the same text contradict each other: other labels, or, without labels, exactly the
    same text and another answer.
    """
    if rules.labels:
        return labels_of(candidate, rules) != labels_of(other, rules)
    return is_same_text(candidate.text, other.text) and not all(
        is_same_text(candidate.row.get(column, ""), other.row.get(column, "")) for column in rules.answer
    )


def _crowded(left: list[Candidate], rules: Rules) -> dict[str, str]:
    """Return {request: reason} for groups of near-identical texts that contradict one another or are too many."""
    first: dict[str, int] = {}  # folded text: its first index; equal texts are compared once
    group = [first.setdefault(folded(candidate.text), i) for i, candidate in enumerate(left)]
    texts, indices = list(first), list(first.values())

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    for i, j in similar_pairs(texts, texts, rules.similarity):
        roots = root(indices[i]), root(indices[j])
        group[max(roots)] = min(roots)
    members = defaultdict[int, list[Candidate]](list)
    for i, candidate in enumerate(left):
        members[root(i)].append(candidate)
    reasons: dict[str, str] = {}
    for alike in members.values():
        if len({labels_of(candidate, rules) for candidate in alike}) > 1:
            reasons |= {
                candidate.request: (
                    "corrections of (nearly) the same text contradict each other: "
                    f"{', '.join(other.request for other in alike[:3])}"
                )
                for candidate in alike
            }
        elif len(alike) > MAX_ALIKE:
            reasons |= {candidate.request: f"one of {len(alike)} near-identical texts" for candidate in alike}
    return reasons


def _repeated(left: list[Candidate], known: list[Candidate], rules: Rules) -> list[tuple[Candidate, str, bool]]:
    """Return (candidate, reason, whether the answer is the same too) for texts that the dataset has already."""
    pairs = defaultdict[int, list[Candidate]](list)
    for i, j in similar_pairs(
        [candidate.text for candidate in left], [candidate.text for candidate in known], rules.similarity
    ):
        pairs[i].append(known[j])
    repeated = []
    for i, others in sorted(pairs.items()):
        other = next((row for row in others if _differ(left[i], row, rules)), None)
        under = "other labels" if rules.labels else "another answer"
        words = (
            f"the dataset has this text under {under} ({other.request})"
            if other
            else f"the dataset has this text already ({others[0].request})"
        )
        repeated.append((left[i], words, other is None))
    return repeated


def surplus_of_keys(left: list[Candidate], max_share: float) -> set[str]:
    """Return the newest requests of keys that bring more than `max_share` of all remaining rows, or more than an equal
    share if there are too few keys for that.
    """
    counts = Counter(candidate.key for candidate in left)
    share = max(max_share, 1 / len(counts)) if counts else 1.0
    total = len(left)
    while (kept := sum(min(count, int(share * total + 1e-9)) for count in counts.values())) < total:
        total = kept
    allowed, surplus = int(share * total + 1e-9), set[str]()
    rows_of_key: Counter[str | None] = Counter()
    for candidate in left:
        rows_of_key[candidate.key] += 1
        if rows_of_key[candidate.key] > allowed:
            surplus.add(candidate.request)
    return surplus
