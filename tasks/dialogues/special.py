"""Special tokens in a text are text: they are broken up before the model reads them and restored in what it writes.

A tokenizer takes `<|im_end|>` for the end of a turn wherever it stands, also in a customer's message. So one invisible
character, U+2060 WORD JOINER, goes behind the first character of each special text in a content: training, evaluation
and the gateway do it with the same list (tokenizer.json and the chat template), so all of them read the same tokens,
and vLLM, which renders and tokenises by itself, needs no change. Splitting them in the tokenizer would not reach vLLM.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

Json = TypeVar("Json")
JOINER = "\u2060"
# How a template marks turns where its marks are no special tokens: <|user|>, the same with U+FF5C, [INST], <<SYS>>,
# <start_of_turn>, ### Instruction:. And what ends the result of a tool, which is written by others.
MARK = re.compile(
    r"<[|\uff5c][^|\uff5c<>\s]{1,40}[|\uff5c]>|\[/?[A-Z_]{3,24}\]|<</?SYS>>|<(?:start|end)_of_turn>"
    r"|### [A-Z][a-z]{3,16}:|</?tool_response>"
)


class Marks(NamedTuple):
    """How a tokenizer marks a hole in a text: the tokens before what precedes it, follows it, and fills it."""

    prefix: str
    suffix: str
    middle: str


FAMILIES = (  # of bases that fill in the middle
    Marks("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder
    Marks("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, CodeGemma
    Marks("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    Marks("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),  # DeepSeek
    Marks("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),  # GLM
)


def marks_among(tokens: Iterable[str]) -> Marks | None:
    """The marks of the first family whose three are all among the added `tokens` of a tokenizer."""
    known = set(tokens)
    return next((marks for marks in FAMILIES if known.issuperset(marks)), None)


class AddedToken(Protocol):
    """A token that a tokenizer finds in a text before anything else."""

    content: str
    special: bool


class Tokenizer(Protocol):
    """The attributes of a transformers tokenizer that are needed here."""

    chat_template: object
    all_special_tokens: list[str]
    added_tokens_decoder: dict[int, AddedToken]


@dataclass(frozen=True)
class SpecialTexts:
    """The texts that one tokenizer and its chat template take for special tokens or marks of turns."""

    texts: frozenset[str]

    @cached_property
    def _start(self) -> re.Pattern[str]:
        """Matches where one of the texts begins; they may overlap. First characters are tested first, since most
        positions match none.
        """
        firsts = "".join(map(re.escape, sorted(self._firsts)))
        return re.compile(f"(?=[{firsts}])(?={'|'.join(map(re.escape, sorted(self.texts)))})")

    @cached_property
    def _firsts(self) -> frozenset[str]:
        return frozenset(text[0] for text in self.texts)

    def _places(self, text: str) -> list[int]:
        """The position after the first character of each special text in `text`; joiners are ignored, so that a text
        and its neutral form have the same positions.
        """
        if not any(first in text for first in self._firsts):
            return []
        kept = [place for place, character in enumerate(text) if character != JOINER]
        bare = text.replace(JOINER, "")
        return [kept[match.start()] + 1 for match in self._start.finditer(bare)]

    def neutral(self, text: str) -> str:
        """`text` with one more joiner in each special text; `original` removes it again. Apply it once."""
        return JOINER.join(_cut(text, self._places(text)))

    def original(self, text: str) -> str:
        """`text` as it was before `neutral`."""
        first, *rest = _cut(text, self._places(text))
        return "".join([first, *(piece.removeprefix(JOINER) for piece in rest)])

    def neutral_in(self, value: Json) -> Json:
        """`neutral` of each text in a JSON value: messages, parts of messages, tools."""
        if isinstance(value, str):
            return cast(Json, self.neutral(value))
        if isinstance(value, list):
            return cast(Json, [self.neutral_in(entry) for entry in value])
        if isinstance(value, dict):
            return cast(Json, {self.neutral_in(key): self.neutral_in(entry) for key, entry in value.items()})
        return value


# For versions without tokenizer files: what begins and ends turns in the usual families.
USUAL = SpecialTexts(
    frozenset(
        {
            "<s>",
            "</s>",
            "<unk>",
            "<pad>",
            "<bos>",
            "<eos>",
            "<start_of_turn>",
            "<end_of_turn>",
            "[INST]",
            "[/INST]",
            "<<SYS>>",
            "<</SYS>>",
        }
        | {
            "<|im_start|>",
            "<|im_end|>",
            "<|endoftext|>",
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
        }
        | {"<|eot_id|>", "<|eom_id|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}
    )
)


def _cut(text: str, places: list[int]) -> list[str]:
    """`text` in pieces, cut at each of the ascending `places`."""
    edges = [0, *places, len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def of_tokenizer(tokenizer: Tokenizer) -> SpecialTexts:
    """The special texts of a loaded tokenizer."""
    added = [(token.content, token.special) for token in tokenizer.added_tokens_decoder.values()]
    return _special_texts(
        [*added, *((text, True) for text in tokenizer.all_special_tokens)], str(tokenizer.chat_template)
    )


def of_folder(folder: Path) -> SpecialTexts:
    """The same from the tokenizer's files in `folder`; USUAL for a folder without them."""
    if not (folder / "tokenizer.json").exists():
        return USUAL
    template = folder / "chat_template.jinja"
    added = [
        (token["content"], bool(token.get("special")))
        for token in _added_tokens((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ]
    return _special_texts(added, template.read_text(encoding="utf-8") if template.exists() else "")


def _added_tokens(text: str) -> list[dict[str, Any]]:
    """`added_tokens` of a tokenizer.json. It stands at the top, before megabytes of vocabulary that the gateway need
    not read.
    """
    if start := re.search(r'"added_tokens"\s*:\s*(?=\[)', text):
        added: list[dict[str, Any]] = json.JSONDecoder().raw_decode(text, start.end())[0]
        return added
    return []


def _special_texts(added: Iterable[tuple[str, bool]], template: str) -> SpecialTexts:
    """Special tokens, marks of turns and of holes. Tokens for tools or thoughts that are not special are left out,
    since answers contain them.
    """
    every = dict(added)
    tokens = {text for text, special in every.items() if special or MARK.fullmatch(text)} | {
        *(marks_among(every) or ())
    }
    return SpecialTexts(frozenset(text for text in {*tokens, *MARK.findall(template)} if len(text) > 1))
