"""The one clean form of a text: in data, in requests, in corrections and where two texts are compared."""

import re
import unicodedata

HALF, HALVES = re.compile("[\ud800-\udfff]"), re.compile("[\ud800-\udbff][\udc00-\udfff]")  # surrogates, and pairs of them


def clean(text: str) -> str:
    """`text` in Unicode NFC, without control characters (but for line breaks), trailing blanks and outer white space."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    text = "".join(character for character in text if character == "\n" or unicodedata.category(character) not in ("Cc", "Cs"))
    text = text.replace("\ufeff", "")  # a byte-order mark is how a file begins, not what a person wrote
    text = unicodedata.normalize("NFC", text)  # last: what stood apart may now be one character
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def encodable(text: str) -> str:
    """`text` as UTF-8 can write it: a half of a character (a lone surrogate) becomes U+FFFD, two that belong together become one."""
    return HALF.sub("\ufffd", joined(text))


def joined(text: str) -> str:
    """`text` with each two halves of a character that stand side by side as the character that they are."""
    return HALVES.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)


def has_half_character(text: str) -> bool:
    r"""Whether `text` holds a lone surrogate (U+D800 to U+DFFF): JSON can write one as `\ud83d`, UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
