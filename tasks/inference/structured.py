"""Holds a model to a JSON schema (tasks/formats/answer_schema.py) while it writes, by the grammar engine of
vLLM's structured outputs.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from tasks.errors import AnnealError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase as Tokenizer
    from xgrammar import GrammarMatcher

SPARE = 6  # tokens: the end, and a column's name or class that is written in more tokens than it takes
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
    """The `Limits` (tasks/inference/writing.py) that such a JSON schema is, and that an answer ends within its tokens.

    A text is closed where it is as long as it may be, and where only as many tokens are left as the rest needs. The
    engine is not told how long: it would take control characters then, and no escapes. What follows of itself is
    written in the tokens that a tokenizer takes it to.
    """

    def __init__(
        self, schema: Schema, tokenizer: "Tokenizer", width: int, ends: Sequence[int], max_new_tokens: int
    ) -> None:
        """`width`: of the logits. Raises AnnealError where the engine is missing or can do nothing with the tokenizer
        or the schema.
        """
        try:
            import xgrammar

            about = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=width, stop_token_ids=list(ends))
            compiler = xgrammar.GrammarCompiler(about, max_threads=2)
            self.grammar = compiler.compile_json_schema(without_length(schema), any_whitespace=False)
        except (ImportError, RuntimeError, ValueError, TypeError) as error:
            words = " ".join(str(error).split())[:200]
            raise AnnealError(f"xgrammar, which constrains answers to their form, cannot be used: {words}") from None
        self.schema, self.engine, self.width = schema, xgrammar, width
        self.tokenizer, self.most = tokenizer, max_new_tokens
        words = xgrammar.allocate_token_bitmask(1, width).shape[1]
        self.closing = _bits([token.startswith(b'"') for token in about.decoded_vocab], words)
        self.texts = _texts(schema["properties"], tokenizer)
        self.rows: dict[int, tuple[GrammarMatcher, list[int]]] = {}  # the matcher and the tokens of each

    def mask(self, logits: "Tensor", places: Sequence[int | None]) -> None:
        """Make the logits, (rows, vocabulary), of what may not come next -inf."""
        bits = self.engine.allocate_token_bitmask(len(places), self.width)
        for row, place in enumerate(places):
            if place is not None:
                self._allow(bits[row : row + 1], *self._row(place))
        limited = [row for row, place in enumerate(places) if place is not None]
        self.engine.apply_token_bitmask_inplace(logits, bits.to(logits.device), vocab_size=self.width, indices=limited)

    def accept(self, place: int, token: int) -> None:
        """Note what came; AnnealError where it was not allowed, as then the mask was wrong."""
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
        """Fill in what may follow the tokens of a row: `allowed`, (1, words)."""
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
        """Characters of the text that is being written, if one is, and whether it may not go on."""
        whole = self.tokenizer.decode(written)
        for key, (longest, rest) in reversed(self.texts.items()):
            if (start := whole.find(key)) >= 0:
                length = len(whole) - start - len(key)
                return length, self.most - len(written) <= rest or length >= longest
        return -1, False


def without_length(schema: Schema) -> str:
    """The JSON schema, as JSON, that the engine is given."""
    columns = {
        name: {key: value for key, value in about.items() if key not in ("minLength", "maxLength")}
        for name, about in schema["properties"].items()
    }
    return json.dumps({**schema, "properties": columns}, ensure_ascii=False)


def _texts(properties: Mapping[str, Column], tokenizer: "Tokenizer") -> dict[str, tuple[int, int]]:
    """How each column begins, `"column": "`: its characters at most, and the tokens that it takes to close it and to
    write what comes behind.
    """
    shortest = {name: max(about.get("enum", ["a"]), key=len) for name, about in properties.items()}
    names, texts = list(shortest), {}
    for place, (name, about) in enumerate(properties.items()):
        behind = json.dumps({later: shortest[later] for later in names[place + 1 :]}, ensure_ascii=False)
        rest = len(tokenizer(f'"{behind}', add_special_tokens=False)["input_ids"]) + SPARE
        texts[f'{json.dumps(name, ensure_ascii=False)}: "'] = about.get("maxLength", LONG), rest
    return texts


def _bits(flags: Sequence[bool], words: int) -> "Tensor":
    """(words,): `flags` as xgrammar packs them, 32 to a number, the first in the lowest bit."""
    import torch

    padded = torch.zeros(words * 32, dtype=torch.int64)
    padded[: len(flags)] = torch.tensor(flags)
    values = (padded.view(words, 32) << torch.arange(32)).sum(1)
    return torch.where(values >= 2**31, values - 2**32, values).to(torch.int32)
