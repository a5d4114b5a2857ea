"""Finds texts that are the same but for a few characters (MinHash LSH, then the exact Jaccard similarity)."""

from collections.abc import Iterator

SHINGLE = 5  # characters; short mails still have some
PERMUTATIONS = 128


def shingles(text: str) -> frozenset[str]:
    """The set of 5-character pieces of `text`, lower-cased, white space folded."""
    folded = " ".join(text.lower().split())
    return frozenset(folded[i : i + SHINGLE] for i in range(max(1, len(folded) - SHINGLE + 1)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """|a ∩ b| / |a ∪ b|."""
    return len(a & b) / len(a | b)


def similar_pairs(texts: list[str], others: list[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs (i, j) whose `texts[i]` and `others[j]` have a Jaccard similarity of at least `threshold`.

    Candidates come from MinHash LSH (Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, ch. 3) with a fixed
    seed, and are then compared exactly, so there are no false pairs and the result is the same every time.
    """
    from datasketch import MinHash, MinHashLSH

    def sign(pieces: frozenset[str]) -> MinHash:
        signature = MinHash(num_perm=PERMUTATIONS, seed=1)
        signature.update_batch([piece.encode() for piece in sorted(pieces)])
        return signature

    # LSH is asked for a little less than the threshold: a false candidate costs one comparison, a missed one a duplicate.
    index = MinHashLSH(threshold=max(0.1, threshold - 0.15), num_perm=PERMUTATIONS)
    sets = [shingles(text) for text in others]
    for j, pieces in enumerate(sets):
        index.insert(j, sign(pieces))
    for i, text in enumerate(texts):
        pieces = shingles(text)
        for j in sorted(index.query(sign(pieces))):
            if jaccard(pieces, sets[j]) >= threshold:
                yield i, j
