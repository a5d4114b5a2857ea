"""The tokens and words of a text: the same in training and in serving, since both find the words in the text itself.

A word begins with a token that begins at a word border (tasks/formats/entities.py). Rows of tokens were joined with
blanks before. A text longer than the model's input is read in overlapping windows; each word is predicted in the window
that has the most context around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tasks.formats.entities import is_border
from tasks.models.encoder import Reader

OVERLAP = 4  # a window shares 1 / OVERLAP of its tokens with the next
Offsets = tuple[int, int]


@dataclass(frozen=True)
class Words:
    """A `text`; its token `ids` without special ones; the (start, end) in the text and the (first, last) token of each
    word.
    """

    text: str
    ids: list[int]
    spans: list[Offsets]
    tokens: list[Offsets]

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.ids)


class Window(NamedTuple):
    """Tokens from `start` to `end` are read, those from `first` to `last` predicted."""

    start: int
    end: int
    first: int
    last: int


def words(reader: Reader, text: str) -> Words:
    """The tokens of `text`, whatever its length, and its words; special tokens in it are text."""
    ids, offsets = tokens_of(reader, text)
    spans: list[Offsets] = []
    tokens: list[Offsets] = []
    for token, (start, end) in enumerate(offsets):
        if start >= end:
            continue
        if not spans or (start >= spans[-1][1] and is_border(text, start)):
            spans.append((start, end))
            tokens.append((token, token))
        else:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            tokens[-1] = (tokens[-1][0], token)
    return Words(text, ids, spans, tokens)


def tokens_of(reader: Reader, text: str) -> tuple[list[int], list[Offsets]]:
    """The tokens of `text`, whatever its length, without special ones, and the offsets of each, without blanks at its
    ends.
    """
    neutral = reader.special.neutral(text)
    encoded = reader.tokenizer(neutral, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    places = _places(text, neutral)
    offsets = [_without_blanks(text, places[from_], places[to]) for from_, to in encoded["offset_mapping"]]
    return list(encoded["input_ids"]), offsets


def _places(text: str, neutral: str) -> list[int]:
    """For each position in `neutral`, which may have more characters, the position in `text`."""
    places, place = [], 0
    for character in neutral:
        places.append(place)
        place += place < len(text) and text[place] == character
    return [*places, len(text)]


def _without_blanks(text: str, start: int, end: int) -> Offsets:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def frame(reader: Reader) -> tuple[list[int], list[int]]:
    """The tokens before and behind those of a text."""
    read = reader.tokenizer("a", return_special_tokens_mask=True)
    ids, mask = list(read["input_ids"]), list(read["special_tokens_mask"])
    own = mask.index(0)
    return ids[:own], ids[len(ids) - mask[::-1].index(0) :]


def windows(length: int, size: int) -> list[Window]:
    """Windows of at most `size` tokens over `length`; each token is predicted in exactly one."""
    if length <= size:
        return [Window(0, length, 0, length)] if length else []
    shared = size // OVERLAP
    starts = [*range(0, length - size, size - shared), length - size]
    edges = [0, *((starts[i] + size + starts[i + 1]) // 2 for i in range(len(starts) - 1)), length]
    return [Window(start, start + size, edges[i], edges[i + 1]) for i, start in enumerate(starts)]


def framed(ids: Sequence[int], window: Window, around: tuple[Sequence[int], Sequence[int]]) -> list[int]:
    """The tokens of a window with the special tokens `around` them."""
    return [*around[0], *ids[window.start : window.end], *around[1]]
