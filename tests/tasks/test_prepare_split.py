"""A text's split depends on the text and the seed alone, in about the shares that were asked for."""

import pytest

from tasks.stages.prepare.split import split


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.0, 0.5), (0.08, 0.18)])
def test_shares_are_about_right_over_many_texts(validation, test):
    found = [split(f"text {number}", 42, validation, test) for number in range(10_000)]
    for name, share in (("validation", validation), ("test", test), ("train", 1 - validation - test)):
        assert found.count(name) / len(found) == pytest.approx(share, abs=0.015)  # three standard deviations at most


def test_the_split_of_a_text_is_the_same_in_every_version():
    found = [split(f"text {number}", 42, 0.1, 0.2) for number in range(12)]
    assert " ".join(found) == "validation train test train train train train train train train train train"


def test_another_seed_is_another_split():
    texts = [f"text {number}" for number in range(200)]
    assert [split(text, 1, 0.1, 0.2) for text in texts] != [split(text, 2, 0.1, 0.2) for text in texts]


def test_a_larger_test_share_only_adds_to_the_test_rows():
    for number in range(500):
        if split(f"text {number}", 42, 0.1, 0.2) == "test":
            assert split(f"text {number}", 42, 0.1, 0.3) == "test"
