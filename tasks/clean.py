"""The one clean form of a text: in data, in requests, in corrections and where two texts are compared."""

import unicodedata


def clean(text: str) -> str:
    """`text` in Unicode NFC, without control characters (but for line breaks), trailing blanks and outer white space."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    text = "".join(character for character in text if character == "\n" or unicodedata.category(character) not in ("Cc", "Cs"))
    text = unicodedata.normalize("NFC", text)  # last: what stood apart may now be one character
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()
