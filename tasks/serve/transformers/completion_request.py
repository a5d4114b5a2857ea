"""The body of a chat or a completion, validated; refused with a sentence if this server does not support it."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.dialogues.messages import SHAPING, text_of
from tasks.serve.gateway.errors import bad

MOST_CHOICES = 16
COMPLETION_TOKENS = 16  # of /v1/completions where no limit is given, as in OpenAI's API and vLLM
# Fields that change nothing here, whatever they say.
IGNORED = {"user", "metadata", "store", "service_tier", "parallel_tool_calls", "request_id", "priority"}
NEUTRAL: dict[str, tuple[object, ...]] = {
    **SHAPING,
    "tool_choice": ("auto", "none"),
    "logprobs": (0,),
    "echo": (False,),
}
OFF: tuple[object, ...] = (None, False, [], {}, "")
Ids = list[Annotated[int, Field(ge=0)]]


class StreamOptions(BaseModel):
    """What a stream sends besides its pieces."""

    include_usage: bool | None = None


class CompletionRequest(BaseModel):
    """The body of a request; names, limits and defaults are vLLM's."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    prompt: str | Ids | list[str] | list[Ids] | None = None
    decoder_prompt: Ids | None = None  # for a model with an encoder: how its answer is to begin
    tools: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool = False
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    return_token_ids: bool | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    guided_json: dict[str, Any] | str | None = None

    @property
    def limit(self) -> int | None:
        """Tokens of an answer; None where the request names no limit."""
        limits = [value for value in (self.max_completion_tokens, self.max_tokens) if value is not None]
        return max(limits, default=None)

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer."""
        return tuple(filter(None, [self.stop] if isinstance(self.stop, str) else self.stop or []))

    @property
    def may_call(self) -> bool:
        """Whether the answer may be tool calls."""
        return bool(self.tools) and (self.model_extra or {}).get("tool_choice") != "none"

    @property
    def choices(self) -> int:
        """Answers to each prompt."""
        return self.n or 1


def read(body: dict[str, object], is_chat: bool) -> CompletionRequest:
    """The request in `body`; Refusal 400 for a value that does not fit, or a field that only vLLM supports."""
    try:
        request = CompletionRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = str(first["loc"][0])
        raise bad(f"`{where}` is not valid: {first['msg'][:120]}.", where) from None
    needed = "messages" if is_chat else "prompt"
    if not getattr(request, needed):
        raise bad(f"`{needed}` is missing or empty.", needed)
    for name, value in (request.model_extra or {}).items():
        if name not in IGNORED and not any(_is_same(value, off) for off in (*OFF, *NEUTRAL.get(name, ()))):
            raise bad(
                f"`{name[:40]}` is not supported: this model is served by transformers, not by vLLM.",
                name[:40],
                "unsupported_parameter",
            )
    return request


def _is_same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def schema(request: CompletionRequest) -> str | Literal[True] | None:
    """The JSON schema that the answer must follow, as text; True for any JSON, None for any text."""
    form = request.response_format or {}
    kind = form.get("type", "text")
    if kind == "json_object":
        return True
    if kind == "json_schema":
        return _as_text((form.get("json_schema") or {}).get("schema"), "response_format")
    if kind != "text":
        raise bad(
            f"`response_format` may be text, json_object or json_schema, not {str(kind)[:40]}.", "response_format"
        )
    if request.guided_json is not None:
        return _as_text(request.guided_json, "guided_json")
    structured = {key: value for key, value in (request.structured_outputs or {}).items() if value is not None}
    if structured and set(structured) != {"json"}:
        raise bad(
            "`structured_outputs` may have `json` only: this model is served by transformers.", "structured_outputs"
        )
    return _as_text(structured["json"], "structured_outputs") if structured else None


def _as_text(value: object, param: str) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, str):
        return value
    raise bad(f"`{param}` has no JSON schema.", param, "invalid_schema")


def dialogue(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`messages` as a template reads them: parts joined to a text, arguments of tool calls as objects, as in vLLM."""
    return [_message(message, f"messages[{place}]") for place, message in enumerate(messages)]


def _message(message: dict[str, Any], where: str) -> dict[str, Any]:
    content = message.get("content")
    text = None if content is None else text_of(content)
    if not isinstance(message.get("role"), str) or (content is not None and text is None):
        raise bad(f"{where} must have a role, and texts only as its content.", where)
    parsed = {**message, "content": text}
    if calls := message.get("tool_calls"):
        parsed["tool_calls"] = [_call(call, where) for call in calls]
    return parsed


def _call(call: Any, where: str) -> dict[str, Any]:
    try:
        function = call["function"]
        arguments = function.get("arguments") or {}
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
        return {**call, "function": {**function, "arguments": parsed}}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise bad(f"{where}.tool_calls must be calls of functions with JSON as their arguments.", where) from None


def prompts(prompt: str | Ids | list[str] | list[Ids]) -> list[str | list[int]]:
    """The prompts of /v1/completions, each a text or token ids."""
    if isinstance(prompt, str):
        return [prompt]
    ids = [entry for entry in prompt if isinstance(entry, int)]
    return [ids] if ids else [entry for entry in prompt if not isinstance(entry, int)]
