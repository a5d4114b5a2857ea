"""Constrains generation to a JSON schema (tasks/formats/answer_schema.py), with the grammar engine of vLLM's structured
outputs.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from tasks.errors import AnnealError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase as Tokenizer
    from xgrammar import GrammarMatcher

SPARE = 6  # tokens: for the end, and for a name or class that is written in more tokens than needed
LONG = 10**9  # characters


class Column(TypedDict, total=False):
    """The schema of one text."""

    enum: list[str]  # of a label: its classes
    type: str  # of any other
    minLength: int  # characters
    maxLength: int


class Schema(TypedDict):
    """The JSON schema of an answer."""

    type: str
    properties: dict[str, Column]
    required: list[str]
    additionalProperties: bool


class Structure:
    """`Limits` (tasks/inference/writing.py) by a JSON schema; an answer also ends within its tokens.

    A text is closed at its longest length, and when only as many tokens are left as the rest needs. The engine gets no
    lengths: with them, it would allow control characters and no escapes. Forced text is written in the tokenizer's own
    tokens.
    """

    def __init__(
        self, schema: Schema, tokenizer: "Tokenizer", width: int, ends: Sequence[int], max_new_tokens: int
    ) -> None:
        """`width`: of the logits. Raises AnnealError if the engine is missing or does not support the tokenizer or the
        schema.
        """
        try:
            import xgrammar

            info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=width, stop_token_ids=list(ends))
            compiler = xgrammar.GrammarCompiler(info, max_threads=2)
            self.grammar = compiler.compile_json_schema(without_length(schema), any_whitespace=False)
        except (ImportError, RuntimeError, ValueError, TypeError) as error:
            words = " ".join(str(error).split())[:200]
            raise AnnealError(f"xgrammar, which constrains answers to their form, cannot be used: {words}") from None
        self.schema, self.engine, self.width = schema, xgrammar, width
        self.tokenizer, self.most = tokenizer, max_new_tokens
        words = xgrammar.allocate_token_bitmask(1, width).shape[1]
        self.closing = _bits([token.startswith(b'"') for token in info.decoded_vocab], words)
        self.texts = _texts(schema["properties"], tokenizer)
        self.rows: dict[int, tuple[GrammarMatcher, list[int]]] = {}  # the matcher and the tokens of each

    def mask(self, logits: "Tensor", places: Sequence[int | None]) -> None:
        """Set the logits (rows, vocabulary) of forbidden next tokens to -inf."""
        bits = self.engine.allocate_token_bitmask(len(places), self.width)
        for row, place in enumerate(places):
            if place is not None:
                self._allow(bits[row : row + 1], *self._row(place))
        limited = [row for row, place in enumerate(places) if place is not None]
        self.engine.apply_token_bitmask_inplace(logits, bits.to(logits.device), vocab_size=self.width, indices=limited)

    def accept(self, place: int, token: int) -> None:
        """Note the next token of a row; AnnealError if it was not allowed, since then the mask was wrong."""
        matcher, written = self._row(place)
        if not matcher.accept_token(token):
            raise AnnealError(
                f"xgrammar allowed token {token} and then refused it; please report this to its developers."
            )
        written.append(token)

    def _row(self, place: int) -> "tuple[GrammarMatcher, list[int]]":
        if place not in self.rows:
            self.rows[place] = self.engine.GrammarMatcher(self.grammar), []
        return self.rows[place]

    def _allow(self, allowed: "Tensor", matcher: "GrammarMatcher", written: Sequence[int]) -> None:
        """Fill in `allowed`, (1, words): the tokens that may follow those of a row."""
        matcher.fill_next_token_bitmask(allowed, 0)
        if forced := matcher.find_jump_forward_string():
            token = self.tokenizer(forced, add_special_tokens=False)["input_ids"][0]
            word, bit = divmod(token, 32)
            if int(allowed[0, word]) >> bit & 1:
                allowed.zero_()
                allowed[0, word] = 1 << bit if bit < 31 else -(2**31)
            return
        length, must_close = self._text(written)
        if must_close and (closing := allowed & self.closing).any():
            allowed.copy_(closing)
        elif length == 0:
            allowed &= ~self.closing

    def _text(self, written: Sequence[int]) -> tuple[int, bool]:
        """(characters of the unfinished text, or -1 outside a text; whether it must be closed)."""
        answer = self.tokenizer.decode(written)
        for key, (longest, rest) in reversed(self.texts.items()):
            if (start := answer.find(key)) >= 0:
                length = len(answer) - start - len(key)
                return length, self.most - len(written) <= rest or length >= longest
        return -1, False


def without_length(schema: Schema) -> str:
    """The schema for the engine, as JSON."""
    columns = {
        name: {key: value for key, value in column.items() if key not in ("minLength", "maxLength")}
        for name, column in schema["properties"].items()
    }
    return json.dumps({**schema, "properties": columns}, ensure_ascii=False)


def _texts(properties: Mapping[str, Column], tokenizer: "Tokenizer") -> dict[str, tuple[int, int]]:
    """{`"column": "`, the beginning of each column: (its most characters, the tokens needed to close it and write the
    rest)}.
    """
    shortest = {name: max(column.get("enum", ["a"]), key=len) for name, column in properties.items()}
    names, texts = list(shortest), {}
    for place, (name, column) in enumerate(properties.items()):
        behind = json.dumps({later: shortest[later] for later in names[place + 1 :]}, ensure_ascii=False)
        rest = len(tokenizer(f'"{behind}', add_special_tokens=False)["input_ids"]) + SPARE
        texts[f'{json.dumps(name, ensure_ascii=False)}: "'] = column.get("maxLength", LONG), rest
    return texts


def _bits(flags: Sequence[bool], words: int) -> "Tensor":
    """(words,): `flags` as xgrammar packs them, 32 to a number, the first in the lowest bit."""
    import torch

    padded = torch.zeros(words * 32, dtype=torch.int64)
    padded[: len(flags)] = torch.tensor(flags)
    values = (padded.view(words, 32) << torch.arange(32)).sum(1)
    return torch.where(values >= 2**31, values - 2**32, values).to(torch.int32)
