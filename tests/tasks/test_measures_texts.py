"""Measures of short answers, texts and entities: by hand, and as SQuAD's script, sacrebleu and seqeval have them."""

import re
import string
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.formats.answer import format_of
from tasks.stages.evaluate.measures.bleu import bleu
from tasks.stages.evaluate.measures.chrf import chrf
from tasks.stages.evaluate.measures.entity_f1 import entities, entity_f1
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.measures.text_match import is_match
from tasks.stages.evaluate.measures.token_f1 import score
from tasks.stages.evaluate.measures.words import squad_tokens
from tasks.stages.evaluate.predictions import Prediction, read
from tests.examples import examples
from tests.tasks.scored import text_row


def answers(*pairs: tuple[str, str]) -> list[Prediction]:
    """(answer, right answer) of each row, as they are read."""
    rows = [text_row(said, right, reply=right) for said, right in pairs]
    return read(rows, format_of("{{ reply }}"), {})


def value(measure: Measure, *pairs: tuple[str, str]) -> float:
    """The value of a measure of such rows."""
    return measure.value(measure.rows(answers(*pairs)))


def squad(text: str) -> list[str]:
    """The words of the script that came with SQuAD 1.1 (evaluate-v1.1.py), written anew."""
    plain = "".join(mark for mark in text.lower() if mark not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


@examples(100)
@given(st.text(string.ascii_letters + string.digits + string.punctuation + " \n\t", max_size=40))
def test_the_words_of_english_are_those_of_squads_own_script(text):
    assert squad_tokens(text) == squad(text)
    assert squad_tokens(f"the {text} an A") == squad(f"the {text} an A")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The U.S. don't!", ["us", "dont"]),
        ("в Москве, «столице»", ["в", "москве", "столице"]),
        ("東京タワー。", ["東", "京", "タ", "ワ", "ー"]),
        ("นำ้", ["นำ้"]),  # marks stay on their letter
        ("هل تعلم؟", ["هل", "تعلم"]),
        ("Straße", ["strasse"]),
        ("cafe\u0301", ["café"]),
        ("iPhone 15で", ["iphone", "15", "で"]),
        ("3.5 🙂", ["35", "🙂"]),
    ],
)
def test_words_in_every_script(text, words):
    assert squad_tokens(text) == words


@pytest.mark.parametrize(
    ("said", "right", "f1", "is_right"),
    [
        ("the Denver Broncos.", "Denver Broncos", 1, True),
        ("Denver", "Denver Broncos", 2 / 3, False),
        ("Broncos Denver", "Denver Broncos", 1, False),  # words in any order
        ("to be or", "to be or not to be", 2 * 3 / 9, False),  # each word as often as it is there
        ("", "Denver", 0, False),
        ("東京", "東京都", 4 / 5, False),
        ("A", "a", 1, True),  # a choice, which is an article to SQuAD
        ("the", "A", 0, False),
        ("", "A", 0, False),
        ("B", "A", 0, False),
        ("?", "!", 0, False),
    ],
)
def test_token_f1_and_exact_match_of_short_answers(said, right, f1, is_right):
    assert score(said, right) == pytest.approx(f1) and is_match(said, right) is is_right


@examples(60)
@given(*[st.text("ab the.", max_size=12)] * 2)
def test_token_f1_is_that_of_squads_own_script_where_words_are_left(said, right):
    ours, theirs = squad(said), squad(right)
    if ours and theirs:
        shared = sum((Counter(ours) & Counter(theirs)).values())
        assert score(said, right) == pytest.approx(2 * shared / (len(ours) + len(theirs)))
        assert is_match(said, right) == (ours == theirs)
    assert 0 <= score(said, right) <= 1 and is_match(right, right)


texts = st.lists(st.sampled_from("the cat sat on a mat . 東京 кот".split()), min_size=1, max_size=9).map(" ".join)
corpus = st.lists(st.tuples(texts | st.just(""), texts), min_size=1, max_size=12)


