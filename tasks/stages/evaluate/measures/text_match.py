"""text_match: whether a short answer equals the right one, as SQuAD compares them (Rajpurkar et al. 2016: exact
match).
"""

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, named
from tasks.stages.evaluate.measures.parts import answer_text, right_texts
from tasks.stages.evaluate.measures.words import squad_tokens
from tasks.texts.clean import clean


def text_match(text: str) -> Measure:
    """The share of the rows whose `text` has the right words in the right order, without case, punctuation and English
    articles, or those of another right answer; the `exact_match` of a whole answer counts all of these.
    """
    return Measure(
        named(text, "exact_match"),
        "share of rows",
        True,
        "share",
        lambda rows: np.array(
            [any(is_match(answer_text(row, text), each) for each in right_texts(row, text)) for row in rows], float
        ),
    )


def is_match(answer: str, expected: str) -> bool:
    """SQuAD's exact match of two texts; if either has no words that SQuAD counts, whether they are the same."""
    words, right = squad_tokens(answer), squad_tokens(expected)
    if not words or not right:
        return clean(answer).casefold() == clean(expected).casefold()
    return words == right
