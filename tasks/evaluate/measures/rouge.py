"""rouge_l: how much of a text is said in the same order (ROUGE-L, Lin 2004), in every script."""

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tasks.clean import clean
from tasks.evaluate.measures.measure import Measure, named

if TYPE_CHECKING:
    import regex

# Scripts that put no blanks between words: a token is what a reader takes for one character.
WITHOUT_BLANKS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}"
)
SYMBOLS = r"\p{Extended_Pictographic}\p{Regional_Indicator}"
WORD = r"\p{L}\p{M}\p{N}\p{Join_Control}"  # joiners hold the parts of one word together in Persian and Hindi


def rouge_l(text: str) -> Measure:
    """The mean F-measure of the longest common subsequence of the tokens of `text`; 0 where the answer is not one."""
    return Measure(
        named(text, "rouge_l"),
        "F-measure",
        True,
        "score",
        lambda rows: np.array([score((row.answer or {}).get(text, ""), row.right[text]) for row in rows], float),
    )


def score(answer: str, expected: str) -> float:
    """ROUGE-L between two texts: 1 for the same text in any script, 0 when no token is shared."""
    from rapidfuzz.distance import LCSseq

    ours, theirs = tokens(answer), tokens(expected)
    if not ours and not theirs:  # nothing but marks: the same or not
        return float(clean(answer) == clean(expected))
    return 2 * LCSseq.similarity(ours, theirs) / (len(ours) + len(theirs))


def tokens(text: str) -> list[str]:
    """Words of letters, marks and digits without regard to case; characters of scripts without blanks; emoji.
    Punctuation is left out.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return [match.group() for match in _pattern().finditer(folded)]


@lru_cache
def _pattern() -> "regex.Pattern[str]":
    import regex

    return regex.compile(rf"(?V1)(?=[{WITHOUT_BLANKS}{SYMBOLS}])\X|[[{WORD}]--[{WITHOUT_BLANKS}]]+")
