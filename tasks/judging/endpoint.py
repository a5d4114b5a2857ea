"""A model behind any endpoint that speaks OpenAI's chat completions, asked again where that may help.

Where it is and its key come from the environment, and no message names them.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.dataset.rows import Message
from tasks.errors import AnnealError, TransientError

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

URL, MODEL, KEY = "ANNEAL_JUDGE_URL", "ANNEAL_JUDGE_MODEL", "ANNEAL_JUDGE_KEY"
TRIES = 6
PATIENCE = 900.0  # seconds of waiting for one answer, in all
LONGEST_WAIT = 300.0  # seconds that an endpoint may ask for at once
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)


class _MayPass(Exception):
    """An answer may come later: the endpoint is slow, busy, down or limits the rate. The message is a clause."""

    def __init__(self, words: str, wait: float | None = None) -> None:
        super().__init__(words)
        self.wait = wait  # seconds that it asks for


@dataclass(frozen=True)
class Endpoint:
    """A `model` at a `url` that ends in /v1; `timeout` is of one answer, in seconds."""

    url: str = field(repr=False)
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 120.0
    waits: float = 1.0  # seconds before the second try; twice as long before each further one

    def ask(self, messages: Sequence[Message], max_tokens: int = 1024, temperature: float = 0.0) -> str:
        """The text that the model answers.

        Raises TransientError if it is down, too slow or busy for all tries, AnnealError if it refuses or answers
        something else.
        """
        from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay

        body = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        retrying = Retrying(
            retry=retry_if_exception_type(_MayPass),
            stop=stop_after_attempt(TRIES) | stop_after_delay(PATIENCE),
            wait=self._pause,
            before_sleep=_report,
        )
        try:
            answer: str = retrying(self._once, body)
        except RetryError as error:
            words = error.last_attempt.exception()
            raise TransientError(
                f"the endpoint in {URL} {words}, {error.last_attempt.attempt_number} times: {KEPT}."
            ) from None
        return answer

    def _pause(self, state: "RetryCallState") -> float:
        """Seconds until the next try: those that the endpoint asks for, or twice as many each time."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _MayPass) and error.wait is not None:
            return min(error.wait, LONGEST_WAIT)
        return float(self.waits * 2 ** (state.attempt_number - 1))

    def _once(self, body: Mapping[str, object]) -> str:
        import httpx

        try:
            answer = _client(self.timeout).post(f"{self.url}/chat/completions", json=body, headers=_headers(self.key))
        except httpx.TimeoutException:
            raise _MayPass(f"did not answer within {self.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise _MayPass(f"is not reachable ({type(error).__name__})") from None
        except httpx.InvalidURL:
            raise AnnealError(f"{URL} is not a URL: set it to that of the endpoint, as http://host:8000/v1.") from None
        _refuse(answer)
        return _text(answer)


@lru_cache(maxsize=4)
def _client(timeout: float) -> "httpx.Client":
    """Connections that threads share: to make a client takes longer than a question on loopback."""
    import httpx

    return httpx.Client(timeout=timeout)


KEPT = "what is done is kept, and the same command goes on from there"


def from_environment() -> Endpoint:
    """The endpoint of this machine; AnnealError if none is named, or if it has several models and none is chosen."""
    url, key = os.environ.get(URL, "").rstrip("/"), os.environ.get(KEY, "")
    if not url:
        raise AnnealError(
            f"{URL} is not set: set it to an endpoint that speaks OpenAI's API (http://host:8000/v1), and {MODEL} and "
            f"{KEY} where it needs them."
        )
    return Endpoint(url, os.environ.get(MODEL, "") or _only_model(url, key), key)


def _only_model(url: str, key: str) -> str:
    import httpx

    try:
        answer = httpx.get(f"{url}/models", headers=_headers(key), timeout=20)
        names = [str(model["id"]) for model in answer.json()["data"]]
    except httpx.InvalidURL:
        raise AnnealError(f"{URL} is not a URL: set it to that of the endpoint, as http://host:8000/v1.") from None
    except httpx.HTTPError as error:
        raise TransientError(
            f"the endpoint in {URL} is not reachable ({type(error).__name__}): start it, or correct {URL}."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise AnnealError(f"the endpoint in {URL} does not list its models: set {MODEL}.") from None
    if len(names) != 1:
        raise AnnealError(f"{MODEL} is not set, and the endpoint has {len(names)} models: set it to one of them.")
    return names[0]


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _report(state: "RetryCallState") -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0.0
    print(f"the endpoint {error}; asking again in {wait:.0f} s", file=sys.stderr, flush=True)


def _refuse(answer: "httpx.Response") -> None:
    """Raise the sentence for an answer that is not a success."""
    status = answer.status_code
    if status == 429:
        raise _MayPass("limits the rate (429)", _seconds(answer.headers.get("Retry-After")))
    if status in AGAIN:
        raise _MayPass(f"has a problem of its own ({status})", _seconds(answer.headers.get("Retry-After")))
    if status in (401, 403):
        raise AnnealError(f"the endpoint in {URL} refuses the key ({status}): set {KEY} to one that it knows; {KEPT}.")
    if status == 404:
        raise AnnealError(
            f"the endpoint in {URL} knows no such path or model (404): the URL ends in /v1, and {MODEL} is one of its "
            "models."
        )
    if status != 200:
        raise AnnealError(f"the endpoint in {URL} refuses the question ({status}: {_reason(answer)}); {KEPT}.")


def _seconds(header: str | None) -> float | None:
    """The seconds of a Retry-After (RFC 9110, 10.2.3): a number, or a date; None without a valid one."""
    if header and header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header or "") - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _reason(answer: "httpx.Response") -> str:
    """The words of an error in OpenAI's form, or the beginning of whatever came."""
    try:
        error = answer.json()["error"]
        words = error["message"] if isinstance(error, Mapping) else error
    except (ValueError, KeyError, TypeError):
        words = answer.text
    return " ".join(str(words).split())[:200]


def _text(answer: "httpx.Response") -> str:
    try:
        content = answer.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, TypeError, IndexError):
        content = None
    if not isinstance(content, str):
        raise AnnealError(
            f"the endpoint in {URL} answers something that is not a chat completion: it must speak OpenAI's API at "
            f"/v1/chat/completions; {KEPT}."
        )
    return content
