"""The events of vLLM's streams, and JSON that every parser reads alike."""

import json
import re
from collections.abc import AsyncIterator

from tasks.texts.clean import encodable, has_half_character

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # as JSON escapes it
MOST_EVENT = 1 << 20  # bytes of a stream that are held back for the end of an event


def readable(content: bytes) -> bytes:
    r"""JSON as it came, but for halves of characters (`\ud83d` with no other half), which many readers refuse: they
    become U+FFFD.
    """
    if not SURROGATE.search(content):
        return content
    try:
        text = json.dumps(json.loads(content), ensure_ascii=False)
    except (ValueError, RecursionError):  # not JSON: leave it
        return content
    return encodable(text).encode() if has_half_character(text) else content


def readable_event(event: bytes) -> bytes:
    """The event of a stream, its JSON `readable`."""
    data = event.removeprefix(b"data: ")
    return event if data is event or not SURROGATE.search(data) else b"data: " + readable(data.rstrip(b"\n")) + b"\n\n"


async def events(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes of a stream, cut after each event; what follows the last complete event comes last, unchanged."""
    rest = b""
    async for piece in pieces:
        *complete, rest = (rest + piece).split(b"\n\n")
        for event in complete:
            yield event + b"\n\n"
        if len(rest) > MOST_EVENT:
            yield rest
            rest = b""
    if rest:
        yield rest


def is_usage_alone(data: bytes) -> bool:
    """True for the data of the event that has the usage and no choices."""
    if b'"usage"' not in data:
        return False
    try:
        value = json.loads(data)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("choices") == [] and bool(value.get("usage"))
