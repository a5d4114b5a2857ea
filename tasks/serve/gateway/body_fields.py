"""Checks the fields of a body and refuses what must not reach vLLM, or would cost too much there."""

from tasks.dialogues.messages import TEXT_PARTS
from tasks.serve.gateway import schema
from tasks.serve.gateway.body import Body
from tasks.serve.gateway.errors import bad

MOST_CHOICES = 16
FORBIDDEN = {
    "prompt_logprobs": "it stops vLLM 0.32 when adapters run on a CPU",
    "best_of": "vLLM does not have it any more; use n",
    "use_beam_search": "it multiplies the work of an answer",
    "prompt_embeds": "tensors from outside are not read",
    "mm_payload": "media are not read",
    "kv_transfer_params": "nothing in a request may point to another server",
    "ec_transfer_params": "nothing in a request may point to another server",
}


def check(body: Body, chat: bool, limit: int) -> Body:
    """`body` as it goes to vLLM: checked, its tokens limited to `limit` for all choices together; Refusal 400 says
    what is wrong.
    """
    if not isinstance(body.get("model"), str):
        raise bad("`model` must be the name of a task.", "model")
    for name, reason in FORBIDDEN.items():
        if not _is_off(body.get(name)):
            raise bad(f"`{name}` is not allowed here: {reason}.", name, "unsupported_parameter")
    _check_echo(body, chat)
    if not isinstance(body.get("stream"), bool | None):
        raise bad("`stream` must be true or false.", "stream")
    if not isinstance(body.get("stream_options"), dict | None):
        raise bad("`stream_options` must be an object.", "stream_options")
    schema.check(body)
    prompts = 1
    if chat:
        _check_messages(body.get("messages"))
    else:
        prompts = _count_prompts(body.get("prompt"))
    return _limited(body, prompts, limit)


def _check_echo(body: Body, chat: bool) -> None:
    """In a chat `echo` alone makes vLLM work out prompt_logprobs; in a completion it does so with `logprobs`."""
    if chat and not _is_off(body.get("echo")):
        reason = "in a chat it makes vLLM work out prompt_logprobs, which are not allowed either"
        raise bad(f"`echo` is not allowed here: {reason}.", "echo", "unsupported_parameter")
    if body.get("echo") and not (_is_off(body.get("logprobs")) and _is_off(body.get("top_logprobs"))):
        raise bad(
            "`echo` with `logprobs` is not allowed here: it is prompt_logprobs by another name.",
            "echo",
            "unsupported_parameter",
        )


def _is_off(value: object) -> bool:
    """True if a field is not set. 0 counts as set: vLLM takes it for a number of log-probabilities."""
    return value is None or value is False


def _limited(body: Body, prompts: int, limit: int) -> Body:
    choices = _count(body, "n") or 1
    if choices > MOST_CHOICES:
        raise bad(f"`n` may be {MOST_CHOICES} at most.", "n")
    limits = [_count(body, name) for name in ("max_completion_tokens", "max_tokens")]
    tokens = max((value for value in limits if value is not None), default=None)
    if tokens is None:
        share = limit // (choices * prompts)
        if not share:
            raise bad(
                f"{prompts} prompts with {choices} choices each are too many: {limit} tokens are allowed for all of "
                "them.",
                "prompt",
            )
        return {**body, "max_tokens": share}
    if tokens * choices * prompts > limit:
        product = "`max_tokens` × `n`" if prompts == 1 else "`max_tokens` × `n` × prompts"
        raise bad(
            f"{product} may be {limit} at most; it is {tokens * choices * prompts if tokens < 10**9 else 'far more'}.",
            "max_tokens",
        )
    return body


def _count(body: Body, name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise bad(f"`{name}` must be a whole number from 1 up.", name)
    return value


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise bad("`messages` must be a list of messages.", "messages")
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise bad(f"{where} must be an object with a role.", where)
        content = message.get("content")
        if content is None and message["role"] not in ("assistant", "function"):
            raise bad(f"{where} has no content.", where)
        if not isinstance(content, str | list | None):
            raise bad(f"{where}.content must be a text, or a list of parts.", where)
        for part in content if isinstance(content, list) else []:
            _check_part(part, f"{where}.content")


def _check_part(part: object, where: str) -> None:
    """Parts of text only. vLLM takes a part for an image by its keys, whatever its type says, so there must be no
    other keys with content.
    """
    if isinstance(part, str):
        return
    if not isinstance(part, dict) or part.get("type") not in TEXT_PARTS:
        raise bad(
            f"{where} may have parts of text only: nothing that a request points to is fetched.",
            where,
            "unsupported_content",
        )
    if other := [name for name in part if name not in ("type", "text", "refusal", "cache_control", "annotations")]:
        raise bad(
            f"{where} has a part with `{other[0][:40]}`: nothing that a request points to is fetched.",
            where,
            "unsupported_content",
        )
    if not isinstance(part.get("text", part.get("refusal")), str):
        raise bad(f"{where} has a part without text.", where)


def _count_prompts(prompt: object) -> int:
    """The number of prompts: a text, a list of texts, a list of token ids, or a list of such lists."""
    if isinstance(prompt, str) or _is_ids(prompt):
        return 1
    if (
        isinstance(prompt, list)
        and prompt
        and (all(isinstance(text, str) for text in prompt) or all(map(_is_ids, prompt)))
    ):
        return len(prompt)
    raise bad("`prompt` must be a text, a list of texts, or token ids.", "prompt")


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(entry) is int for entry in value)
