"""One request and its answer, as the metrics and the log see it."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.clean import encodable, joined
from tasks.contract import Contract
from tasks.messages import Kind, is_own_answer, kind_of
from tasks.serve.gateway import told
from tasks.serve.gateway.calls import Calls, Output, as_text
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.records import Writer
from tasks.serve.routes import Target
from tasks.special import USUAL, SpecialTexts

MOST_TEXT = 1 << 20  # characters of an answer that are kept


def new_id() -> str:
    """An id for a request, as the client gets it in x-request-id."""
    return f"req-{uuid.uuid4().hex}"


@dataclass
class Exchange:
    """What is known of one request. It counts as in flight for its target from here until `finish`."""

    metrics: Metrics
    writer: Writer
    task: str
    role: str
    target: Target
    contract: Contract | None
    path: str
    key_id: str
    given: dict  # the input as the log has it
    id: str = field(default_factory=new_id)
    shadow_of: str | None = None
    judged: bool = True  # the answer should be what the task's answers must be
    usage: dict = field(default_factory=dict)
    finish_reason: str | None = None
    error: str | None = None
    first_token: float | None = None
    valid: bool | None = None
    result: dict | None = None
    probabilities: told.Told | None = None  # of a version that tells classes
    done: bool = False

    def __post_init__(self) -> None:
        """The clock starts."""
        self.at, self.started, self._texts, self._size = time.time(), time.monotonic(), [], 0
        self._calls = Calls()
        self.asked_as_task = self.judged
        self.metrics.enter(self.target.model)

    @property
    def headers(self) -> dict[str, str]:
        """What the client learns of who answered."""
        return {"x-request-id": self.id, "x-anneal-version": f"{self.task}@{self.target.version}"}

    @property
    def text(self) -> str:
        """The first choice of the answer, as far as it came, in characters that JSON and databases can write."""
        return encodable(self._written)

    @property
    def output(self) -> Output:
        """The answer as the records have it: the calls of tools where it has any, else its text."""
        return self._calls.written(self._mended) if self._calls else self._written

    @property
    def special(self) -> SpecialTexts:
        """What is special to the tokenizer of who answers."""
        return self.contract.special if self.contract else USUAL

    @property
    def told(self) -> Mapping[str, object] | None:
        """The checked result as the client gets it."""
        return self.contract.result(self.result) if self.contract and self.result is not None else self.result

    def read(self, value: object) -> None:
        """Take in a whole answer, or one piece of a stream."""
        if not isinstance(value, dict):
            return
        self.usage = value.get("usage") or self.usage
        if value.get("error"):
            self.error = "backend_error"
        for choice in value.get("choices") or []:
            if choice.get("index"):
                continue
            message = choice.get("message") or choice.get("delta") or choice
            content = message.get("content") or message.get("text") or ""
            if not isinstance(content, str):
                raise TypeError("the content of an answer is not a text")
            if self._size < MOST_TEXT:
                self._texts.append(content)
                self._size += len(content)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            self.probabilities = told.read(choice.get("probabilities")) or self.probabilities
            if message.get("tool_calls") and self._size < MOST_TEXT:
                self._size += self._calls.read(message["tool_calls"])

    def read_bytes(self, content: bytes) -> None:
        """`read` what may be JSON."""
        try:
            self.read(json.loads(content))
        except (
            ValueError,
            AttributeError,
            TypeError,
        ):  # not what vLLM says: the client gets it as it is, the log says so
            self.error = "backend_garbled"

    def begin(self) -> None:
        """The first byte of a stream has come."""
        if self.first_token is None:
            self.first_token = time.monotonic() - self.started

    def judge(self) -> None:
        """Check the answer against the contract; nothing to say for requests that are not the task's.

        A chat in other words than the template's is judged; the monitor, which compares questions, leaves those out
        too.
        """
        if self.contract and self.judged and self._asks_the_task(self.contract):
            self.result = self.contract.check(as_text(self.output))
            self.valid = self.result is not None

    def _asks_the_task(self, contract: Contract) -> bool:
        if self._calls and not contract.calls_tools:
            return False
        form = {"system": contract.system, "user": contract.user, "tools": contract.calls_tools}
        kind = kind_of(self.given, form, self.path, self.finish_reason)
        return kind in (Kind.TASK, Kind.FORM) and not is_own_answer(self.given, self.finish_reason)

    def finish(self, status: int, error: str | None = None) -> None:
        """The answer is over, for good or bad; the second call does nothing."""
        if self.done:
            return
        self.done, self.error = True, error or self.error
        latency = time.monotonic() - self.started
        self.metrics.leave(self.target.model)  # first: nothing that follows may keep a server from draining
        if status == 200 and self.error is None and self.valid is None:
            self.judge()
        labels = (self.task, self.target.version)
        self.metrics.requests.labels(*labels, self.role, str(status)).inc()
        self.metrics.seconds.labels(*labels).observe(latency)
        if self.first_token is not None:
            self.metrics.first_token.labels(*labels).observe(self.first_token)
        for kind in ("prompt", "completion"):
            self.metrics.tokens.labels(*labels, kind).inc(self.usage.get(f"{kind}_tokens") or 0)
        if self.valid is not None:
            self.metrics.answers.labels(*labels, "true" if self.valid else "false").inc()
        self.writer.put(self._row(status, latency))

    @property
    def _written(self) -> str:
        return self._mended("".join(self._texts))

    def _mended(self, text: str) -> str:
        """What came, but for two things: halves of a character that came in two pieces are put together, and special
        texts are mended.
        """
        return self.special.original(joined(text))

    def _row(self, status: int, latency: float) -> dict:
        return {
            "id": self.id,
            "at": self.at,
            "task": self.task,
            "version": self.target.version,
            "artifact": self.target.artifact,
            "role": self.role,
            "shadow_of": self.shadow_of,
            "template_sha256": self.contract.template_sha256 if self.contract else None,
            "key_id": self.key_id,
            "path": self.path,
            "status": status,
            "error": self.error,
            "latency": latency,
            "first_token": self.first_token,
            "prompt_tokens": self.usage.get("prompt_tokens"),
            "completion_tokens": self.usage.get("completion_tokens"),
            "finish_reason": self.finish_reason,
            "valid": self.valid,
            "input": self.given,
            "output": self.output,
            "probabilities": self.probabilities,
        }
