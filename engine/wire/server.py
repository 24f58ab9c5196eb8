"""The side of a process that others come to: who is let in, and how many.

The acceptor's thread only accepts. TLS and the greeting happen in the connection's own thread, within
`GREETING_S`; until they are over a connection is a stranger, and of those there are few: one more sends
the oldest away. Silent connections thus cost neither threads without end nor anybody's time.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import Pyro5.api
import Pyro5.errors
import Pyro5.server
import Pyro5.socketutil
import Pyro5.svr_threads
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from engine.core.events import Rejected
from engine.core.faults import Busy, EngineError, NotAllowed
from engine.security.contexts import Contexts
from engine.security.identity import ANYBODY, Caller, Role, caller_of
from engine.security.quotas import Bucket, Usage
from engine.wire.codec import encode
from engine.wire.messages import failed
from engine.wire.pyro import IDLE_S, OBJECT, THREADS, VERBS, configure

GREETING_S = 5.0
STRANGERS = 256
LINGER_S = 0.5
BACKLOG = 1024
"""Connections the kernel keeps for us until they are accepted: those it drops come back after 1 s."""
TOLD_A_SECOND, TOLD_AT_ONCE = 5.0, 50.0

log = logging.getLogger("sf.server")


class Quotas(Struct, frozen=True):
    """How much one certificate may ask for.

    Attributes:
        connections: At a time, for a client.
        peer_connections: At a time, for a daemon.
        requests_per_s: For a client; a daemon is never refused.
        burst: Requests that may come at once.
    """

    connections: int = 32
    peer_connections: int = 128
    requests_per_s: float = 200.0
    burst: float = 400.0


class Traffic(Struct, frozen=True):
    """What goes through the door.

    Attributes:
        members: Connections of those who were let in.
        strangers: Connections of those who have not said yet who they are.
        refused: Connections and requests refused so far.
    """

    members: int
    strangers: int
    refused: int


class Connection(Pyro5.socketutil.SocketConnection):  # type: ignore[misc] # Pyro5 has no types
    """One that has come: whatever it is to send has a time by which it must be here, all of it."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        """Take an accepted socket."""
        super().__init__(sock)
        self.address = address
        self.caller: Caller | None = None
        self.until_s: float | None = time.monotonic() + GREETING_S
        self.believed: object = None
        self.busy = False

    @override
    def recv(self, size: int) -> bytes:
        """Receive exactly that many bytes."""
        until_s = self.until_s or time.monotonic() + IDLE_S
        data = bytearray()
        try:
            while len(data) < size:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    raise Pyro5.errors.TimeoutError("receiving: timeout")
                self.sock.settimeout(left_s)
                chunk = self.sock.recv(min(size - len(data), 65536))
                if not chunk:
                    raise Pyro5.errors.ConnectionClosedError("receiving: closed")
                data += chunk
            self.sock.settimeout(IDLE_S)
        except TimeoutError as error:
            raise Pyro5.errors.TimeoutError("receiving: timeout") from error
        except OSError as error:
            raise Pyro5.errors.ConnectionClosedError(f"receiving: {error}") from error
        return bytes(data)

    def hang_up(self) -> None:
        """End the connection from another thread: whoever waits for it wakes up."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def linger(self) -> None:
        """Let the other side read why it was refused before the connection goes away."""
        with contextlib.suppress(OSError, ValueError):
            socket.socket.shutdown(self.sock, socket.SHUT_WR)
            raw = socket.socket(fileno=socket.dup(self.sock.fileno()))
            with raw:
                end = time.monotonic() + LINGER_S
                while (left_s := end - time.monotonic()) > 0:
                    raw.settimeout(left_s)
                    if not raw.recv(65536):
                        break


