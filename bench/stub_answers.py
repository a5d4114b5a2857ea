"""What vLLM's API answers, whole or in pieces, around a text that is given."""

import time
from collections.abc import Iterator


def whole(body: dict, text: str, chat: bool) -> dict:
    """A whole answer; one word counts as one token."""
    choice = {"message": {"role": "assistant", "content": text, "tool_calls": []}} if chat else {"text": text}
    if chat and body.get("tools"):
        call = {
            "id": "call-1",
            "type": "function",
            "function": {"name": body["tools"][0]["function"]["name"], "arguments": "{}"},
        }
        choice = {"message": {"role": "assistant", "content": None, "tool_calls": [call]}}
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


def pieces(body: dict, answer: dict, chat: bool) -> Iterator[dict]:
    """The events of a stream, a word each; the last one has the usage when it was asked for."""
    frame = {
        **{name: answer[name] for name in ("id", "created", "model")},
        "object": "chat.completion.chunk" if chat else "text_completion",
    }
    text = (answer["choices"][0]["message"]["content"] or "") if chat else answer["choices"][0]["text"]
    words = text.split(" ")
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
