"""From libvirt's event callbacks to `DomainEvent`s in bounded queues."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import libvirt

from components.hypervisor.protocol import DomainEvent, EventKind

Publish = Callable[[DomainEvent], None]
"""Takes an event on libvirt's event thread; must not block."""

# In the order of libvirt's enumerations, whose numbers never change.
_LIFECYCLE: tuple[tuple[EventKind, str], ...] = (
    (EventKind.DEFINED, "added updated renamed from-snapshot"),
    (EventKind.UNDEFINED, "removed renamed"),
    (EventKind.STARTED, "booted migrated restored from-snapshot wakeup"),
    (
        EventKind.SUSPENDED,
        (
            "paused migrated io-error watchdog restored from-snapshot api-error postcopy"
            " postcopy-failed"
        ),
    ),
    (EventKind.RESUMED, "unpaused migrated from-snapshot postcopy postcopy-failed"),
    (EventKind.STOPPED, "shutdown destroyed crashed migrated saved failed from-snapshot"),
    (EventKind.SHUTDOWN, "finished guest host"),
    (EventKind.PMSUSPENDED, "memory disk"),
    (EventKind.CRASHED, "panicked crashloaded"),
)

_WATCHDOG = "none pause reset poweroff shutdown debug inject-nmi"
_AGENT = "unknown connected disconnected"


def _word(words: str, number: int) -> str:
    known = words.split()
    return known[number] if 0 <= number < len(known) else f"code {number}"


def lifecycle_event(uuid: str, name: str, event: int, detail: int) -> DomainEvent | None:
    """Translate a life-cycle event; none for one this library version does not know."""
    if not 0 <= event < len(_LIFECYCLE):
        return None
    kind, words = _LIFECYCLE[event]
    return _event(uuid, name, kind, _word(words, detail))


def notice(kind: EventKind, detail: str) -> DomainEvent:
    """Make an event about the connection itself."""
    return _event("", "", kind, detail)


def _event(uuid: str, name: str, kind: EventKind, detail: str) -> DomainEvent:
    return DomainEvent(uuid=uuid, name=name, kind=kind, detail=detail, at_s=time.time())


def register(connection: libvirt.virConnect, publish: Publish) -> list[int]:
    """Ask a connection for all events we know; blocks for a few round trips.

    Args:
        connection: Open.
        publish: Called on libvirt's event thread.

    Returns:
        Numbers to deregister with. Kinds the driver does not offer are left out; without
        life-cycle events it would be no use, so that failure is raised.

    Raises:
        libvirt.libvirtError: Life-cycle events cannot be had.
    """

    def send(domain: libvirt.virDomain, kind: EventKind, detail: str) -> None:
        publish(_event(domain.UUIDString(), domain.name(), kind, detail))

    def lifecycle(
        _: object, domain: libvirt.virDomain, event: int, detail: int, _o: object
    ) -> None:
        happened = lifecycle_event(domain.UUIDString(), domain.name(), event, detail)
        if happened is not None:
            publish(happened)

    def reboot(_: object, domain: libvirt.virDomain, _o: object) -> None:
        send(domain, EventKind.REBOOTED, "guest")

    def watchdog(_: object, domain: libvirt.virDomain, action: int, _o: object) -> None:
        send(domain, EventKind.WATCHDOG, _word(_WATCHDOG, action))

    def io_error(
        _: object,
        domain: libvirt.virDomain,
        path: str,
        _device: str,
        _action: int,
        reason: str,
        _o: object,
    ) -> None:
        send(domain, EventKind.IO_ERROR, f"{reason or 'unknown'}: {path}")

    def agent(_: object, domain: libvirt.virDomain, state: int, _reason: int, _o: object) -> None:
        send(domain, EventKind.AGENT, _word(_AGENT, state))

    wanted: tuple[tuple[int, Callable[..., None]], ...] = (
        (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, reboot),
        (libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG, watchdog),
        (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, io_error),
        (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, agent),
    )
    numbers = [
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None
        )
    ]
    for identity, callback in wanted:
        try:
            numbers.append(connection.domainEventRegisterAny(None, identity, callback, None))
        except libvirt.libvirtError:
            continue
    return numbers


class Subscription:
    """One reader's bounded queue of events, to be used on one loop.

    When it is full the oldest event is dropped, and the reader gets one `MISSED` event first that
    says how many: it must look at its domains anew.
    """

    def __init__(self, limit: int, on_end: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._on_end = on_end
        self._events: deque[DomainEvent] = deque()
        self._dropped = 0
        self._closed = False
        self._wake = asyncio.Event()

    def put(self, event: DomainEvent) -> None:
        """Add an event; on the loop's thread. Ignored after closing."""
        if self._closed:
            return
        if len(self._events) >= self._limit:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._wake.set()

    def end(self) -> None:
        """Accept no more; the reader gets what is queued, then the end."""
        self._closed = True
        self._wake.set()
        self._on_end()

    @property
    def ended(self) -> bool:
        """Say whether it takes no more events."""
        return self._closed

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> DomainEvent:
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return notice(EventKind.MISSED, f"{dropped} events: this reader was too slow")
            if self._events:
                return self._events.popleft()
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()

    async def aclose(self) -> None:
        """Unsubscribe and drop what is queued."""
        self._events.clear()
        self._dropped = 0
        self.end()
