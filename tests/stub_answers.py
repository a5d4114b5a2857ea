"""What vLLM's API answers, whole or in pieces, around a text that is given."""

import json
import time
from collections.abc import Iterator

from tasks.formats import tools


def whole(body: dict, text: str, chat: bool) -> dict:
    """A whole answer; one word counts as one token."""
    choice = {"message": {"role": "assistant", "content": text, "tool_calls": []}} if chat else {"text": text}
    if chat and body.get("tools"):
        choice = {"message": {"role": "assistant", "content": None, "tool_calls": _calls(body, text)}}
    asked = (
        sum(len(str(message.get("content")).split()) for message in body["messages"])
        if chat
        else len(str(body["prompt"]).split())
    )
    given = len(text.split())
    usage = {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}
    finish = "tool_calls" if chat and body.get("tools") else "stop"
    choices = [{"index": i, **choice, "logprobs": None, "finish_reason": finish} for i in range(body.get("n") or 1)]
    name = "chat.completion" if chat else "text_completion"
    return {
        "id": f"stub-{time.time_ns()}",
        "object": name,
        "created": int(time.time()),
        "model": body["model"],
        "choices": choices,
        "usage": usage,
    }


def _calls(body: dict, text: str) -> list[dict]:
    """The calls that `text` holds as JSON; where it holds none, one of the first tool without arguments."""
    calls = tools.read(text) or [{"name": body["tools"][0]["function"]["name"], "arguments": {}}]
    functions = [{"name": call["name"], "arguments": json.dumps(call["arguments"])} for call in calls]
    return [{"id": f"call-{i}", "type": "function", "function": said} for i, said in enumerate(functions, 1)]


def _deltas(calls: list[dict]) -> Iterator[dict]:
    """Calls as they come in a stream: the name first, then the arguments, three characters a piece."""
    for index, call in enumerate(calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        yield {"tool_calls": [{"index": index, **call, "function": {"name": name, "arguments": ""}}]}
        for start in range(0, len(arguments), 3):
            yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[start : start + 3]}}]}


def pieces(body: dict, answer: dict, chat: bool) -> Iterator[dict]:
    """The events of a stream, a word each; the last one has the usage when it was asked for."""
    frame = {
        **{name: answer[name] for name in ("id", "created", "model")},
        "object": "chat.completion.chunk" if chat else "text_completion",
    }
    message = answer["choices"][0]["message"] if chat else {"content": answer["choices"][0]["text"]}
    if calls := message.get("tool_calls"):
        for delta in ({"role": "assistant", "content": None}, *_deltas(calls), {}):
            yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"}]}
    words = message["content"].split(" ") if message["content"] is not None else ()
    for place, word in enumerate(words):
        piece = word if place == 0 else f" {word}"
        delta = (
            {"delta": {"role": "assistant", "content": piece} if place == 0 else {"content": piece}}
            if chat
            else {"text": piece}
        )
        yield {
            **frame,
            "choices": [{"index": 0, **delta, "finish_reason": "stop" if place == len(words) - 1 else None}],
        }
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**frame, "choices": [], "usage": answer["usage"]}