class Door:
    """Decides who is let in, and tells of those who were not."""

    def __init__(
        self, contexts: Contexts | None, quotas: Quotas, tell: Callable[[Rejected], None]
    ) -> None:
        """Take the TLS contexts, or nothing to let in anybody; `tell` may come from any thread."""
        self._contexts = contexts
        self._quotas = quotas
        self._tell = tell
        self._lock = threading.Lock()
        self._strangers: dict[Connection, None] = {}
        self._members: dict[Connection, None] = {}
        self._usage = Usage(rate=quotas.requests_per_s, burst=quotas.burst)
        self._telling = Bucket(TOLD_A_SECOND, TOLD_AT_ONCE, time.monotonic())
        self._untold = self._refused = 0
        self._trouble = ""
        self._own_serial = contexts.own.serial if contexts is not None else ""

    # -- coming

    def arrived(self, connection: Connection) -> None:
        """Take in a connection just accepted; the oldest stranger goes if there are too many."""
        with self._lock:
            oldest = next(iter(self._strangers)) if len(self._strangers) >= STRANGERS else None
            if oldest is not None:
                del self._strangers[oldest]
            self._strangers[connection] = None
        if oldest is not None:
            oldest.hang_up()
            self.refused(oldest, "was silent while others waited")

    def secure(self, connection: Connection) -> bool:
        """Turn a connection into TLS and see who it is; say whether that went well."""
        if self._contexts is None:
            connection.caller = ANYBODY
            return True
        connection.believed = self._contexts.believed()
        try:
            connection.sock.settimeout(GREETING_S)
            connection.sock = self._contexts.server().wrap_socket(
                connection.sock, server_side=True, do_handshake_on_connect=False
            )
            connection.sock.settimeout(GREETING_S)
            connection.sock.do_handshake()
            connection.caller = self._known(connection)
        except (OSError, ValueError, NotAllowed) as error:
            text = error.fault.message if isinstance(error, NotAllowed) else _reason(error)
            self.refused(connection, text)
            connection.linger()
            return False
        return True

    def _known(self, connection: Connection) -> Caller:
        """Return who shows its certificate; our own is shown by processes of this very daemon."""
        caller = caller_of(connection.sock.getpeercert(), connection.address)
        if caller.serial == self._own_serial:
            return replace(caller, roles=caller.roles | {Role.ADMIN})
        return caller

    def enter(self, connection: Connection) -> None:
        """Let somebody in.

        Raises:
            Busy: It has as many connections as its certificate may.
        """
        caller = connection.caller or ANYBODY
        most = self._quotas.peer_connections if caller.peer else self._quotas.connections
        if caller.serial == self._own_serial:
            most = THREADS
        if caller.private and not self._usage.enter(caller.serial, most):
            connection.caller = None
            text = f"{caller.name} has {most} connections, more are not allowed"
            self.refused(connection, text, caller.name)
            raise Busy(text, code="SF-SEC-007", hint="close some, or try again later")
        with self._lock:
            self._strangers.pop(connection, None)
            self._members[connection] = None
        connection.until_s = None

    def left(self, connection: Connection) -> None:
        """Take in that a connection is over."""
        with self._lock:
            self._strangers.pop(connection, None)
            member = connection in self._members
            self._members.pop(connection, None)
        if member and connection.caller is not None and connection.caller.private:
            self._usage.leave(connection.caller.serial)

    # -- being here

    def ask(self, caller: Caller) -> None:
        """Count one request.

        Raises:
            Busy: The certificate has made too many lately.
        """
        if caller.private and not caller.peer and not self._usage.ask(
            caller.serial, time.monotonic()
        ):  # fmt: skip
            rate = self._quotas.requests_per_s
            raise Busy(
                f"{caller.name} asks too often: {rate:g} requests a second are allowed",
                code="SF-SEC-008", hint="try again in a second",
            )  # fmt: skip

    def believes(self, connection: Connection) -> bool:
        """Say whether a connection was let in under what is believed now."""
        return self._contexts is None or connection.believed == self._contexts.believed()

    def sweep(self) -> None:
        """Send away whom we waited for too long, and who was let in before a list changed."""
        trouble = self._contexts.trouble if self._contexts is not None else ""
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                log.warning("changed certificates or lists are not in use: %s", trouble)
        now_s = time.monotonic()
        with self._lock:
            late = [each for each in self._strangers if now_s > (each.until_s or now_s) + 1.0]
            stale = [each for each in self._members if not each.busy and not self.believes(each)]
        for connection in (*late, *stale):
            connection.hang_up()

    def refused(self, connection: Connection, text: str, name: str = "") -> None:
        """Tell that somebody was refused; many at once are counted only."""
        with self._lock:
            self._refused += 1
            if not self._telling.take(time.monotonic()):
                self._untold += 1
                return
            more, self._untold = self._untold, 0
        rest = f" ({more} more were refused meanwhile)" if more else ""
        self._tell(Rejected(name, connection.address, f"{text}{rest}"))

    def traffic(self) -> Traffic:
        """Count who is here; may be asked from any thread."""
        with self._lock:
            return Traffic(len(self._members), len(self._strangers), self._refused)


def _reason(error: Exception) -> str:
    """Say in words why TLS did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        words = (error.reason or str(error)).lower().replace("_", " ")
        return {
            "peer did not return a certificate": "no certificate was shown",
            "http request": "speaks HTTP, not TLS", "wrong version number": "does not speak TLS",
            "unexpected eof while reading": "went away before it said who it is",
        }.get(words, f"no TLS: {words}")  # fmt: skip
    if isinstance(error, TimeoutError):
        return f"was silent for {GREETING_S:g} s"
    return "went away before it said who it is"


class _Interface:
    """What Pyro's own object offers: only what a greeting needs."""

    def __init__(self, daemon: object) -> None:
        del daemon

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def get_metadata(self, object_id: str) -> dict[str, list[str]]:
        """Say which methods the one object has."""
        if object_id != OBJECT:
            raise Pyro5.errors.DaemonError("unknown object")
        return {"methods": list(VERBS), "oneway": [], "attrs": []}


