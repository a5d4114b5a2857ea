"""Which answers are compared, and a judge that compares them all: several at once, each verdict kept as it comes."""

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, Protocol

from tasks import progress
from tasks.dataset.sampled import Sampled
from tasks.errors import AnnealError
from tasks.journal import Journal
from tasks.judging.judge import Choice, refuse_nonsense, shown
from tasks.judging.verdicts import Reader, Reading, Verdict, key
from tasks.texts.clean import folded, is_blank

AT_ONCE = 4  # questions that an endpoint gets at the same time
PLACES: dict[Choice, int | None] = {"first": 0, "second": 1, "tie": None}


class Comparison(NamedTuple):
    """Two answers to a row, in an order that says nothing."""

    row: str
    prompt: str
    first: str
    second: str

    @property
    def answers(self) -> tuple[str, str]:
        """The names of both answers in verdicts."""
        return key(self.first), key(self.second)


class Compares(Protocol):
    """A judge."""

    @property
    def name(self) -> str:
        """The name of the model."""

    def compare(self, prompt: str, first: str, second: str) -> Choice | None:
        """Which answer is better."""


def of_samples(rows: Iterable[Sampled], most: int, seed: int) -> list[Comparison]:
    """Pairs of different answers to each row, at most so many of them; pairs and their order are drawn by the seed."""
    comparisons = []
    for row in rows:
        texts = {folded(answer["text"]): answer["text"] for answer in row["answers"] if not is_blank(answer["text"])}
        lot = random.Random(hashlib.sha256(f"{seed}\n{row['id']}".encode()).digest())
        pairs = [lot.sample(pair, 2) for pair in combinations(texts.values(), 2)]
        chosen = lot.sample(pairs, min(most, len(pairs)))
        comparisons += [Comparison(row["id"], shown(row["messages"]), *pair) for pair in chosen]
    if not comparisons:
        raise AnnealError("no row has two different answers: raise the temperatures, or the number of answers.")
    return comparisons


class Judged(NamedTuple):
    """The verdicts of a judge, and how many of its answers could not be read."""

    reading: Reading
    unread: int


def judged(judge: Compares, comparisons: Sequence[Comparison], about: str, journal: Path) -> Judged:
    """Have all `comparisons` judged; verdicts in the journal count if they are of the same work, and `about` the same.

    Raises AnnealError if the judge cannot be asked, or if most of what it says is no verdict; verdicts so far are kept.
    """
    work = Journal(journal, _key(judge.name, about, comparisons))
    known = {line[0]: line[1] for line in work.lines}
    left = [place for place in range(len(comparisons)) if place not in known]
    if known:
        print(f"judge: {len(known)} verdicts of an earlier run are kept", file=sys.stderr, flush=True)

    def compare(place: int) -> None:
        _, prompt, first, second = comparisons[place]
        work.keep([place, judge.compare(prompt, first, second)])

    def noted() -> None:
        kept_choices = [choice for _, choice in work.lines]
        refuse_nonsense(judge.name, len(kept_choices) - kept_choices.count(None), kept_choices.count(None))

    with work.open():
        several(compare, left, "judge", noted)
    choices = {line[0]: line[1] for line in work.lines}
    verdicts = tuple(
        Verdict(comparison.row, comparison.answers, PLACES[choices[place]])
        for place, comparison in enumerate(comparisons)
        if choices[place] is not None
    )
    return Judged(Reading(Reader("model", judge.name), verdicts), len(comparisons) - len(verdicts))


def several(work: Callable[[int], None], places: Sequence[int], what: str, noted: Callable[[], None]) -> None:
    """Do `work` for all `places`, AT_ONCE at the same time, and show progress; `noted` is called after each.

    The first error ends it: what has not begun is not done.
    """
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        started = shown_at = time.monotonic()
        for done, _ in enumerate(pool.map(work, places), 1):
            noted()
            if time.monotonic() - shown_at > 10 or done == len(places):
                shown_at = time.monotonic()
                print(progress.line(what, done, len(places), shown_at - started), file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _key(name: str, about: str, comparisons: Sequence[Comparison]) -> str:
    return hashlib.sha256(json.dumps([name, about, comparisons]).encode()).hexdigest()
