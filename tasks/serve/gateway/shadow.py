"""Asks the version in the shadow what the champion was just asked; its answer is logged and thrown away."""

import asyncio

from tasks.serve.gateway.door import Door
from tasks.serve.gateway.errors import CLIENT_LEFT, Refusal
from tasks.serve.gateway.exchange import Exchange
from tasks.serve.gateway.proxy import BROKEN, Call, refusal_of, refusal_of_status
from tasks.serve.routes import Target

MOST = 8  # shadows at once


def start(door: Door, of: Exchange, body: dict, target: Target | None) -> None:
    """Begin it when there is room beside the clients and the version is still there; else it is dropped and counted."""
    if target is None:
        return
    task = door.follower.table.tasks.get(of.task)
    if task is None or target not in task.targets.values():  # the client's answer took longer than the canary
        return
    if door.shadows >= MOST or not door.places.is_idle():
        door.metrics.refused.labels("shadow_dropped").inc()
        return
    door.shadows += 1
    contract = door.follower.contract(target)
    exchange = Exchange(
        of.metrics,
        of.writer,
        of.task,
        "shadow",
        target,
        contract,
        of.path,
        of.key_id,
        of.given,
        judged=of.asked_as_task,
        shadow_of=of.id,
    )
    plain = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
    door.spawn(_ask(door, exchange, {**plain, "model": target.model}))


async def _ask(door: Door, exchange: Exchange, body: dict) -> None:
    call, status, error = Call(door, exchange), CLIENT_LEFT, "stopped"
    try:
        async with asyncio.timeout(door.settings.timeout):
            response = await call.open(body)
            content = await response.aread()
        refusal = refusal_of_status(response.status_code)
        status, error = (refusal.status, refusal.code) if refusal else (response.status_code, None)
        if status == 200:
            exchange.read_bytes(content)
    except (*BROKEN, Refusal) as trouble:
        refusal = trouble if isinstance(trouble, Refusal) else refusal_of(trouble)
        status, error = refusal.status, refusal.code
    finally:
        door.shadows -= 1
        call.close(status, error)
