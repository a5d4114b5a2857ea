"""A parsed request for a model, and the version chosen to answer it."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.dialogues.special import USUAL, SpecialTexts
from tasks.formats.contract import Contract
from tasks.serve.gateway.body import Body
from tasks.serve.routes import Choice


def new_id() -> str:
    """An id for a request, as the client gets it in x-request-id."""
    return f"req-{uuid.uuid4().hex}"


@dataclass(frozen=True)
class ModelRequest:
    """A request that was let in. The version that answers it is chosen, and `contract` says what its answers must be
    (None when its folder cannot be read).
    """

    choice: Choice
    contract: Contract | None
    path: str
    key_id: str
    input: Mapping[str, object]  # as the records keep it
    body: Body  # for the version's server
    is_judged: bool = True  # its answer is checked against the contract
    shadow_of: str | None = None  # the request of a client that this one is a copy of
    id: str = field(default_factory=new_id)
    at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)

    @property
    def headers(self) -> dict[str, str]:
        """The response headers that name the request and the version."""
        return {"x-request-id": self.id, "x-anneal-version": self.choice.target.model}

    @property
    def special(self) -> SpecialTexts:
        """The special texts of the version's tokenizer."""
        return self.contract.special if self.contract else USUAL

    @property
    def streams(self) -> bool:
        """True if the answer is to be streamed."""
        return bool(self.body.get("stream"))

    @property
    def asks_for_usage(self) -> bool:
        """True if the client of a stream asks for the event with its usage."""
        options = self.body.get("stream_options")
        return isinstance(options, Mapping) and bool(options.get("include_usage"))
