"""Admission: requests per minute and key, concurrent requests at vLLM, and the queue."""

import asyncio
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from tasks.serve.gateway.errors import Refusal


class RateLimit:
    """`per_minute` requests of each key, over a sliding minute."""

    def __init__(self, per_minute: int) -> None:
        self.item, self.limiter = RateLimitItemPerMinute(per_minute), SlidingWindowCounterRateLimiter(MemoryStorage())

    def check(self, key_id: str) -> None:
        """Count one request; Refusal 429 when it is one too many."""
        if not self.limiter.hit(self.item, key_id):
            wait = max(1.0, self.limiter.get_window_stats(self.item, key_id).reset_time - time.time())
            raise Refusal(
                429,
                "rate_limit_exceeded",
                f"This key may send {self.item.amount} requests per minute; wait, or ask for a higher limit.",
                wait=wait,
            )


class AdmissionQueue:
    """`running` slots at the servers and `waiting` places in the queue before them, first come, first served."""

    def __init__(self, running: int, waiting: int, patience: float) -> None:
        self.most_waiting, self.patience = waiting, patience
        self.free = asyncio.Semaphore(running)
        self.waiting = self.running = 0

    async def enter(self) -> None:
        """Take a slot, or wait for one; Refusal 429 at once if the queue is full, 503 if none is free in time."""
        if self.free.locked() and self.waiting >= self.most_waiting:
            raise Refusal(429, "queue_full", "Too many requests are already waiting; try again in a moment.", wait=1)
        self.waiting += 1
        try:
            async with asyncio.timeout(self.patience):
                await self.free.acquire()
        except TimeoutError:
            raise Refusal(
                503, "queue_timeout", f"No slot became free within {self.patience:g} s; try again later.", wait=5
            ) from None
        finally:
            self.waiting -= 1
        self.running += 1

    def leave(self) -> None:
        """Give the slot to the request that waits longest."""
        self.running -= 1
        self.free.release()

    def is_idle(self) -> bool:
        """True if a slot is free and nothing waits: room for a shadow."""
        return not self.free.locked() and not self.waiting
