"""Parses the body of a request (bytes, charset and JSON), and refuses what parsers would disagree about."""

import asyncio
import json
import math

from starlette.requests import ClientDisconnect, Request

from tasks.serve.gateway.errors import Refusal, bad

MOST_DEPTH = 100  # levels of a body: what comes after may recurse
LARGEST = 2**64  # whole numbers beyond it are not the same for every reader of JSON
Body = dict[str, object]  # a JSON object
# What browsers and servers call ISO-8859-1 is Windows-1252 (https://encoding.spec.whatwg.org/#names-and-labels).
CHARSETS = {"utf-8": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "cp1252", "windows-1252": "cp1252", "utf-16": "utf-16"}
PATIENCE = 30.0  # seconds for a body to come


async def read(request: Request, limit: int) -> bytes:
    """The body; Refusal 413 when it has more than `limit` bytes, 408 when it does not come."""
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, "body_timeout", f"The body did not arrive within {PATIENCE:.0f} s.") from None
    except ClientDisconnect:
        raise Refusal(499, "client_left", "The client disconnected.") from None
    return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "body_too_large", f"The body may have at most {limit // 1024} KiB.")


def text(raw: bytes, charset: str = "utf-8") -> str:
    """`raw` in its `charset`, without a byte-order mark; Refusal 400 when it is not, 415 for a charset that is
    not read.
    """
    if charset not in CHARSETS:
        raise Refusal(415, "unsupported_charset", f"Send UTF-8; of other charsets only {', '.join(CHARSETS)} are read.")
    try:
        return raw.decode(CHARSETS[charset]).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        name = charset.upper()
        raise bad(f"The body is not {name} (byte {error.start}).", code="invalid_utf8") from None


def parse(raw: bytes) -> Body:
    """The JSON object in `raw`; Refusal 400 when it is not one, or holds what readers of JSON take in different ways.

    That is NaN, half of a character, a number beyond 64 bits, a key that is repeated, and nesting without end.
    """
    words = text(raw)
    try:
        value = json.loads(
            words,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_whole,
            object_pairs_hook=_object,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise bad(f"The body is not valid JSON ({type(error).__name__}).", code="invalid_json") from None
    except RecursionError:
        raise _malformed("is nested too deeply") from None
    if not isinstance(value, dict):
        raise _malformed("must be a JSON object")
    if is_deep(value):
        raise _malformed("is nested too deeply")
    return value


def _malformed(reason: str) -> Refusal:
    return bad(f"The body {reason}.", code="invalid_json")


def _constant(name: str) -> None:
    raise _malformed(f"has {name} for a number: JSON has no such number")


def _float(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise _malformed("has a number that is too large: 64 bits are the limit")
    return value


def _whole(digits: str) -> int:
    if len(digits) > len(str(LARGEST)) + 1 or abs(int(digits)) >= LARGEST:
        raise _malformed("has a number that is too large: 64 bits are the limit")
    return int(digits)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _malformed("has an object that repeats a key")
    return value


def is_deep(value: object) -> bool:
    """True for JSON of more than MOST_DEPTH levels."""
    level = [value]
    for _ in range(MOST_DEPTH):
        containers = [
            node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)
        ]
        level = [child for container in containers for child in container]
        if not level:
            return False
    return True
