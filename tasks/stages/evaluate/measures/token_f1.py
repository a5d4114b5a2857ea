"""token_f1: the word overlap of a short answer with the right one, as in SQuAD (Rajpurkar et al. 2016)."""

from collections import Counter

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, named
from tasks.stages.evaluate.measures.parts import answer_text, right_texts
from tasks.stages.evaluate.measures.words import squad_tokens
from tasks.texts.clean import clean


def token_f1(text: str) -> Measure:
    """The mean F1 of the words of `text`, in any order, without case, punctuation and English articles; the best over
    the right answers where there are several.
    """
    return Measure(
        named(text, "token_f1"),
        "F1",
        True,
        "score",
        lambda rows: np.array(
            [max(score(answer_text(row, text), each) for each in right_texts(row, text)) for row in rows], float
        ),
    )


def score(answer: str, expected: str) -> float:
    """SQuAD's F1 of two texts; if either has no words that SQuAD counts (the choice "A" is an article), whether they
    are the same.
    """
    words, right = squad_tokens(answer), squad_tokens(expected)
    if not words or not right:
        return float(clean(answer).casefold() == clean(expected).casefold())
    return 2 * (Counter(words) & Counter(right)).total() / (len(words) + len(right))