class _Daemon(Pyro5.server.Daemon):  # type: ignore[misc] # Pyro5 has no types
    """Pyro's daemon with our door."""

    def __init__(self, host: str, port: int, door: Door) -> None:
        self.door = door
        super().__init__(host=host, port=port, interface=_Interface)
        self.transportServer.pool.door = door

    @override
    def _handshake(self, conn: Connection, denied_reason: str | None = None) -> bool:
        well = False
        try:
            well = self.door.secure(conn) and bool(super()._handshake(conn, denied_reason))
        finally:
            if not well:
                conn.linger()
                self.door.left(conn)
        return well

    @override
    def validateHandshake(self, conn: Connection, data: object) -> str:
        """Let the caller in, or raise what it is told."""
        del data
        try:
            self.door.enter(conn)
        except EngineError as error:
            raise Pyro5.errors.SecurityError(
                f"{error.fault.kind.value}: {error.fault.message}"
            ) from None
        return "welcome"

    @override
    def handleRequest(self, conn: Connection) -> None:
        """Serve one message of somebody who is still believed."""
        if not self.door.believes(conn):
            raise Pyro5.errors.ConnectionClosedError("let in under an earlier list")
        try:
            super().handleRequest(conn)
        finally:
            conn.busy = False

    @override
    def clientDisconnect(self, conn: Connection) -> None:
        """Take in that a connection is over."""
        self.door.left(conn)

    @override
    def housekeeping(self) -> None:
        """Look after connections every few seconds."""
        self.door.sweep()


class _Pool(Pyro5.svr_threads.Pool):  # type: ignore[misc] # Pyro5 has no types
    """One thread for each connection; never blocks the thread that accepts."""

    door: Door | None = None

    @override
    def process(self, job: Any) -> None:
        """Give a connection its thread, or hang up if there is none."""
        accepted = job.csock
        accepted.keep_open = True  # the socket lives on in ours
        host, port = accepted.sock.getpeername()[:2] if _connected(accepted.sock) else ("?", 0)
        connection = job.csock = Connection(accepted.sock, f"{host}:{port}")
        if self.door is None:
            connection.close()
            return
        self.door.arrived(connection)
        try:
            super().process(job)
        except (Pyro5.svr_threads.PoolError, RuntimeError) as error:
            self.door.refused(connection, f"no thread is free: {error}")
            self.door.left(connection)
            connection.close()


def _connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


Handle = Callable[[str, bytes, Caller], bytes]
"""What answers a message: verb, message and who asks."""


class _Node:
    """The one exposed object: five verbs, bytes in and out."""

    def __init__(self, handle: Handle, door: Door) -> None:
        self._handle = handle
        self._door = door

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def hello(self, message: bytes) -> bytes:
        return self._answer("hello", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def submit(self, message: bytes) -> bytes:
        return self._answer("submit", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def read(self, message: bytes) -> bytes:
        return self._answer("read", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def beat(self, message: bytes) -> bytes:
        return self._answer("beat", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def stream(self, message: bytes) -> bytes:
        return self._answer("stream", message)

    def _answer(self, verb: str, message: bytes) -> bytes:
        connection: Connection = Pyro5.api.current_context.client
        if connection.caller is None or not self._door.believes(connection):
            raise Pyro5.errors.ConnectionClosedError("let in under an earlier list")
        connection.busy = True
        try:
            self._door.ask(connection.caller)
        except EngineError as error:
            self._door.refused(connection, error.fault.message, connection.caller.name)
            return encode(failed(verb, error.fault))
        return self._handle(verb, message, connection.caller)


class NodeServer:
    """Listens for peers and clients; each connection has a thread, each message goes to `handle`."""

    def __init__(self, host: str, port: int, handle: Handle, door: Door) -> None:
        """Bind the port.

        Raises:
            OSError: The address is in use or not ours.
        """
        configure()
        Pyro5.svr_threads.Pool = _Pool
        self._daemon: Any = _Daemon(host, port, door)
        self._daemon.sock.listen(BACKLOG)
        self._daemon.register(_Node(handle, door), objectId=OBJECT)
        self.port: int = self._daemon.sock.getsockname()[1]
        self._thread = threading.Thread(target=self._daemon.requestLoop, name="node", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port; waits at most a few seconds."""
        self._daemon.shutdown()
        self._thread.join(timeout=5)
