"""The line to one hypervisor: its threads, time limits, keep-alive, reconnecting and events.

What is asked over it is `connection`'s business, and which threads it runs on that of `lanes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import traceback
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import libvirt

from components.hypervisor import eventloop
from components.hypervisor.errors import HypervisorError, Kind, from_libvirt
from components.hypervisor.events import Subscription, notice, register
from components.hypervisor.lanes import Call, Lane
from components.hypervisor.limits import Limits
from components.hypervisor.protocol import DomainEvent, EventKind, Link

T = TypeVar("T")
Opener = Callable[[str], libvirt.virConnect]

log = logging.getLogger(__name__)

_KEEPALIVE_EVERY_S, _KEEPALIVE_MISSES = 5, 3
_ASK_AGAIN = 3


class Line:
    """One libvirt connection, kept open.

    All state is the loop's it was made on; worker threads and libvirt's event thread only hand
    things over to it.

    Attributes:
        names: Names of domains and networks by UUID, for messages.
    """

    def __init__(self, uri: str, limits: Limits, opener: Opener) -> None:
        self.names: dict[str, str] = {}
        self._uri = uri
        self._limits = limits
        self._opener = opener
        self._loop = asyncio.get_running_loop()
        self._ordinary = Lane("hypervisor", limits.threads)
        self._urgent = Lane("hypervisor-urgent", limits.reserved)
        self._links = Lane("hypervisor-link", 2)  # opening and closing; may hang on a dead peer
        self._connection: libvirt.virConnect | None = None
        self._callbacks: list[int] = []
        self._closed = False
        self._calls: dict[Call[Any], asyncio.Future[Any]] = {}  # each has its own kind of answer
        self._changing: dict[str, int] = {}
        self._changed_s: dict[str, float] = {}
        self._stuck = 0
        self._readers: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._readers_of: dict[str, weakref.WeakSet[Subscription]] = {}
        self._reconnecting: asyncio.Task[None] | None = None

    async def open(self) -> str:
        """Connect for the first time, and give the driver's name.

        Raises:
            HypervisorError: It failed; the line is closed.
        """
        try:
            return await self._connect()
        except BaseException:
            self._close_lanes()
            self._closed = True
            raise

    @property
    def uri(self) -> str:
        """Address it leads to."""
        return self._uri

    @property
    def state(self) -> Link:
        """How the connection stands now."""
        if self._closed:
            return Link.CLOSED
        if self._connection is None or self._overloaded:
            return Link.DEGRADED
        return Link.CONNECTED

    @property
    def stuck(self) -> int:
        """Number of calls that have outlived their limit and not returned."""
        return self._stuck

    @property
    def _overloaded(self) -> bool:
        return self.stuck >= self._limits.stuck

    def threads(self) -> dict[str, int]:
        """Count threads at most and at work, calls that wait for one, and calls given up."""
        lanes = (self._ordinary, self._urgent, self._links)
        waiting = sum(lane.waiting for lane in lanes)
        busy = max(0, len(self._calls) - waiting)
        size = sum(lane.most for lane in lanes)
        return {"size": size, "busy": busy, "waiting": waiting, "left": self.stuck}

    def subscribe(self, uuid: str = "") -> Subscription:
        """Subscribe to events; an unread subscription that is forgotten ends by itself.

        Args:
            uuid: Only those of this domain, and those about the connection itself; empty: all.
        """
        readers = self._readers
        if uuid:
            readers = self._readers_of.setdefault(uuid, weakref.WeakSet())
        reader = Subscription(self._limits.events, on_end=lambda: self._unsubscribe(uuid))
        if self._closed:
            reader.end()
        readers.add(reader)
        return reader

    def _unsubscribe(self, uuid: str) -> None:
        readers = self._readers_of.get(uuid)
        if readers is not None and all(reader.ended for reader in readers):
            del self._readers_of[uuid]

    def _readers_told(self, uuid: str) -> list[Subscription]:
        """Return who is told of something about a domain; of the connection itself, everybody."""
        if uuid:
            return [*self._readers, *self._readers_of.get(uuid, ())]
        return [*self._readers, *(each for some in self._readers_of.values() for each in some)]

    def pending(self, uuid: str | None = None) -> Sequence[Call[object]]:
        """List calls whose threads have not returned, oldest first."""
        wanted = (call for call in self._calls if uuid is None or call.about == uuid)
        return sorted(wanted, key=lambda call: call.asked_s)

    async def close(self) -> None:
        """Close the connection and end all subscriptions; stuck threads are left behind."""
        if self._closed:
            return
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.wait([self._reconnecting])
        connection, self._connection = self._connection, None
        for reader in self._readers_told(""):
            reader.end()
        if connection is not None:
            callbacks = self._callbacks
            call = Call("close", "", lambda: _disconnect(connection, callbacks))
            self._links.submit(call)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.read_s):
                    await call.wait()
        self._close_lanes()

    def _close_lanes(self) -> None:
        for lane in (self._ordinary, self._urgent, self._links):
            lane.close()

    # -- calls ------------------------------------------------------------------------------------

    def take_new_work(self, step: str, uuid: str = "") -> None:
        """Refuse work that could wait when too many calls are stuck.

        Raises:
            HypervisorError: `Unreachable`.
        """
        if self._overloaded:
            raise HypervisorError(
                "Unreachable",
                f"{self.stuck} calls are stuck on {self._uri}: no new work is taken",
                step=step,
                name=self.names.get(uuid, uuid),
                hint="find out what the hypervisor waits for; its threads free themselves after",
            )

    async def look(
        self,
        step: str,
        uuid: str,
        work: Callable[[libvirt.virConnect], T],
        *,
        urgent: bool = False,
        name: str = "",
    ) -> T:
        """Do what only looks, in a thread.

        Args:
            step: Name of the call, for messages.
            uuid: What it is about; empty when about nothing or many.
            work: What is done with the connection.
            urgent: Take the reserved threads.
            name: Of what it is about, where the UUID is not known yet.

        Raises:
            HypervisorError: It failed, or took longer than `Limits.read_s`.
        """
        lane = self._urgent if urgent else self._ordinary
        return await self._call(step, uuid, work, self._limits.read_s, lane, name)

    async def change(
        self,
        step: str,
        uuid: str,
        work: Callable[[libvirt.virConnect], T],
        *,
        urgent: bool = False,
        name: str = "",
        limit_s: float | None = None,
    ) -> T:
        """Do what changes something, in a thread; as `look`, within `Limits.change_s` or `limit_s`."""
        lane = self._urgent if urgent else self._ordinary
        self._changing[uuid] = self._changing.get(uuid, 0) + 1
        try:
            return await self._call(step, uuid, work, limit_s or self._limits.change_s, lane, name)
        finally:
            left = self._changing.pop(uuid) - 1
            if left:
                self._changing[uuid] = left
            self._changed_s.pop(uuid, None)
            self._changed_s[uuid] = self._loop.time()  # last in order
            while len(self._changed_s) > _REMEMBERED:
                del self._changed_s[next(iter(self._changed_s))]

    def changed_s(self, uuid: str) -> float:
        """Return when something was last being changed about a domain; see `Hypervisor.changed_s`."""
        return (
            self._loop.time() if self._changing.get(uuid) else self._changed_s.get(uuid, -math.inf)
        )

    async def _call(
        self,
        step: str,
        uuid: str,
        work: Callable[[libvirt.virConnect], T],
        limit_s: float,
        lane: Lane,
        name: str,
    ) -> T:
        connection = self._connection
        subject = name or self.names.get(uuid, uuid)
        if connection is None:
            raise HypervisorError(
                "Unreachable",
                f"{'closed' if self._closed else 'no connection to'} {self._uri}",
                step=step,
                name=subject,
                hint="" if self._closed else "reconnecting goes on by itself",
            )

        def in_thread() -> T:
            try:
                return _certain_of_errors(work, connection)
            except libvirt.libvirtError as error:
                mapped = from_libvirt(error, step=step, name=subject)
                # Domain objects must go now, in good order: see `_certain_of_errors`.
                traceback.clear_frames(error.__traceback__)
                raise mapped from error
            except HypervisorError as error:
                error.name = error.name or subject
                raise

        call = Call(step, uuid, in_thread)
        try:
            return await self._finish(call, lane, limit_s, subject)
        except HypervisorError as error:
            if error.kind == "Unreachable":
                self._lost(connection, error.message)
            raise

    async def _finish(self, call: Call[T], lane: Lane, limit_s: float, subject: str) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()
        self._calls[call] = answer
        call.future.add_done_callback(lambda _: self._post(self._returned, call, answer))

        clock: asyncio.TimerHandle

        def look_at_clock() -> None:
            nonlocal clock
            left_s = lane.seconds_left(call, limit_s)
            if left_s > 0:
                clock = self._loop.call_later(left_s, look_at_clock)
            else:
                _give_up(answer, "Timeout")

        lane.submit(call)
        clock = self._loop.call_later(limit_s, look_at_clock)
        try:
            return await answer
        except asyncio.CancelledError:
            call.future.cancel()  # nobody wants it any more; no use once a thread has it
            raise
        except _GivenUpError as given_up:
            message = self._leave(call, given_up.kind, limit_s, subject)
            raise HypervisorError(
                given_up.kind,
                message,
                step=call.step,
                name=subject,
                hint="it may still take effect: wait for the pending call, then look",
            ) from None
        finally:
            clock.cancel()

    def _leave(self, call: Call[T], kind: Kind, limit_s: float, subject: str) -> str:
        """Wait no longer for a call, and say why."""
        if call.future.cancel():
            if kind == "Unreachable":
                return f"no connection to {self._uri} any more"
            return f"hypervisor busy: no thread was free within {limit_s:g} s"
        if not call.future.done():
            call.stuck = True
            self._stuck += 1
        log.warning(
            "hypervisor call stuck",
            extra={"step": call.step, "subject": subject, "stuck": self.stuck},
        )
        return f"hypervisor call stuck: {call.step} {subject}".rstrip()

    def _post(self, function: Callable[..., None], *data: object) -> None:
        """Hand something over to the loop, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants it
            self._loop.call_soon_threadsafe(function, *data)

    def _returned(self, call: Call[T], answer: asyncio.Future[T]) -> None:
        self._stuck -= call.stuck
        call.stuck = False
        self._calls.pop(call, None)
        if answer.done() or call.future.cancelled():
            return
        error = call.future.exception()
        if error is None:
            answer.set_result(call.future.result())
        else:
            answer.set_exception(error)

    # -- the link ---------------------------------------------------------------------------------

    async def _connect(self) -> str:
        """Open, or raise; gives the driver's name."""
        call = Call("open", "", self._open_in_thread)
        self._links.submit(call)
        try:
            async with asyncio.timeout(self._limits.open_s):
                opened = await asyncio.shield(asyncio.wrap_future(call.future))
        except BaseException as error:
            call.future.add_done_callback(_discard)  # should it come after all, nobody wants it
            if isinstance(error, TimeoutError):
                message = f"{self._uri} did not answer within {self._limits.open_s:g} s"
                raise HypervisorError("Timeout", message, step="open") from None
            raise
        self._connection, self._callbacks, driver = opened
        return driver

    def _open_in_thread(self) -> tuple[libvirt.virConnect, list[int], str]:
        eventloop.ensure_running()
        try:
            connection = self._opener(self._uri)
            try:
                return self._equip(connection)
            except BaseException:
                connection.close()
                raise
        except libvirt.libvirtError as error:
            raise from_libvirt(error, step="open", name=self._uri) from error

    def _equip(self, connection: libvirt.virConnect) -> tuple[libvirt.virConnect, list[int], str]:
        with contextlib.suppress(
            libvirt.libvirtError
        ):  # in-process drivers have none, and need none
            connection.setKeepAlive(_KEEPALIVE_EVERY_S, _KEEPALIVE_MISSES)
        connection.registerCloseCallback(self._on_close, None)
        callbacks = register(connection, lambda event: self._post(self._publish, event))
        return connection, callbacks, connection.getType()

    def _on_close(self, connection: libvirt.virConnect, reason: int, _opaque: object) -> None:
        words = ("error", "end of file", "keep-alive", "client")
        why = words[reason] if 0 <= reason < len(words) else f"code {reason}"
        self._post(self._lost, connection, f"connection closed: {why}")

    def _publish(self, event: DomainEvent) -> None:
        for reader in self._readers_told(event.uuid):
            reader.put(event)

    def _lost(self, connection: libvirt.virConnect, why: str) -> None:
        """Give a connection up and begin to reconnect; once for each connection."""
        if self._closed or connection is not self._connection:
            return
        log.warning("hypervisor lost", extra={"uri": self._uri, "why": why})
        callbacks = self._callbacks
        self._connection, self._callbacks = None, []
        for answer in self._calls.values():  # they may have been forgotten: soon is the end of it
            self._loop.call_later(self._limits.lost_s, _give_up, answer, "Unreachable")
        self._links.submit(Call("close", "", lambda: _disconnect(connection, callbacks)))
        self._publish(notice(EventKind.LOST, why))
        self._reconnecting = self._loop.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        pauses = iter(self._limits.reconnect_s)
        pause_s = 0.0
        while True:
            pause_s = next(pauses, pause_s)
            await asyncio.sleep(pause_s)
            try:
                await self._connect()
            except HypervisorError as error:
                log.info("hypervisor still lost", extra={"uri": self._uri, "why": error.message})
            else:
                self._publish(notice(EventKind.MISSED, "connected again"))
                return


