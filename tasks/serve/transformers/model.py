"""A trained version in memory: its parent with the learnt weights, its tokenizer, and generation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from tasks.dialogues import chat_template
from tasks.errors import AnnealError
from tasks.formats.tools import Tool, template_tools
from tasks.models import seq2seq
from tasks.serve.gateway.errors import bad
from tasks.serve.transformers.asked import Asked, dialogue, prompts
from tasks.serve.transformers.reading import Reads
from tasks.serve.transformers.writing import Answer, Writer

NO_TOKEN = 2**31 - 1  # no vocabulary has it: an end of turn is seen by the Writer, which may be told to go on
Emit = Callable[[str, tuple[int, ...]], None]


@dataclass(frozen=True)
class Served:
    """A version that can be asked; `max_model_len`: tokens of prompt and answer."""

    model: Any
    tokenizer: Any
    max_model_len: int

    @cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end a turn, as in evaluation."""
        from tasks.inference.decoding import stop_ids

        return frozenset(stop_ids(self.tokenizer, self.model))

    def prompts(self, asked: Asked) -> list[list[int]]:
        """Token ids of each prompt; Refusal 400 when the template does not take the messages."""
        if asked.messages is None:
            given = prompts(asked.prompt or [])
            return [self.tokenizer(text)["input_ids"] if isinstance(text, str) else text for text in given]
        try:
            more = {"tools": template_tools(cast("list[Tool]", asked.tools))} if asked.tools else {}
        except (KeyError, TypeError, AttributeError):
            raise bad("`tools` must be a list of functions, each with a name.", "tools") from None
        messages = dialogue(asked.messages)
        if seq2seq.is_encoder_decoder(self.model) and [message["role"] for message in messages] != ["user"]:
            raise bad("This model reads one text: send one message, by the user.", "messages")
        try:
            extra = asked.chat_template_kwargs or {}
            return [chat_template.render(self.tokenizer, messages, add_generation_prompt=True, **more, **extra)]
        except (AnnealError, TypeError, ValueError):
            raise bad("The model's chat template does not take these messages.", "messages") from None

    def room(self, asked: Asked, prompt: list[int], default: int | None) -> int:
        """Tokens that the answer may have: what is asked for, or what is left after the prompt, as in vLLM; Refusal
        400 when nothing is.
        """
        begun = asked.decoder_prompt or []
        if begun and not seq2seq.is_encoder_decoder(self.model):
            raise bad("`decoder_prompt` is for models with an encoder: put it behind `prompt`.", "decoder_prompt")
        left = self.max_model_len - len(prompt) - len(begun)
        vocabulary = self.model.config.get_text_config().vocab_size
        if any(token >= vocabulary for token in (*prompt, *begun)):
            raise bad("`prompt` has a token that the model does not know.", "prompt")
        if not prompt:
            raise bad("The prompt has no token.", "prompt")
        if left < 1:
            raise bad(
                f"This model's maximum context length is {self.max_model_len} tokens, and the prompt has "
                f"{len(prompt) + len(begun)}.",
                code="context_length_exceeded",
            )
        return min(asked.limit or default or left, left)

    @cached_property
    def grammars(self) -> Any:
        """The compiler of JSON schemas for this vocabulary."""
        import xgrammar

        size = self.model.config.get_text_config().vocab_size
        known = xgrammar.TokenizerInfo.from_huggingface(
            self.tokenizer, vocab_size=size, stop_token_ids=sorted(self.ends)
        )
        return xgrammar.GrammarCompiler(known)

    def grammar(self, schema: str | Literal[True] | None, param: str = "response_format") -> Any:
        """`schema` compiled, None without one; Refusal 400 when it is not a schema that can be followed."""
        if schema is None:
            return None
        if self.tokenizer.unk_token_id in self.tokenizer('{"": []}', add_special_tokens=False)["input_ids"]:
            raise bad("This model has no tokens for JSON, and answers with a text.", param)
        try:
            if schema is True:
                return self.grammars.compile_builtin_json_grammar()
            return self.grammars.compile_json_schema(schema)
        except (RuntimeError, ValueError):
            raise bad(f"`{param}` has a JSON schema that cannot be followed.", param, "invalid_schema") from None

    def answer(
        self, asked: Asked, prompt: list[int], room: int, grammar: Any, emit: Emit, is_gone: Callable[[], bool]
    ) -> Answer:
        """One answer to `prompt`, of `room` tokens at most; `is_gone()` says that nobody waits for it any more."""
        import torch
        from transformers import StoppingCriteriaList

        writer = Writer(self.tokenizer, () if asked.ignore_eos else self.ends, asked.stops, emit)
        inputs = torch.tensor([prompt], device=self.model.device)
        with torch.inference_mode():
            self.model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                **seq2seq.decoder_start(self.model, asked.decoder_prompt or []),
                max_new_tokens=room,
                eos_token_id=[NO_TOKEN],
                pad_token_id=self.tokenizer.pad_token_id,
                stopping_criteria=StoppingCriteriaList([_Reader(writer, is_gone)]),
                logits_processor=_processors(grammar),
                **_sampling(asked),
            )
        return writer.close()


class _Reader:
    """Asked by `generate` after each token whether it is the last. A streamer would hear of it later than that."""

    def __init__(self, writer: Writer, is_gone: Callable[[], bool]) -> None:
        self.writer, self.is_gone = writer, is_gone

    def __call__(self, ids: Any, scores: Any, **more: object) -> Any:
        import torch

        if not self.writer.has_ended:  # a GPU computes a token more, which is nobody's
            self.writer.take(int(ids[0, -1]))
        return torch.full((ids.shape[0],), self.writer.has_ended or self.is_gone(), dtype=torch.bool, device=ids.device)


def _processors(grammar: Any) -> Any:
    from transformers import LogitsProcessorList

    if grammar is None:
        return LogitsProcessorList()
    from xgrammar.contrib.hf import LogitsProcessor

    return LogitsProcessorList([LogitsProcessor(grammar)])


def _sampling(asked: Asked) -> dict[str, Any]:
    """Arguments of `generate`; without a temperature it is 1, as in vLLM, and 0 is greedy."""
    temperature = 1.0 if asked.temperature is None else asked.temperature
    penalty = {"repetition_penalty": asked.repetition_penalty} if asked.repetition_penalty is not None else {}
    if temperature < 1e-5:
        return {"do_sample": False, **penalty}
    return {
        "do_sample": True,
        "temperature": temperature,
        "top_p": 1.0 if asked.top_p is None else asked.top_p,
        "top_k": max(asked.top_k or 0, 0),
        **({"min_p": asked.min_p} if asked.min_p else {}),
        **penalty,
    }


def load(weights: Path, trained: Path, max_model_len: int) -> Served | Reads:
    """The version in `trained`, on its parent's `weights`; AnnealError when they cannot be read."""
    from tasks.dialogues.chat import load_tokenizer
    from tasks.weights import tuned

    try:
        if objective := tuned.predictor(trained):
            return Reads(objective, tuned.load(weights, trained), objective.load_tokenizer(weights), max_model_len)
        return Served(tuned.load(weights, trained), load_tokenizer(trained), max_model_len)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise AnnealError(f"{trained} cannot be loaded on {weights}: {str(error)[:200]}") from None
