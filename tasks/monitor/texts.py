"""Scores of the texts of requests and answers."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from tasks.dialogues.messages import last_text, logged_template
from tasks.records.database_rows import Input
from tasks.texts.clean import clean
from tasks.texts.template import columns, render

WORD = re.compile(r"[^\W\d_]+")
REFUSAL = re.compile(
    r"\b(i(?:'|’)?m sorry, but|i (?:can(?:'|’)?t|cannot|am unable to|am not able to|won(?:'|’)?t) "
    r"(?:help|assist|answer|provide|do|comply)|as an ai|i am an ai)\b",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Return the words of `text` in lower case, without digits."""
    return WORD.findall(text.lower())


def vocabulary(known: Iterable[str]) -> frozenset[str]:
    """Return all words of `known` texts."""
    return frozenset(word for text in known for word in words(text))


class Question:
    """Reads the text of a request: its columns in the user template of the version, or the last message of a chat."""

    def __init__(self, template: str) -> None:
        """Take the template as the records keep a chat. A missing column is empty: it has a score of its own.

        Texts are cleaned, so that the same words score the same whether the gateway or the client filled the template.
        """
        self.template, self.columns = logged_template(template), columns(template)

    def text(self, request: Input) -> str:
        """Return the text of a request."""
        if isinstance(request.get("messages"), list):
            return clean(last_text(request["messages"]))
        return clean(render(self.template, {column: _plain(request.get(column)) for column in self.columns}))


def is_incomplete(request: Input, columns: Sequence[str]) -> bool | None:
    """True if a column of the template is missing or blank; None for a chat, which has no columns."""
    if isinstance(request.get("messages"), list):
        return None
    return any(not _plain(request.get(column)).strip() for column in columns)


def _plain(value: object) -> str:
    return "" if value is None else str(value)


@lru_cache(maxsize=2000)  # a check asks several times for each text of the reference
def language(text: str) -> str:
    """Return the language of `text` as ISO 639-1."""
    import py3langid

    return str(py3langid.classify(text)[0])


def new_words(text: str, vocabulary: frozenset[str]) -> float | None:
    """Return the share of words that are not in `vocabulary`; None for a text without words."""
    tokens = words(text)
    return sum(word not in vocabulary for word in tokens) / len(tokens) if tokens else None


class Spelling:
    """A letter model of some texts: how surprising the letters of another text are, in bits a letter."""

    def __init__(self, texts: list[str]) -> None:
        """Count what follows each pair of letters in `texts`."""
        runs = [self._letters(text) for text in texts]
        self.triples = Counter(run[i : i + 3] for run in runs for i in range(len(run) - 2))
        self.pairs = Counter(run[i : i + 2] for run in runs for i in range(len(run) - 2))

    def surprise(self, text: str) -> float | None:
        """Return the mean of -log2 P(letter | the two before), with 1/20 of a count added to each of 40 letters; None
        for a text without letters.
        """
        run = self._letters(text)
        bits = [
            math.log2((self.pairs[run[i : i + 2]] + 2) / (self.triples[run[i : i + 3]] + 0.05))
            for i in range(len(run) - 2)
        ]
        return sum(bits) / len(bits) if bits else None

    @staticmethod
    def _letters(text: str) -> str:
        return f" {' '.join(words(text))} "


def is_refusal(text: str) -> bool:
    """True for the usual phrases of a model that declines."""
    return bool(REFUSAL.search(text))
