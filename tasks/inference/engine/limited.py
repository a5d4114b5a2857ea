"""Limits that vLLM's grammar cannot express, as a vLLM logits processor: the length of texts, closing them before
the tokens run out, and the tokenizer's own tokens for forced text.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from tasks.inference.structured import Schema, Structure

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase as Tokenizer
    from vllm import SamplingParams
    from vllm.config import VllmConfig

SCHEMA = "anneal_schema"  # in a request's extra_args, as JSON
Hold = Callable[[list[int], "Tensor"], "Tensor"]  # (tokens so far, logits of one row) → the same, masked


class Requests:
    """Constrains each request that has a schema, as tasks/inference/structured.py does."""

    def __init__(self, tokenizer: "Tokenizer", width: int) -> None:
        self.tokenizer, self.width, self.places = tokenizer, width, count()
        self.structure = lru_cache(1)(self._structure)

    def hold(self, params: "SamplingParams") -> Hold | None:
        """The function that masks the logits of one request; None without a schema."""
        schema = (params.extra_args or {}).get(SCHEMA)
        if schema is None:
            return None
        structure = self.structure(schema, tuple(params.stop_token_ids or ()), params.max_tokens or 0)
        place, noted = next(self.places), 0

        def masked(written: list[int], logits: "Tensor") -> "Tensor":
            nonlocal noted
            for token in written[noted:]:
                structure.accept(place, token)
            noted = len(written)
            structure.mask(logits[None], [place])
            return logits

        return masked

    def _structure(self, schema: str, ends: tuple[int, ...], max_tokens: int) -> Structure:
        value: Schema = json.loads(schema)
        return Structure(value, self.tokenizer, self.width, ends, max_tokens)


def processor() -> type:
    """The class for vLLM; defined here because importing its base class opens a socket."""
    from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

    from tasks.dialogues.chat import load_tokenizer

    class Limited(AdapterLogitsProcessor):  # type: ignore[misc]
        def __init__(self, vllm_config: "VllmConfig", device: "torch.device", is_pin_memory: bool) -> None:
            super().__init__(vllm_config, device, is_pin_memory)
            config = vllm_config.model_config
            self.requests = Requests(load_tokenizer(config.tokenizer), config.get_vocab_size())

        def is_argmax_invariant(self) -> bool:
            return False

        def new_req_logits_processor(self, params: "SamplingParams") -> Hold | None:
            return self.requests.hold(params)

    return Limited
