"""Bounded worker threads for calls that block, and an account of those that do not come back.

A thread in a blocking call cannot be cancelled. So a `Call` outlives whoever awaited it, and says
when its thread has truly returned. Threads are daemons: a stuck one never holds up the end of the
process.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Call(Generic[T]):
    """One blocking call: waiting for a thread, in one, or returned.

    Attributes:
        step: Name of the call, such as "start".
        about: UUID of the domain concerned; empty when it is about none or many.
        asked_s: Monotonic time in seconds when it was asked for.
        began_s: The same, when a thread took it; none: it waits for one.
        future: Its outcome; set by the worker thread.
        stuck: Whether it has outlived its limit and not returned yet.
    """

    def __init__(self, step: str, about: str, work: Callable[[], T]) -> None:
        self.step = step
        self.about = about
        self.asked_s = time.monotonic()
        self.began_s: float | None = None
        self.future: Future[T] = Future()
        self.stuck = False
        self._work = work

    def run(self) -> None:
        """Do the work; for worker threads. Does nothing when the call was dropped meanwhile."""
        if not self.future.set_running_or_notify_cancel():
            return
        self.began_s = time.monotonic()
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - the awaiting side gets it, whatever it is
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    async def wait(self) -> None:
        """Wait until the thread has returned; cancelling the wait leaves the call alone."""
        if self.future.done():
            return
        loop = asyncio.get_running_loop()
        returned = asyncio.Event()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(returned.set)

        self.future.add_done_callback(tell)
        await returned.wait()


class Lane:
    """A queue with at most so many threads, each started when it is first needed.

    Attributes:
        moved_s: Monotonic time in seconds when a thread was last free for the next call.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most = threads
        self._queue: queue.SimpleQueue[Call[object] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0
        self._closed = False
        self.moved_s = 0.0

    @property
    def most(self) -> int:
        """Number of threads at most."""
        return self._most

    @property
    def waiting(self) -> int:
        """Number of calls no thread has taken yet."""
        return self._queue.qsize()

    def submit(self, call: Call[T]) -> None:
        """Hand a call over; it runs in the order of arrival, as soon as a thread is free.

        Raises:
            RuntimeError: The lane is closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError(f"lane {self._name} is closed")
            if self._idle > 0:
                self._idle -= 1
            elif self._started < self._most:
                self._started += 1
                threading.Thread(
                    target=self._work, name=f"{self._name}-{self._started}", daemon=True
                ).start()
            # Under the lock, so that the end marks of `close` come after every call.
            self._queue.put(call)  # type: ignore[arg-type]  # only the outcome's type is lost

    def seconds_left(self, call: Call[T], limit_s: float) -> float:
        """Say how long a call may still take that has so many seconds from when a thread takes it.

        While it waits, it has them anew each time a thread takes another one: a long queue that
        moves is no hypervisor that does not answer.
        """
        since_s = max(call.asked_s, self.moved_s) if call.began_s is None else call.began_s
        return since_s + limit_s - time.monotonic()

    def close(self) -> None:
        """Let the threads end after what is queued; those stuck are left behind."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in range(self._started):
                    self._queue.put(None)

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            call.run()
            del call  # else an idle thread would keep the last answer alive
            self.moved_s = time.monotonic()
            with self._lock:
                self._idle += 1