@examples(40)
@given(corpus, st.randoms(use_true_random=False))
def test_bleu_and_chrf_are_sacrebleus_of_any_set_of_rows_in_any_order(pairs, dice):
    from sacrebleu.metrics import BLEU, CHRF

    for measure, library in ((bleu("reply"), BLEU(force=True)), (chrf("reply"), CHRF())):
        if measure.name == "reply_bleu" and measure.rows(answers(*pairs)).shape != (len(pairs), 10):
            raise AssertionError("two lengths, and four counts of right and of all runs of words")
        parts = measure.rows(answers(*pairs))
        drawn = [dice.randrange(len(pairs)) for _ in pairs]
        for places in (list(range(len(pairs))), drawn):
            said, right = ([pairs[place][side] for place in places] for side in (0, 1))
            expected = BLEU(tokenize="char", force=True) if unspaced(pairs) and "bleu" in measure.name else library
            assert measure.value(parts[places]) == pytest.approx(expected.corpus_score(said, [right]).score / 100)
        order = dice.sample(range(len(pairs)), len(pairs))
        assert measure.value(parts[order]) == pytest.approx(measure.value(parts))


def unspaced(pairs: list[tuple[str, str]]) -> bool:
    """Whether most letters of the right texts are Japanese."""
    letters = "".join(right for _, right in pairs).replace(" ", "").replace(".", "")
    return sum(letter in "東京" for letter in letters) > len(letters) / 2


def test_bleu_and_chrf_by_hand():
    assert value(bleu("reply"), ("the cat sat on the mat", "the cat sat on a mat")) == pytest.approx(
        (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    )
    assert value(bleu("reply"), ("ab", "ab")) == 0  # no run of four words: sacrebleu's, of a corpus
    # "ab" of "abc": runs of 1 and 2 letters, precision 1 and 1; recall 2/3 and 1/2
    assert value(chrf("reply"), ("ab", "abc")) == pytest.approx(5 * 1 * (7 / 12) / (4 * 1 + 7 / 12))
    for measure in (bleu("reply"), chrf("reply")):
        same = "東京は日本の首都です"
        assert value(measure, (same, same)) == pytest.approx(1) and value(measure, ("", same)) == 0


def test_bleu_of_a_script_without_blanks_counts_characters():
    assert value(bleu("reply"), ("東京は日本の都です", "東京は日本の首都です")) > 0.5


tags = st.lists(st.sampled_from("O B-PER I-PER B-LOC I-LOC E-LOC S-PER".split()), min_size=1, max_size=8)


@examples(40)
@given(st.lists(st.tuples(tags, st.randoms(use_true_random=False)), min_size=1, max_size=8))
def test_entity_f1_is_seqevals(rows):
    from seqeval.metrics import f1_score

    right = [row for row, _ in rows]
    told = [[tag if dice.random() < 0.7 else dice.choice(["O", "B-PER", "I-LOC"]) for tag in row] for row, dice in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no entity at all, where it is 0 as well
        expected = f1_score(right, told)
    assert value(entity_f1("reply"), *((" ".join(a), " ".join(b)) for a, b in zip(told, right, strict=True))) == (
        pytest.approx(expected)
    )


def test_an_entity_is_right_in_type_and_both_ends_or_wrong():
    parts = entity_f1("reply").rows(
        answers(("B-PER I-PER O B-LOC", "B-PER I-PER O B-ORG"), ("O O", "O O"), ("", "B-PER"))
    )
    assert parts.tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 1]]
    assert entity_f1("reply").value(parts) == pytest.approx(2 / 5)
    assert entity_f1("reply").value(np.zeros((2, 3))) == 0


@pytest.mark.filterwarnings("error")
def test_tags_without_a_prefix_are_entities_too():
    assert entities("PER PER O LOC".split()) == {("PER", 0, 1), ("LOC", 3, 3)}
    assert entities([]) == frozenset()
