"""Sends the champion's request to the shadow version as well; its answer is logged and discarded."""

import asyncio
import time
from dataclasses import replace

from tasks.serve.gateway.backend import BROKEN, Call, refusal_of, refusal_of_status
from tasks.serve.gateway.body import Body
from tasks.serve.gateway.errors import CLIENT_LEFT, Refusal
from tasks.serve.gateway.proxy import settle
from tasks.serve.gateway.reply import Ending, ReplyReader
from tasks.serve.gateway.request import ModelRequest, new_id
from tasks.serve.gateway.state import GatewayState
from tasks.serve.routes import Choice

MOST = 8  # shadows at once
DROPPED = "shadow_dropped"  # reason in the metrics


def start(gateway: GatewayState, original: ModelRequest, body: Body) -> None:
    """Send `body` to the shadow of `original` if the clients leave room and the version is still routed; else drop and
    count it.
    """
    name, target = original.choice.task, original.choice.shadow
    task = gateway.follower.table.tasks.get(name)
    if target is None or task is None or target not in task.targets.values():
        return  # there is none, or the client's answer took longer than the canary
    if len(gateway.shadows) >= MOST or not gateway.backend.queue.is_idle():
        gateway.metrics.refused.labels(DROPPED).inc()
        return
    copy = replace(
        original,
        choice=Choice(name, "shadow", target),
        contract=gateway.follower.contract(target),
        body={field: value for field, value in body.items() if field not in ("stream", "stream_options")},
        shadow_of=original.id,
        id=new_id(),
        at=time.time(),
        started=time.monotonic(),
    )
    gateway.shadows.start(_ask(gateway, Call(gateway.backend, copy)))


async def _ask(gateway: GatewayState, call: Call) -> None:
    ending, reader = Ending(CLIENT_LEFT, "stopped"), ReplyReader(call.request.special)
    try:
        async with asyncio.timeout(gateway.backend.timeout):
            response = await call.open()
            content = await response.aread()
        refusal = refusal_of_status(response.status_code)
        if response.status_code == 200:
            reader.read(content)
        ending = _ending(refusal) if refusal else Ending(response.status_code, None, reader.reply())
    except (*BROKEN, Refusal) as trouble:
        ending = _ending(refusal_of(trouble))
    finally:
        settle(gateway, call, ending)


def _ending(refusal: Refusal) -> Ending:
    """The ending without its refusal, which no client gets and which is not counted as one."""
    return Ending(refusal.status, refusal.code)
