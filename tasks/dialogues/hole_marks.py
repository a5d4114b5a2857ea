"""The tokens by which families of models mark a hole in a text (fill-in-the-middle)."""

from collections.abc import Iterable
from typing import NamedTuple


class Marks(NamedTuple):
    """The tokens before what precedes the hole, before what follows it, and before what fills it."""

    prefix: str
    suffix: str
    middle: str


FAMILIES = (
    Marks("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder
    Marks("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, CodeGemma
    Marks("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    Marks("<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"),
    Marks("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),  # DeepSeek
    Marks("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    Marks("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),  # Code Llama
    Marks("[PREFIX]", "[SUFFIX]", "[MIDDLE]"),  # Codestral
)


def marks_among(tokens: Iterable[str]) -> Marks | None:
    """The marks of the first family whose three are all among the added `tokens` of a tokenizer."""
    known = set(tokens)
    return next((marks for marks in FAMILIES if known.issuperset(marks)), None)
