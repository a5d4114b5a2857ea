"""Refusals in OpenAI's error format: what a client gets instead of an answer."""

import json

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
CLIENT_LEFT = 499  # nginx's number for a client that hung up; nobody receives it, the log has it


class Refusal(Exception):
    """A request that gets no answer: status, code and one sentence without anything of its texts. `wait`: seconds
    for Retry-After.
    """

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.wait = status, code, message, param, wait

    def body(self) -> dict[str, dict[str, str | None]]:
        """`{"error": {message, type, param, code}}`."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def event(self) -> bytes:
        """The last event of a stream that broke: clients raise it instead of taking the answer for a complete one."""
        return b"data: " + json.dumps(self.body()).encode() + b"\n\n"

    def response(self, headers: dict[str, str] | None = None) -> JSONResponse:
        """The answer to the client."""
        more = {} if self.wait is None else {"Retry-After": str(max(1, round(self.wait + 0.5)))}
        if self.status in (408, 413):  # the rest of its body is not read
            more["Connection"] = "close"
        return JSONResponse(self.body(), self.status, {**(headers or {}), **more})


def bad(message: str, param: str | None = None, code: str = "invalid_value") -> Refusal:
    """400: the request is invalid."""
    return Refusal(400, code, message, param)


def model_not_found() -> Refusal:
    """404: no version has this name."""
    return Refusal(404, "model_not_found", "There is no such model here; GET /v1/models lists the models.", "model")


def of_http(error: HTTPException) -> Refusal:
    """The refusal for FastAPI's own: no such route, wrong method."""
    if error.status_code == 404:
        return Refusal(404, "unknown_url", "There is no such route here; GET /v1/models lists the models.")
    if error.status_code == 405:
        return Refusal(405, "method_not_allowed", "This route does not support this method.")
    return Refusal(error.status_code, "refused", str(error.detail))
