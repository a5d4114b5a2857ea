"""The one normal form of a text: in data, requests, corrections, and wherever two texts are compared."""

import re
import unicodedata

import regex

LINE_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
# Where a line may or may not break, and the mark at the beginning of a file: no part of what a person wrote. Joiners
# and marks of direction carry meaning in emoji, Persian, Hindi, Hebrew … and stay.
BREAK_HINTS = re.compile("[\u00ad\u200b\u2060\ufeff]")
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # Cc and Cs, but for the line break
INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cs}]")  # Unicode, UAX #44
VISIBLE = regex.compile(r"[^\p{M}\p{Z}\p{Cc}\p{Cf}\p{Cs}\N{BRAILLE PATTERN BLANK}]")
HALF, HALVES = re.compile("[\ud800-\udfff]"), re.compile("[\ud800-\udbff][\udc00-\udfff]")  # surrogates, and pairs


def clean(text: str) -> str:
    """`text` in Unicode NFC, without control characters (but for line breaks), break hints, trailing blanks and
    outer white space.
    """
    text = BREAK_HINTS.sub("", LINE_BREAKS.sub("\n", text).replace("\t", " "))
    text = CONTROLS.sub("", text)
    text = unicodedata.normalize("NFC", text)  # last: characters that were apart may now combine
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def clean_part(text: str) -> str:
    """A part of a text: `clean`, but with the white space that it begins and ends with, and its tabs."""
    text = BREAK_HINTS.sub("", LINE_BREAKS.sub("\n", text))
    return unicodedata.normalize("NFC", CONTROLS.sub(lambda match: match[0] if match[0] == "\t" else "", text))


def folded(text: str) -> str:
    """The form in which texts that look alike are equal: NFKC, no case, nothing invisible, single blanks."""
    for _ in range(2):  # casefold's output may fold further, and removed characters may have separated two that combine
        text = INVISIBLE.sub("", unicodedata.normalize("NFKC", " ".join(text.split()))).casefold()
    return " ".join(unicodedata.normalize("NFKC", text).split())


def is_blank(text: str) -> bool:
    """Whether `text` shows nothing: only white space, control or invisible characters, or marks without a letter."""
    return VISIBLE.search(folded(text)) is None


def encodable(text: str) -> str:
    """`text` as UTF-8 can encode it: surrogate pairs are joined, and a lone surrogate becomes U+FFFD."""
    return HALF.sub("\ufffd", joined(text))


def joined(text: str) -> str:
    """`text` with adjacent surrogate halves joined into the character that they form."""
    return HALVES.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)


def has_half_character(text: str) -> bool:
    r"""Whether `text` holds a lone surrogate (U+D800 to U+DFFF): JSON can write one as `\ud83d`, UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
