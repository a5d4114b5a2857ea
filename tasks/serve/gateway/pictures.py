"""Requests about an image: its bytes, or JSON with a `data:` URL. Nothing that a request points to is fetched, and the
records keep the name and size of an image, never the image.
"""

from tasks.formats.contract import Contract
from tasks.serve import routes
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway.errors import Refusal, bad
from tasks.serve.gateway.follow import Follower
from tasks.serve.params import Gateway
from tasks.texts import images
from tasks.texts.images import NotAnImageError

KIB = 1024
SENT = ", ".join(images.SENT)
EXAMPLE = '{"image": "data:image/png;base64,…"}'


def task_takes_images(follower: Follower, task: str) -> bool:
    """True if the champion of `task` takes images; no version is chosen yet."""
    follower.look()
    choice = routes.resolve(follower.table, task, 1.0)
    contract = follower.contract(choice.target) if choice else None
    return contract is not None and takes_images(contract)


def limit(settings: Gateway, is_image: bool) -> int:
    """The bytes that the body of a request may have: more for an image than for a text, and in JSON three bytes of an
    image are four characters.
    """
    if not is_image:
        return settings.max_body_kib * KIB
    return settings.max_image_kib * KIB * 4 // 3 + KIB


def takes_images(contract: Contract) -> bool:
    """True if a version with this contract takes images."""
    return contract.example == "image"


def image_in(kind: str, raw: bytes, most_kib: int) -> bytes:
    """The image in a body of the media type `kind`; Refusal 400, 413 or 415, in one sentence, for what is not one."""
    kind = kind.partition(";")[0].strip().lower()
    if kind == "application/json":
        raw = _of_json(bodies.parse(raw))
    elif kind not in images.SENT:
        raise Refusal(415, "unsupported_media_type", f"Send {SENT}, or application/json with {EXAMPLE}.")
    if len(raw) > most_kib * KIB:
        raise Refusal(413, "body_too_large", f"An image may have at most {most_kib} KiB.")
    if images.kind_of(raw) is None:
        raise bad(f"The body is not an image of these types: {SENT}.", "image", "invalid_image")
    return raw


def _of_json(value: bodies.Body) -> bytes:
    url = value.get("image")
    if len(value) != 1 or not isinstance(url, str):
        raise bad(f"The body must be {EXAMPLE}, and nothing else.", "image")
    try:
        return images.of_url(url)
    except NotAnImageError as error:
        raise bad(f"`image` {error}.", "image", "invalid_image") from None


def row(raw: bytes) -> dict[str, str]:
    """The columns of an image in the records."""
    return {"image": images.digest(raw), "type": str(images.kind_of(raw)), "bytes": str(len(raw))}


def body(raw: bytes) -> dict[str, object]:
    """The body for the server of a request with an image."""
    return {"messages": images.chat_messages(images.as_url(raw)), "temperature": 0, "max_tokens": 1}
