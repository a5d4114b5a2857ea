"""Finds near-duplicate texts (MinHash LSH, then the exact Jaccard similarity)."""

import sys
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tasks.texts.clean import folded

if TYPE_CHECKING:
    from datasketch import MinHash
    from numpy import int64
    from numpy.typing import NDArray

SHINGLE = 5  # characters; short mails still have some
PERMUTATIONS = 128
# LSH is asked for a little less than the threshold: a false candidate costs one comparison, a missed one a duplicate.
MARGIN = 0.15
EVERY = 10  # seconds between two lines of progress


class Pair(NamedTuple):
    """The position of a similar text, and its Jaccard similarity (0 to 1)."""

    place: int
    similarity: float


class Signed(NamedTuple):
    """A text as its set of pieces and their MinHash signature."""

    pieces: frozenset[str]
    signature: "MinHash"


def shingles(text: str) -> frozenset[str]:
    """The set of 5-character pieces of `text`, folded."""
    whole = folded(text)
    return frozenset(whole[i : i + SHINGLE] for i in range(max(1, len(whole) - SHINGLE + 1)))


class Index:
    """An index of texts that finds those similar to a given one.

    Candidates come from MinHash LSH (Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, ch. 3) with a fixed
    seed, and are then compared exactly, so there are no false pairs and the result is the same every time.
    """

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        self._threshold = threshold
        self._lsh = MinHashLSH(num_perm=PERMUTATIONS, params=_bands(max(0.1, threshold - MARGIN)))
        self._numbers: dict[str, int] = {}  # of the pieces that any text here has
        # Each text as the numbers of its pieces: counting in arrays is much faster than in sets.
        self._texts: list[NDArray[int64]] = []

    def add(self, text: Signed) -> int:
        """Add a text; return its position, from 0."""
        import numpy

        place = len(self._texts)
        numbers = [self._numbers.setdefault(piece, len(self._numbers)) for piece in text.pieces]
        self._texts.append(numpy.array(numbers, dtype=numpy.int64))
        self._lsh.insert(place, text.signature)
        return place

    def like(self, text: Signed) -> Iterator[Pair]:
        """The texts at least as similar to `text` as the threshold, in the order of their positions."""
        import numpy

        places = sorted(self._lsh.query(text.signature))
        if not places:
            return
        has = numpy.zeros(len(self._numbers), dtype=numpy.int64)
        has[[self._numbers[piece] for piece in text.pieces if piece in self._numbers]] = 1
        sizes = numpy.array([len(self._texts[place]) for place in places])
        starts = numpy.cumsum(sizes) - sizes
        shared = numpy.add.reduceat(has[numpy.concatenate([self._texts[place] for place in places])], starts)
        similarities = shared / (len(text.pieces) + sizes - shared)
        for i in numpy.flatnonzero(similarities >= self._threshold):
            yield Pair(places[i], float(similarities[i]))


@lru_cache
def _bands(threshold: float) -> tuple[int, int]:
    """(bands, rows per band) of the signature for a threshold; cached, since choosing them takes longer than comparing
    a few hundred texts.
    """
    from datasketch import MinHashLSH

    lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    return lsh.b, lsh.r


def sign(text: str) -> Signed:
    """The pieces of `text` and their signature."""
    pieces = shingles(text)
    signature = _empty().copy()  # shares its permutations, which take longer to draw than a text to sign
    signature.update_batch([piece.encode() for piece in sorted(pieces)])
    return Signed(pieces, signature)


@lru_cache
def _empty() -> "MinHash":
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=1)


def leaders(texts: Sequence[str], threshold: float) -> list[Pair]:
    """For each text its leader: an earlier text that it is similar to, or itself if there is none.

    A text with a leader leads no others, so every text is similar to its leader. Linear in time where texts are equal
    or similar. Equal texts are compared once, so pass folded texts.
    """
    index, result = Index(threshold), list[Pair]()
    places, known = list[int](), dict[str, Pair]()  # of the texts in the index; of each text
    for place, text in enumerate(_watched(texts, "compared for near-duplicates")):
        if text not in known:
            signed = sign(text)
            pair = next(index.like(signed), None)
            known[text] = Pair(places[pair.place], pair.similarity) if pair else Pair(place, 1.0)
            if pair is None:
                index.add(signed)
                places.append(place)
        result.append(known[text])
    return result


def first_like(texts: Sequence[str], others: Sequence[str], threshold: float) -> list[Pair | None]:
    """For each text the first of `others` that is at least that similar; None if there is none."""
    index = Index(threshold)
    for other in others:
        index.add(sign(other))
    return [next(index.like(sign(text)), None) for text in _watched(texts, "compared with those that are held out")]


def similar_pairs(texts: Sequence[str], others: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), in order, whose `texts[i]` and `others[j]` have a Jaccard similarity of at least `threshold`."""
    index = Index(threshold)
    for other in others:
        index.add(sign(other))
    for i, text in enumerate(texts):
        yield from ((i, place) for place, _ in sorted(index.like(sign(text))))


def _watched(texts: Sequence[str], what: str) -> Iterator[str]:
    """`texts`, with a progress line on stderr every few seconds."""
    last = time.monotonic()
    for count, text in enumerate(texts):
        if time.monotonic() - last > EVERY:
            last = time.monotonic()
            print(f"prepare: {count} of {len(texts)} texts {what}", file=sys.stderr, flush=True)
        yield text
