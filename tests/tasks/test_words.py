"""The words of a text are the same whether it was tokens or raw, each is told in one window, and the tags that are told
of them are always well-formed.
"""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.models.encoder import Reader, load_tokenizer
from tasks.models.words import frame, windows, words
from tests import encoders
from tests.examples import examples

pytestmark = pytest.mark.slow  # it loads a tokenizer and torch


@pytest.fixture(scope="module")
def of_base(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return load_tokenizer(encoders.make_base(tmp_path_factory.mktemp("encoder") / "weights"))


def told(of: Reader, text: str) -> list[str]:
    return [text[start:end] for start, end in words(of, text).spans]


def test_raw_text_and_joined_tokens_have_the_same_words(of_base: Reader, base: Path) -> None:
    tokens = ["Big", ",", "a", "r\u00e9d", "apple's", "box", "(", "7.5", ")", "!"]
    raw = "Big, a r\u00e9d  apple's box\n(7.5)!"
    for of in (of_base, load_tokenizer(base)):  # WordPiece, and BPE of bytes
        assert told(of, raw) == told(of, " ".join(tokens)) == "Big , a r\u00e9d apple ' s box ( 7 . 5 ) !".split()


def test_a_word_is_all_of_its_tokens_and_special_tokens_are_text_at_their_places(of_base: Reader) -> None:
    text = "big zzqx [SEP] apple"
    read = words(of_base, text)
    first, last = read.tokens[1]
    assert last > first and of_base.decode(read.ids[first : last + 1]) == "zzqx"
    assert told(of_base, text) == ["big", "zzqx", "[", "SEP", "]", "apple"]
    assert of_base.tokenizer.sep_token_id not in read.ids
    assert [len(part) for part in frame(of_base)] == [1, 1] and words(of_base, "").ids == []


@examples(100)
@given(st.integers(0, 400), st.integers(4, 70))
def test_each_token_is_told_in_one_window_with_others_around_it(length: int, size: int) -> None:
    every = windows(length, size)
    assert [place for window in every for place in range(window.first, window.last)] == list(range(length))
    for window in every:
        assert (
            0 <= window.start <= window.first < window.last <= window.end <= length
            and window.end - window.start <= size
        )
        assert window.first == 0 or window.first - window.start >= size // 4 // 2
        assert window.last == length or window.end - window.last >= size // 4 // 2


@examples(60)
@given(st.lists(st.lists(st.floats(-9, 0), min_size=5, max_size=5), max_size=4))
def test_the_told_tags_are_the_likeliest_of_those_that_are_well_formed(scores: list[list[float]]) -> None:
    import torch

    from tasks.models.tagger import likeliest, tags_of

    tags = tags_of(["A", "B"])
    told = likeliest(SimpleNamespace(tags=tags), torch.tensor(scores).reshape(-1, 5))

    def total(path: tuple[str, ...]) -> float:
        return sum(scores[word][tags.index(tag)] for word, tag in enumerate(path))

    def is_well_formed(path: tuple[str, ...]) -> bool:
        return all(tag[0] != "I" or before[2:] == tag[2:] for before, tag in itertools.pairwise(("O", *path)))

    assert is_well_formed(tuple(told))
    best = max(map(total, filter(is_well_formed, itertools.product(tags, repeat=len(scores)))))
    assert total(tuple(told)) == pytest.approx(best, abs=1e-4)
