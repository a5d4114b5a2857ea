"""Notices when a client hangs up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


class ClientLeft(Exception):
    """The client disconnected."""


@asynccontextmanager
async def until_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel what the block waits for when the client hangs up, and raise ClientLeft; works as asyncio.timeout does."""
    task, has_left = asyncio.current_task(), False
    assert task is not None, "requests run in tasks"

    async def watch() -> None:
        nonlocal has_left
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)
        has_left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if has_left and task.uncancel() == 0:
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
