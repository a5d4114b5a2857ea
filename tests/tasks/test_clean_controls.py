"""The controls that a clean text does not hold are those that Unicode calls so, and halves of characters."""

import sys
import unicodedata

from tasks.texts.clean import CONTROLS


def test_controls_are_the_categories_cc_and_cs_but_for_the_line_break() -> None:
    characters = map(chr, range(sys.maxunicode + 1))
    expected = {char for char in characters if unicodedata.category(char) in ("Cc", "Cs")} - {"\n"}
    assert set(CONTROLS.findall("".join(map(chr, range(sys.maxunicode + 1))))) == expected
