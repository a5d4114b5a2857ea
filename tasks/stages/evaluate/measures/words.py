"""The words of a text in any script, as counted by ROUGE-L, token F1 and BLEU."""

import string
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex

# Scripts without blanks between words: a token is a grapheme cluster.
WITHOUT_BLANKS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}"
)
SYMBOLS = r"\p{Extended_Pictographic}\p{Regional_Indicator}"
WORD = r"\p{L}\p{M}\p{N}\p{Join_Control}"  # joiners hold the parts of one word together in Persian and Hindi
ARTICLES = frozenset({"a", "an", "the"})


def tokens(text: str) -> list[str]:
    """Words of letters, marks and digits without regard to case; characters of scripts without blanks; emoji.
    Punctuation is left out.
    """
    return [match.group() for match in _words().finditer(_caseless(text))]


def squad_tokens(text: str) -> list[str]:
    """The words that SQuAD compares (Rajpurkar et al. 2016): without case, punctuation and English articles, between
    blanks.

    As in MLQA (Lewis et al. 2020) punctuation is that of every script, and a character of a script without blanks is a
    word; for English it is SQuAD's own.
    """
    plain = _punctuation().sub("", _caseless(text))
    words = [match.group() for word in plain.split() for match in _characters().finditer(word)]
    return [word for word in words if word not in ARTICLES]


def is_without_blanks(text: str) -> bool:
    """Whether most letters of `text` are of scripts that put no blanks between words."""
    unspaced, letters = (len(pattern.findall(text)) for pattern in (_unspaced(), _letters()))
    return unspaced > letters / 2


def _caseless(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


@lru_cache
def _words() -> "regex.Pattern[str]":
    return _compiled(rf"(?V1)(?=[{WITHOUT_BLANKS}{SYMBOLS}])\X|[[{WORD}]--[{WITHOUT_BLANKS}]]+")


@lru_cache
def _characters() -> "regex.Pattern[str]":
    return _compiled(rf"(?V1)(?=[{WITHOUT_BLANKS}])\X|[^{WITHOUT_BLANKS}]+")


@lru_cache
def _punctuation() -> "regex.Pattern[str]":
    marks = "".join(rf"\{mark}" for mark in string.punctuation)
    return _compiled(rf"(?V1)[{marks}\p{{P}}]")


@lru_cache
def _unspaced() -> "regex.Pattern[str]":
    return _compiled(rf"(?V1)[[{WITHOUT_BLANKS}]&&\p{{L}}]")


@lru_cache
def _letters() -> "regex.Pattern[str]":
    return _compiled(r"\p{L}")


def _compiled(pattern: str) -> "regex.Pattern[str]":
    import regex

    return regex.compile(pattern)