_REMEMBERED = 10_000
"""Domains of which it is known when they were last changed."""


def _certain_of_errors(
    work: Callable[[libvirt.virConnect], T], connection: libvirt.virConnect
) -> T:
    """Do the work, and again if libvirt fails without saying why; in a worker thread.

    libvirt keeps its last error per thread, and freeing any of its objects wipes it. When Python's
    garbage collector frees one between a failure and the reading of its error, the reason is lost.
    All operations are idempotent, so asking again is the way to know.
    """
    for _ in range(_ASK_AGAIN):
        try:
            return work(connection)
        except libvirt.libvirtError as error:
            if error.get_error_code() is not None:
                raise
    return work(connection)


class _GivenUpError(Exception):
    """A call has had its time."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind: Kind = kind


def _give_up(answer: asyncio.Future[T], kind: Kind) -> None:
    if not answer.done():
        answer.set_exception(_GivenUpError(kind))


def _discard(future: Future[tuple[libvirt.virConnect, list[int], str]]) -> None:
    if not future.cancelled() and future.exception() is None:
        connection, callbacks, _ = future.result()
        _disconnect(connection, callbacks)


def _disconnect(connection: libvirt.virConnect, callbacks: Sequence[int]) -> None:
    for number in callbacks:
        with contextlib.suppress(libvirt.libvirtError):
            connection.domainEventDeregisterAny(number)
    with contextlib.suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    with contextlib.suppress(libvirt.libvirtError):
        connection.close()
