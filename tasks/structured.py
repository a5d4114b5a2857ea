"""Holds a model to the form of an answer while it writes: the JSON schema, and the grammar engine, of vLLM's structured
outputs.

A model that was never tuned mostly fails at the form. Held to it as a server would hold it, it shows what it knows.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.answer import JsonAnswer
from tasks.clean import clean
from tasks.errors import AnnealError
from tasks.labels import is_label

if TYPE_CHECKING:
    from torch import Tensor


def schema(form: JsonAnswer, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON schema of answers like those of the training `rows`: of a label one of its classes, of any other column
    a text that is not blank at once, and no longer than the longest one, so that an answer ends.
    """
    right = [answer for row in rows if (answer := form.read(row["answer"])) is not None]
    properties = {column: _column([answer[column] for answer in right]) for column in form.columns}
    return {
        "type": "object",
        "properties": properties,
        "required": list(form.columns),
        "additionalProperties": False,
    }


def _column(values: Sequence[str]) -> dict[str, Any]:
    if is_label([clean(value) for value in values]):
        return {"enum": sorted(set(values))}
    return {"type": "string", "minLength": 1, "maxLength": max(map(len, values), default=1)}


class Structure:
    """The `Limits` (tasks/writing.py) that a JSON schema is."""

    def __init__(self, schema: Mapping[str, Any], tokenizer: Any, width: int, ends: Sequence[int]) -> None:
        """`width`: of the logits. Raises AnnealError where the engine is missing or can do nothing with the tokenizer
        or the schema.
        """
        try:
            import xgrammar

            about = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=width, stop_token_ids=list(ends))
            compiler = xgrammar.GrammarCompiler(about, max_threads=2)
            written = json.dumps(schema, ensure_ascii=False)
            self.grammar = compiler.compile_json_schema(written, any_whitespace=False)
        except (ImportError, RuntimeError, ValueError, TypeError) as error:
            words = " ".join(str(error).split())[:200]
            raise AnnealError(f"xgrammar, which holds answers to their form, cannot be used: {words}") from None
        self.engine, self.width = xgrammar, width
        self.matchers: dict[int, Any] = {}
        self.allowed = xgrammar.allocate_token_bitmask(1, width)

    def mask(self, logits: "Tensor", places: Sequence[int | None]) -> None:
        """Make the logits, (rows, vocabulary), of what the schema does not allow next -inf."""
        if len(self.allowed) < len(places):
            self.allowed = self.engine.allocate_token_bitmask(len(places), self.width)
        for row, place in enumerate(places):
            if place is not None:
                self._matcher(place).fill_next_token_bitmask(self.allowed, row)
        limited = [row for row, place in enumerate(places) if place is not None]
        allowed = self.allowed[: len(places)].to(logits.device)
        self.engine.apply_token_bitmask_inplace(logits, allowed, vocab_size=self.width, indices=limited)

    def accept(self, place: int, token: int) -> None:
        """Note what came; AnnealError where it was not allowed, as then the mask was wrong."""
        if not self._matcher(place).accept_token(token):
            raise AnnealError(f"xgrammar allowed token {token} and then refused it; say so to its makers.")

    def _matcher(self, place: int) -> Any:
        if place not in self.matchers:
            self.matchers[place] = self.engine.GrammarMatcher(self.grammar)
        return self.matchers[place]
