"""A guest's serial console as bytes in both directions, over a libvirt stream.

The stream is served on libvirt's event thread; what comes is handed to the loop, what goes waits until
the stream takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque

import libvirt

from components.hypervisor.errors import HypervisorError

PIECE = 2**16
MOST_WAITING = 2**20
"""Most bytes that wait for the one who reads; beyond, the guest's oldest output is dropped."""
_READ = libvirt.VIR_STREAM_EVENT_READABLE
_WRITE = libvirt.VIR_STREAM_EVENT_WRITABLE
_BROKEN = libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
_WOULD_BLOCK = -2


def open_stream(connection: libvirt.virConnect, uuid: str) -> libvirt.virStream:
    """Open the console of a running domain; blocks."""
    stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    connection.lookupByUUIDString(uuid).openConsole(None, stream, 0)
    return stream


class LibvirtConsole:
    """The console of one guest; see `protocol.Console`."""

    def __init__(self, stream: libvirt.virStream) -> None:
        """Serve an open stream from now on, for the loop this runs on."""
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._came: deque[bytes] = deque()
        self._waiting = 0
        self._goes = bytearray()
        self._lock = threading.Lock()
        self._over = False
        stream.eventAddCallback(_READ | _BROKEN, self._on_event, None)

    # -- on libvirt's event thread

    def _on_event(self, stream: libvirt.virStream, events: int, _opaque: object) -> None:
        ended = bool(events & _BROKEN)
        with contextlib.suppress(libvirt.libvirtError):
            if events & _READ:
                ended = self._receive(stream) or ended
            if events & _WRITE:
                self._send(stream)
        if ended:
            with contextlib.suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            self._tell(b"")

    def _receive(self, stream: libvirt.virStream) -> bool:
        """Take what has come; say whether that was the end."""
        try:
            data = stream.recv(PIECE)
        except libvirt.libvirtError:
            return True
        if data == _WOULD_BLOCK:
            return False
        if isinstance(data, bytes) and data:
            self._tell(data)
            return False
        return True

    def _send(self, stream: libvirt.virStream) -> None:
        with self._lock:
            while self._goes:
                count = stream.send(bytes(self._goes[:PIECE]))
                if count <= 0:
                    return
                del self._goes[:count]
            stream.eventUpdateCallback(_READ | _BROKEN)

    def _tell(self, data: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(self._take, data)

    # -- on the loop

    def _take(self, data: bytes) -> None:
        self._over = self._over or not data
        if data:
            self._came.append(data)
            self._waiting += len(data)
        while self._waiting > MOST_WAITING:
            self._waiting -= len(self._came.popleft())
        self._news.set()

    async def read(self) -> bytes:
        """Wait for what the guest shows; nothing once the console is gone."""
        while not self._came and not self._over:
            self._news.clear()
            await self._news.wait()
        data = b"".join(self._came)
        self._came.clear()
        self._waiting = 0
        return data

    async def write(self, data: bytes) -> None:
        """Type into the console; it goes as the guest takes it."""
        if self._over:
            raise HypervisorError("Refused", "the console is closed", step="console")
        await self._loop.run_in_executor(None, self._queue, data)

    def _queue(self, data: bytes) -> None:
        with self._lock:
            if len(self._goes) + len(data) > MOST_WAITING:
                raise HypervisorError(
                    "Refused", "the guest does not take what is typed", step="console"
                )
            self._goes += data
        self._stream.eventUpdateCallback(_READ | _WRITE | _BROKEN)

    async def close(self) -> None:
        """Let go of it. Harmless twice."""
        self._take(b"")
        stream, self._stream = self._stream, None
        if stream is not None:
            await self._loop.run_in_executor(None, _let_go, stream)


def _let_go(stream: libvirt.virStream) -> None:
    for act in (stream.eventRemoveCallback, stream.abort):
        with contextlib.suppress(libvirt.libvirtError):
            act()
