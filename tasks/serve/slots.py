"""The actual state of the slots: what is served there, and loading, unloading, starting and stopping."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.errors import AnnealError
from tasks.serve import state, supervisor, verify
from tasks.serve.cascade.start import LABELLED, has_labeller
from tasks.serve.loopback import client
from tasks.versions.registry import Version

if TYPE_CHECKING:
    import httpx

BUSY = re.compile(r"^(?:vllm|anneal):num_requests_(?:running|waiting)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Slot:
    """A slot that is not free: what it should serve, whether it answers, and its models."""

    name: str
    state: state.State
    healthy: bool
    names: frozenset[str] = frozenset()

    @property
    def url(self) -> str:
        """The OpenAI-compatible address."""
        return self.state.url

    def can_serve(self, version: Version) -> bool:
        """True when `version` runs here in the form in which it was verified: its own merged weights, or the base it
        was trained on. Versions of the time before there were forms run on vLLM in any.
        """
        form, name = version.form, version.served_name
        if form not in ("", self.state.form) or (not form and self.state.engine != "vllm"):
            return False
        if self.state.merged:
            return name in self.state.merged and self.state.merged[name].artifact == version.artifact
        return self.state.weights == str(state.base_folder(version.base))


def look() -> list[Slot]:
    """The slots that are not free, newest server first."""
    slots = [_look(name, desired) for name, desired in state.read_all().items()]
    return sorted(slots, key=lambda slot: -slot.state.since)


def _look(name: str, desired: state.State) -> Slot:
    import httpx

    if not verify.is_healthy(desired.url):
        return Slot(name, desired, False)
    try:
        return Slot(name, desired, True, frozenset(verify.served_names(desired.url)))
    except (httpx.HTTPError, ValueError, KeyError):  # it died between the two questions
        return Slot(name, desired, False)


def load(url: str, model: str, path: str) -> None:
    """Load the adapter in the folder `path` under the name `model`; nothing happens when that name is loaded
    already. AnnealError if it has a labeller and the server does not use it.
    """
    headers = _adapter(url, "load", {"lora_name": model, "lora_path": path}, "already been loaded")
    if has_labeller(path) and LABELLED not in headers:
        unload(url, model)
        raise AnnealError(
            f"vLLM at {url} was started before there were labellers, and {model} has one: `make down && make up`."
        )


def unload(url: str, model: str) -> None:
    """Unload `model`; nothing happens when it is not loaded."""
    _adapter(url, "unload", {"lora_name": model}, "cannot be found")


def _adapter(url: str, action: str, body: dict[str, str], done: str) -> "httpx.Headers":
    """The headers of the answer."""
    import httpx

    try:
        answer = client().post(f"{url}/{action}_lora_adapter", json=body, timeout=60)
    except httpx.HTTPError as error:
        raise AnnealError(
            f"vLLM at {url} did not answer when told to {action} {body['lora_name']} ({type(error).__name__}); see "
            ".anneal/logs/."
        ) from None
    if answer.status_code != 200 and done not in answer.text:
        raise AnnealError(f"vLLM at {url} could not {action} {body['lora_name']}: {answer.text[:200]}")
    headers: httpx.Headers = answer.headers
    return headers


def is_idle(url: str) -> bool:
    """True when the server itself says that no request runs or waits; a server that does not answer has none."""
    import httpx

    try:
        text = client().get(url.removesuffix("/v1") + "/metrics", timeout=5).text
    except httpx.HTTPError:
        return True
    return all(float(count) == 0 for count in BUSY.findall(text))


def start(slot: str, desired: state.State) -> None:
    """Start the server of `slot` as `desired` says; returns at once."""
    state.write(slot, desired)
    supervisor.start(state.program(slot))


def stop(slot: str) -> None:
    """Stop the server of `slot` and free it."""
    supervisor.stop(state.program(slot))
    state.free(slot)


def is_running(slot: str) -> bool:
    """True when the supervisor keeps a server on `slot`."""
    return supervisor.status(state.program(slot)) in supervisor.RUNNING


def remember(slot: Slot, names: Iterable[str], known: Mapping[str, state.Served]) -> None:
    """Make the adapters `names` those with which the server of `slot` comes back after a crash."""
    kept = {name: known[name] for name in sorted(names) if name in known}
    if not slot.state.merged and slot.state.adapters != kept:
        state.write(slot.name, replace(slot.state, adapters=kept))
