"""Answers in the form of OpenAI's API, whole and as stream events, with token ids as vLLM returns them."""

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from tasks.formats import tools
from tasks.serve.transformers.completion_request import CompletionRequest
from tasks.serve.transformers.writing import Answer


class Reply:
    """The answer to one request, with an id and a time of its own."""

    def __init__(self, request: CompletionRequest, prompts: Sequence[list[int]]) -> None:
        self.request, self.prompts, self.is_chat = request, prompts, request.messages is not None
        kind = "chatcmpl" if self.is_chat else "cmpl"
        self.frame = {"id": f"{kind}-{uuid.uuid4().hex}", "created": int(time.time()), "model": request.model}

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The body of an answer without a stream."""
        return {
            **self.frame,
            "object": "chat.completion" if self.is_chat else "text_completion",
            "choices": [self._choice(place, answer) for place, answer in enumerate(answers)],
            "usage": self.usage(answers),
            **({"prompt_token_ids": self.prompts[0]} if self.is_chat and self.request.return_token_ids else {}),
        }

    def _choice(self, place: int, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "tool_calls": [], **self._message(answer)}
        return {
            "index": place,
            **({"message": message} if self.is_chat else {"text": answer.text}),
            "logprobs": None,
            "finish_reason": self._reason(answer),
            **_probabilities(answer),
            **self._tokens(place, answer.token_ids),
        }

    def _message(self, answer: Answer) -> dict[str, Any]:
        """The `content` of an answer, and its `tool_calls` if it calls tools; a malformed call stays text."""
        if not self.request.may_call or not tools.HERMES.search(answer.text):
            return {"content": answer.text}
        try:
            calls = tools.read(answer.text) or []
        except tools.MalformedCallError:
            return {"content": answer.text}
        before = answer.text[: answer.text.index("<tool_call>")].strip()
        return {"content": before or None, "tool_calls": [_call(call) for call in calls]}

    def _reason(self, answer: Answer) -> str:
        return "tool_calls" if "tool_calls" in self._message(answer) else answer.finish_reason

    def held_back(self, place: int, answer: Answer) -> list[dict[str, Any]]:
        """The events of a choice that may call tools, sent when it is complete: only then is it known to be a call."""
        if not self.request.may_call:
            return []
        message = self._message(answer)
        numbered = [{"index": number, **call} for number, call in enumerate(message.get("tool_calls", ()))]
        delta = {**message, **({"tool_calls": numbered} if numbered else {})}
        return [self.opening(place), self._event(place, {"delta": delta})]

    def _tokens(self, place: int, tokens: Sequence[int], is_first: bool = True) -> dict[str, Any]:
        if not self.request.return_token_ids:
            return {}
        prompt = {} if self.is_chat or not is_first else {"prompt_token_ids": self._prompt(place)}
        return {"token_ids": list(tokens), **prompt}

    def _prompt(self, place: int) -> list[int]:
        return self.prompts[place // self.request.choices]

    def usage(self, answers: Sequence[Answer]) -> dict[str, int]:
        """Tokens read and written, over all prompts and choices."""
        read, written = sum(map(len, self.prompts)), sum(len(answer.token_ids) for answer in answers)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def opening(self, place: int) -> dict[str, Any]:
        """The first event of a choice of a chat, with its role."""
        first = {"prompt_token_ids": self.prompts[0]} if self.request.return_token_ids and place == 0 else {}
        return {**self._event(place, {"delta": {"role": "assistant", "content": ""}}), **first}

    def piece(self, place: int, text: str, tokens: Sequence[int], is_first: bool) -> dict[str, Any]:
        """An event with more of a choice's text."""
        content = {"delta": {"content": text}} if self.is_chat else {"text": text}
        return self._event(place, {**content, **self._tokens(place, tokens, is_first)})

    def ending(self, place: int, answer: Answer, sent: int) -> dict[str, Any]:
        """The last event of a choice: why it ended, and the tokens after the first `sent` ones."""
        content: dict[str, Any] = {"delta": {}} if self.is_chat else {"text": ""}
        tokens = self._tokens(place, answer.token_ids[sent:], is_first=False)
        return self._event(
            place, {**content, **_probabilities(answer), **tokens, "finish_reason": self._reason(answer)}
        )

    def closing(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The event with the usage and no choices."""
        return {**self._event(0, {}), "choices": [], "usage": self.usage(answers)}

    def _event(self, place: int, content: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": place, "logprobs": None, "finish_reason": None, **content}
        name = "chat.completion.chunk" if self.is_chat else "text_completion"
        return {**self.frame, "object": name, "choices": [choice]}


def _probabilities(answer: Answer) -> dict[str, Any]:
    return {} if answer.probabilities is None else {"probabilities": answer.probabilities}


def _call(call: tools.Call) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}
    return {"id": f"call_{uuid.uuid4().hex}", "type": "function", "function": function}
