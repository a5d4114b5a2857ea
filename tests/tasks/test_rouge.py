"""ROUGE-L is 1 for the same text and 0 for texts that share nothing, in every script; and that of rouge-score where
that one is right.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stages.evaluate.measures.rouge import score
from tasks.stages.evaluate.measures.words import tokens
from tasks.texts.clean import clean
from tests.examples import examples

WORDS = st.lists(st.sampled_from("the cat sat on a mat and then it left".split()), max_size=12).map(" ".join)

REPLIES = {
    "Russian": "Новая лампа будет отправлена завтра.",
    "Japanese": "新しいランプは明日発送されます。",
    "Chinese": "新灯明天发货。",
    "Korean": "새 램프는 내일 발송됩니다.",
    "Arabic": "سيتم إرسال المصباح الجديد غدًا.",
    "Persian": "لامپ جدید فردا می\u200cرسد.",
    "Hebrew": "המנורה החדשה תישלח מחר.",
    "Hindi": "नया लैंप कल भेजा जाएगा।",
    "Greek": "\u0397 νέα λάμπα θα σταλεί αύριο.",
    "Thai": "โคมไฟใหม่จะถูกส่งพรุ่งนี้",
    "Khmer": "ចង្កៀងថ្មីនឹងត្រូវផ្ញើនៅថ្ងៃស្អែក។",
    "Georgian": "ახალი ნათურა ხვალ გაიგზავნება.",
    "Tamil": "புதிய விளக்கு நாளை அனுப்பப்படும்.",
    "German": "Die neue Lampe geht morgen hinaus, größer.",
    "emoji": "👍🏽 🎉",
    "flags": "🇩🇪🇫🇷",
    "marks": "?!…",
    "numbers": "3.14 % – ١٢٣",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_the_same_text_is_1_in_every_script(reply):
    assert score(reply, reply) == 1.0


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_another_text_is_0_in_every_script(reply):
    assert score(reply, "xyzzy") == 0.0 and score("xyzzy", reply) == 0.0 and score("", reply) == 0.0


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("âtre é étê", "être à été"),
        ("की", "का"),
        ("ά", "ό"),
        ("👍🏽", "👍🏿"),
        ("🇩🇪", "🇫🇷"),
        ("灯", "火"),
        ("ที่", "ทุ"),
        ("!!", "??"),
    ],
)
def test_marks_and_signs_tell_words_apart(said, right):
    assert score(said, right) == 0.0


@pytest.mark.parametrize(
    ("said", "right"),
    [("STRASSE", "straße"), ("e\u0301te\u0301", "été"), ("ÉTÉ", "été"), ("Σ", "ς"), ("Hello, world!", "hello world")],
)
def test_case_form_and_punctuation_do_not(said, right):
    assert score(said, right) == 1.0


def test_scripts_without_blanks_are_read_by_what_a_reader_takes_for_a_character():
    assert tokens("明日、行くABC") == ["明", "日", "行", "く", "abc"]
    assert tokens("ที่นี้") == ["ที่", "นี้"]
    assert tokens("नया लैंप") == ["नया", "लैंप"]
    assert score("明日行く", "明日来る") == 0.5


def test_it_is_the_f_measure_of_the_longest_common_subsequence():
    precision, recall = 4 / 5, 4 / 6  # the cat on mat
    assert score("the cat on a mat", "the cat sat on the mat") == pytest.approx(
        2 * precision * recall / (precision + recall)
    )


@examples(200)
@given(WORDS, WORDS)
def test_it_is_that_of_rouge_score_for_english(said, right):
    from rouge_score.rouge_scorer import RougeScorer

    expected = RougeScorer(["rougeL"]).score(right, said)["rougeL"].fmeasure
    assert score(said, right) == pytest.approx(expected) or said == right == ""


@examples(200)
@given(st.text(), st.text())
def test_it_is_1_for_the_same_text_lies_between_0_and_1_and_is_0_where_no_token_is_shared(said, right):
    assert score(said, said) == 1.0
    assert 0.0 <= score(said, right) <= 1.0 and score(said, right) == score(right, said)
    if not set(tokens(said)) & set(tokens(right)) and clean(said) != clean(right):
        assert score(said, right) == 0.0
