"""The classes of labelled rows: their shares in training, suspicious values, and held-out rows whose class (or
entity label) never occurs in training.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tasks.errors import AnnealError
from tasks.formats.entities import spans
from tasks.formats.numbers import number
from tasks.stages.prepare.split_or_drop import Dropped, Placed
from tasks.texts.clean import clean, folded

SHOWN, LONGEST = 3, 40  # classes in a sentence, characters of one


def shares(kept: Sequence[Placed], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """{label: {class: its share of the training rows}}, classes in alphabetical order."""
    rows = [placed.row["row"] for placed in kept if placed.split == "train"]
    counts = {label: Counter(row[label] for row in rows) for label in labels}
    return {label: {name: count[name] / len(rows) for name in sorted(count)} for label, count in counts.items()}


def check(kept: Sequence[Placed], labels: Sequence[str]) -> None:
    """Raise AnnealError for a label with a single class in training, or with more classes than half of the rows."""
    rows = [placed.row["row"] for placed in kept if placed.split == "train"]
    for label in labels:
        counts = Counter(row[label] for row in rows)
        if len(counts) == 1:
            raise AnnealError(
                f"prepare: all {len(rows)} training rows have the class {next(iter(counts))!r} in `{label}`, so "
                "there is nothing to distinguish; add rows of another class, or leave the column out of prepare.labels."
            )
        if len(counts) > max(2, len(rows) / 2):
            are_numbers = all(number(name) is not None for name in counts)
            way = f"; to learn numbers, write shape: scored and numbers: [{label}]" if are_numbers else ""
            raise AnnealError(
                f"prepare: `{label}` has {len(counts)} classes in {len(rows)} training rows ({_shown(sorted(counts))}),"
                " and a class is learnt from several rows; name a column of fewer classes in prepare.labels, or group "
                f"its values{way}."
            )


def check_names(rows: Sequence[Mapping[str, str]], names_of: Mapping[str, Mapping[str, str]]) -> None:
    """Raise AnnealError for a named class that no row of the source has."""
    for label, names in names_of.items():
        present = {clean(row[label]) for row in rows if label in row}
        if absent := next((code for code in names if code not in present), None):
            raise AnnealError(
                f"prepare: class_names names {absent!r} of `{label}` ({names[absent]!r}), and no row has that "
                f"({_shown(sorted(present))}); correct it, or remove it."
            )


def figures(kept: Sequence[Placed], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """{label: number of classes, of classes with a single row, and of classes that differ from another only in case or
    blanks}.
    """
    return {
        label: {
            "classes": len(counts),
            "of_a_single_row": len(_single(counts)),
            "alike": sum(map(len, _alike(counts))),
        }
        for label, counts in ((label, _counts(kept, label)) for label in labels)
    }


def remarks(kept: Sequence[Placed], labels: Sequence[str]) -> Iterable[str]:
    """Sentences on classes with a single row, on classes that are numbers, and on classes that differ only in case or
    blanks.
    """
    for label in labels:
        counts = _counts(kept, label)
        if single := _single(counts):
            has = "a class" if len(single) == 1 else f"{len(single)} classes"
            yield (
                f"`{label}` has {has} of a single row ({_shown(single)}), which can be in one split only: learnt and "
                "never measured, or set aside"
            )
        if all(map(str.isdecimal, counts)):
            of_scale = "; for a scale, shape: scored learns the order" if len(counts) > 2 else ""
            yield (
                f"`{label}` has the classes {_shown(sorted(counts))}, and answers say these numbers, unless "
                f"prepare.class_names names them ({{{min(counts)}: …}}){of_scale}"
            )
        for names in _alike(counts):
            rows = ", ".join(f"{name!r} ({counts[name]})" for name in names)
            yield (
                f"`{label}` has classes that differ in case or blanks only: {rows}; they are learnt as {len(names)} "
                "classes, so write them alike where they are one"
            )


def _counts(kept: Sequence[Placed], label: str) -> Counter[str]:
    return Counter(placed.row["row"][label] for placed in kept)


def _single(counts: Counter[str]) -> list[str]:
    return sorted(name for name, count in counts.items() if count == 1)


def _alike(counts: Counter[str]) -> list[list[str]]:
    """Groups of two or more classes that look the same to a reader."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        groups[folded(name)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def _shown(names: Sequence[str]) -> str:
    """The first names, in quotes."""
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(repr(name[:LONGEST]) for name in names[:SHOWN]) + more


def drop_unseen(kept: Sequence[Placed], labels: Sequence[str]) -> tuple[list[Placed], list[Dropped]]:
    """(rows whose classes all occur in training, the others with the reason)."""
    trained = shares(kept, labels)
    left, dropped = [], []
    for placed in kept:
        row = placed.row["row"]
        unseen = next((label for label in labels if row[label] not in trained[label]), None)
        if unseen is None:
            left.append(placed)
        else:
            reason = f"`{unseen}` is {row[unseen]!r} in the {placed.split} split and in no row of training"
            dropped.append(Dropped(row, "unseen_class", reason))
    return left, dropped


def drop_unseen_entities(kept: Sequence[Placed]) -> tuple[list[Placed], list[Dropped]]:
    """(rows whose entity labels all occur in training, the others with the reason)."""
    pairs = [(placed, {entity.label for entity in spans(placed.row["answer"])}) for placed in kept]
    trained = set().union(*(labels for placed, labels in pairs if placed.split == "train"))
    left, dropped = [], []
    for placed, labels in pairs:
        if unseen := sorted(labels - trained):
            reason = f"an entity is {unseen[0]!r} in the {placed.split} split and in no row of training"
            dropped.append(Dropped(placed.row["row"], "unseen_class", reason))
        else:
            left.append(placed)
    return left, dropped
