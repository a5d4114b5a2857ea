"""rouge_l: the longest common subsequence of words with the right text (ROUGE-L, Lin 2004), in any script."""

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, named
from tasks.stages.evaluate.measures.parts import answer_text
from tasks.stages.evaluate.measures.words import tokens
from tasks.texts.clean import clean


def rouge_l(text: str) -> Measure:
    """The mean F-measure of the longest common subsequence of the tokens of `text`; 0 where the answer is not one."""
    return Measure(
        named(text, "rouge_l"),
        "F-measure",
        True,
        "score",
        lambda rows: np.array([score(answer_text(row, text), row.right[text]) for row in rows], float),
    )


def score(answer: str, expected: str) -> float:
    """ROUGE-L between two texts: 1 for the same text in any script, 0 when no token is shared."""
    from rapidfuzz.distance import LCSseq

    words, right = tokens(answer), tokens(expected)
    if not words and not right:  # only punctuation
        return float(clean(answer) == clean(expected))
    return 2 * LCSseq.similarity(words, right) / (len(words) + len(right))
