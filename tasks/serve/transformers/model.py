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
from tasks.serve.transformers.completion_request import CompletionRequest, dialogue, prompts
from tasks.serve.transformers.reading import ReadingModel
from tasks.serve.transformers.writing import Answer, Writer

NO_TOKEN = 2**31 - 1  # in no vocabulary: the Writer ends a turn, and may be told to ignore its end
Emit = Callable[[str, tuple[int, ...]], None]


@dataclass(frozen=True)
class WritingModel:
    """A version that writes; `max_model_len`: tokens of prompt and answer."""

    model: Any
    tokenizer: Any
    max_model_len: int

    @cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end a turn, as in evaluation."""
        from tasks.inference.decoding import stop_ids

        return frozenset(stop_ids(self.tokenizer, self.model))

    def prompts(self, request: CompletionRequest) -> list[list[int]]:
        """Token ids of each prompt; Refusal 400 when the template does not take the messages."""
        if request.messages is None:
            texts = prompts(request.prompt or [])
            return [self.tokenizer(text)["input_ids"] if isinstance(text, str) else text for text in texts]
        try:
            tools = {"tools": template_tools(cast("list[Tool]", request.tools))} if request.tools else {}
        except (KeyError, TypeError, AttributeError):
            raise bad("`tools` must be a list of functions, each with a name.", "tools") from None
        messages = dialogue(request.messages)
        if seq2seq.is_encoder_decoder(self.model) and [message["role"] for message in messages] != ["user"]:
            raise bad("This model reads one text: send one message, by the user.", "messages")
        try:
            extra = request.chat_template_kwargs or {}
            return [chat_template.render(self.tokenizer, messages, add_generation_prompt=True, **tools, **extra)]
        except (AnnealError, TypeError, ValueError):
            raise bad("The model's chat template does not take these messages.", "messages") from None

    def room(self, request: CompletionRequest, prompt: list[int], default: int | None) -> int:
        """Tokens that the answer may have: the limit asked for, or what the prompt leaves, as in vLLM; Refusal 400 when
        it leaves nothing.
        """
        answer_prefix = request.decoder_prompt or []
        if answer_prefix and not seq2seq.is_encoder_decoder(self.model):
            raise bad("`decoder_prompt` is for models with an encoder: put it behind `prompt`.", "decoder_prompt")
        left = self.max_model_len - len(prompt) - len(answer_prefix)
        vocabulary = self.model.config.get_text_config().vocab_size
        if any(token >= vocabulary for token in (*prompt, *answer_prefix)):
            raise bad("`prompt` has a token that the model does not know.", "prompt")
        if not prompt:
            raise bad("The prompt has no token.", "prompt")
        if left < 1:
            raise bad(
                f"This model's maximum context length is {self.max_model_len} tokens, and the prompt has "
                f"{len(prompt) + len(answer_prefix)}.",
                code="context_length_exceeded",
            )
        return min(request.limit or default or left, left)

    @cached_property
    def grammars(self) -> Any:
        """The compiler of JSON schemas for this vocabulary."""
        import xgrammar

        size = self.model.config.get_text_config().vocab_size
        vocabulary = xgrammar.TokenizerInfo.from_huggingface(
            self.tokenizer, vocab_size=size, stop_token_ids=sorted(self.ends)
        )
        return xgrammar.GrammarCompiler(vocabulary)

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
        self,
        request: CompletionRequest,
        prompt: list[int],
        room: int,
        grammar: Any,
        emit: Emit,
        is_gone: Callable[[], bool],
    ) -> Answer:
        """One answer to `prompt`, of `room` tokens at most; `is_gone()` is true once nobody waits for it."""
        import torch
        from transformers import StoppingCriteriaList

        writer = Writer(self.tokenizer, () if request.ignore_eos else self.ends, request.stops, emit)
        inputs = torch.tensor([prompt], device=self.model.device)
        with torch.inference_mode():
            self.model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                **seq2seq.decoder_start(self.model, request.decoder_prompt or []),
                max_new_tokens=room,
                eos_token_id=[NO_TOKEN],
                pad_token_id=self.tokenizer.pad_token_id,
                stopping_criteria=StoppingCriteriaList([_StopCriterion(writer, is_gone)]),
                logits_processor=_processors(grammar),
                **_sampling(request),
            )
        return writer.close()


class _StopCriterion:
    """Passes each token to the Writer and tells `generate` whether it is the last; a streamer would get it later."""

    def __init__(self, writer: Writer, is_gone: Callable[[], bool]) -> None:
        self.writer, self.is_gone = writer, is_gone

    def __call__(self, ids: Any, scores: Any, **more: object) -> Any:
        import torch

        if not self.writer.has_ended:  # a GPU computes one token more, which is dropped
            self.writer.take(int(ids[0, -1]))
        return torch.full((ids.shape[0],), self.writer.has_ended or self.is_gone(), dtype=torch.bool, device=ids.device)


def _processors(grammar: Any) -> Any:
    from transformers import LogitsProcessorList

    if grammar is None:
        return LogitsProcessorList()
    from xgrammar.contrib.hf import LogitsProcessor

    return LogitsProcessorList([LogitsProcessor(grammar)])


def _sampling(request: CompletionRequest) -> dict[str, Any]:
    """Arguments of `generate`; without a temperature it is 1, as in vLLM, and 0 is greedy."""
    temperature = 1.0 if request.temperature is None else request.temperature
    penalty = {"repetition_penalty": request.repetition_penalty} if request.repetition_penalty is not None else {}
    if temperature < 1e-5:
        return {"do_sample": False, **penalty}
    return {
        "do_sample": True,
        "temperature": temperature,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "top_k": max(request.top_k or 0, 0),
        **({"min_p": request.min_p} if request.min_p else {}),
        **penalty,
    }


def load(weights: Path, trained: Path, max_model_len: int) -> WritingModel | ReadingModel:
    """The version in `trained`, on its parent's `weights`; AnnealError when they cannot be read."""
    from tasks.dialogues.chat import load_tokenizer
    from tasks.weights import tuned

    try:
        if objective := tuned.predictor(trained):
            return ReadingModel(
                objective, tuned.load(weights, trained), objective.load_tokenizer(weights), max_model_len
            )
        return WritingModel(tuned.load(weights, trained), load_tokenizer(trained), max_model_len)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise AnnealError(f"{trained} cannot be loaded on {weights}: {str(error)[:200]}") from None
