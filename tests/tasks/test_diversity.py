"""Diversity and repetition, by cases that can be counted by hand."""

import pytest

from tasks.comparison.win_rate.diversity import distinct, repetition, self_bleu


def test_distinct_counts_runs_of_words_of_all_texts_together() -> None:
    texts = ["the red shelf", "The red box!"]  # the red shelf the red box: 4 of 6; the red, red shelf, the red, red box
    assert distinct(texts, 1) == pytest.approx(4 / 6)
    assert distinct(texts, 2) == pytest.approx(3 / 4)
    assert distinct(texts, 3) == 1.0
    assert distinct(texts, 4) == 0.0  # none of them has four words


def test_equal_texts_have_few_distinct_words() -> None:
    assert distinct(["one two"] * 10, 1) == pytest.approx(2 / 20)


def test_repetition_is_the_share_of_runs_of_four_that_came_before() -> None:
    assert repetition("a b c d e f g") == 0.0
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)  # abcd bcda cdab dabc abcd
    assert repetition("no no no no no no no no") == pytest.approx(4 / 5)
    assert repetition("three words only") == 0.0 and repetition("") == 0.0


def test_self_bleu_is_one_for_equal_texts_and_none_for_texts_without_a_common_word() -> None:
    assert self_bleu(["put it on the red shelf"] * 3) == pytest.approx(1.0)
    assert self_bleu(["alpha beta gamma delta", "one two three four"]) == 0.0
    assert self_bleu(["alone"]) == 0.0 and self_bleu([]) == 0.0


def test_self_bleu_of_one_text_among_twins_is_sacrebleus() -> None:
    from sacrebleu.metrics import BLEU

    texts = ["put it on the red shelf", "put it on the blue shelf", "take it away from here now"]
    metric = BLEU(tokenize="none", effective_order=True)
    scores = [metric.sentence_score(text, [other for other in texts if other != text]).score for text in texts]
    assert self_bleu(texts) == pytest.approx(sum(scores) / 300)
