"""A line to an ensemble: kazoo's client, its threads and sockets, and what it only says in its log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, LockTimeout
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.loggingsupport import BLATHER
from kazoo.retry import KazooRetry
from msgspec import Struct
from typing_extensions import override

from components.coordination.protocol import SessionLost
from engine.core.faults import Unreachable


class Pass(Struct, frozen=True):
    """What takes a session up again after a restart of our process, while it still lives."""

    id: int
    password: bytes


class Line(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """kazoo's threads and sockets; a line that was cut stays cut, and its session is left alone."""

    def __init__(self) -> None:
        super().__init__()
        self._cut = False
        self._sockets: list[Any] = []

    @override
    def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        if self._cut:
            raise ConnectionError("the line was cut")
        made = super().create_connection(*args, **kwargs)
        self._sockets = [each for each in self._sockets if each.fileno() >= 0] + [made]
        return made

    def cut(self) -> None:
        """Let nothing pass any more, so that stopping does not close the session over there."""
        self._cut = True
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Agreed(logging.Handler):
    """Finds the length of the session that the server agreed to: kazoo only logs it."""

    def __init__(self) -> None:
        super().__init__(BLATHER)
        self.length_s = 0.0
        self.logger = logging.Logger("kazoo.session", BLATHER)  # noqa: LOG001 - of this client only
        self.logger.addHandler(self)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("Session created") and isinstance(record.args, tuple):
            milliseconds = record.args[2]
            if isinstance(milliseconds, int):
                self.length_s = milliseconds / 1000


async def connected(
    hosts: Sequence[str], length_s: float, ticket: Pass | None, within_s: float
) -> tuple[KazooClient, Line, float]:
    """Connect a client; return it, its line, and the length of the session the server agreed to.

    Raises:
        Unreachable: No server answers.
        SessionLost: The session to take up is over.
    """
    line, agreed = Line(), _Agreed()
    client = KazooClient(
        ",".join(hosts), timeout=length_s, handler=line, logger=agreed.logger,
        client_id=None if ticket is None else (ticket.id, ticket.password),
        connection_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=1.5, max_delay=1.0),
    )  # fmt: skip
    try:
        await in_thread(client.start, within_s)
    except KazooTimeoutError as error:
        await in_thread(stop, client, line)
        text = f"no ZooKeeper server answers at {', '.join(hosts)} within {within_s:g} s"
        raise Unreachable(text, code="SF-COORD-001") from error
    except asyncio.CancelledError:
        await asyncio.shield(in_thread(stop, client, line))
        raise
    if ticket is not None and client.client_id[0] != ticket.id:
        await in_thread(stop, client, None)
        raise SessionLost("the session is over", code="SF-COORD-002")
    if not agreed.length_s:
        await in_thread(stop, client, None)
        raise SessionLost("the length of the session is not known", code="SF-COORD-002")
    return client, line, agreed.length_s


def acquire(lock: Any, wait_s: float | None) -> bool:
    """Acquire one of kazoo's locks; blocks for as long as is to be waited."""
    try:
        if wait_s == 0:
            return bool(lock.acquire(blocking=False))
        return bool(lock.acquire(timeout=wait_s))
    except LockTimeout:
        return False


def stop(client: KazooClient, line: Line | None) -> None:
    """End a client; with its line its session is left to itself over there."""
    if line is not None:
        line.cut()
    with contextlib.suppress(KazooException, OSError):
        client.stop()
    client.close()


async def in_thread(function: Callable[..., Any], *data: object) -> Any:
    """Run a function that blocks in a thread of its own: it may wait for as long as it likes."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(error: BaseException | None, value: object) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def run() -> None:
        error: BaseException | None = None
        value: object = None
        try:
            value = function(*data)
        except Exception as caught:  # noqa: BLE001 - handed over to whoever waits
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error, value)

    threading.Thread(target=run, name="zookeeper", daemon=True).start()
    return await future
