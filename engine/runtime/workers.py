"""Worker threads for work that blocks."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from msgspec import Struct

T = TypeVar("T")


class PoolUse(Struct, frozen=True):
    """How a pool of threads is used.

    Attributes:
        size: Threads at most.
        busy: Threads at work.
        waiting: Pieces of work for which no thread is free.
        left: Threads at work for nobody: whoever waited has given up.
    """

    name: str
    size: int
    busy: int
    waiting: int = 0
    left: int = 0


class Workers(Protocol):
    """Runs blocking functions away from the loop."""

    async def run(
        self, function: Callable[..., T], *data: object, pending: set[asyncio.Future[object]]
    ) -> T:
        """Run the function; it stays in `pending` until its thread has returned."""
        ...

    def usage(self) -> PoolUse:
        """Say how the threads are used."""
        ...

    def close(self) -> None:
        """Take no more work."""
        ...


class ThreadWorkers:
    """A bounded pool of threads.

    A thread cannot be cancelled: when the awaiting task is, the function goes on and its future
    stays in `pending` until it is done.
    """

    def __init__(self, size: int = 32) -> None:
        """Take the greatest number of threads."""
        self._size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="worker")
        self._calls: set[asyncio.Future[Any]] = set()
        self._left: set[asyncio.Future[Any]] = set()

    async def run(
        self, function: Callable[..., T], *data: object, pending: set[asyncio.Future[object]]
    ) -> T:
        """Run the function in a thread, shielded from the caller's cancellation."""
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, context.run, function, *data)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        pending.add(future)  # type: ignore[arg-type] # a set of futures of any result
        future.add_done_callback(lambda done: _settle(pending, done))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.done():
                self._left.add(future)
                future.add_done_callback(self._left.discard)
            raise

    def usage(self) -> PoolUse:
        """Say how the threads are used."""
        calls = len(self._calls)
        busy = min(calls, self._size)
        return PoolUse("workers", self._size, busy, calls - busy, len(self._left))

    def close(self) -> None:
        """Take no more work; running threads are left to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _settle(pending: set[asyncio.Future[object]], done: asyncio.Future[T]) -> None:
    pending.discard(done)
    if not done.cancelled():
        done.exception()  # seen: whoever awaited it has it, or was cancelled


class InlineWorkers:
    """Runs work at once in the calling thread: for tests under virtual time."""

    async def run(
        self, function: Callable[..., T], *data: object, pending: set[asyncio.Future[object]]
    ) -> T:
        """Run the function here and now."""
        del pending
        return function(*data)

    def usage(self) -> PoolUse:
        """Have no threads."""
        return PoolUse("workers", 0, 0)

    def close(self) -> None:
        """Have nothing to close."""
