"""`HttpServer`: the files of one folder over HTTP, to be read and nothing else."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import mimetypes
import os
import re
import socket
import stat
import threading
import urllib.parse
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, Self

import msgspec
from typing_extensions import override

from components.files.kinds import path_
from engine.core.faults import BadDescription, Refused
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, output
from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.kinds import BadValueError, Kind, int_, shown
from sfdl.values import Value

PIECE = 2**18
SILENCE_S = 30.0
MOST_AT_ONCE = 64


def span(header: str, size: int) -> tuple[int, int] | None:
    """Read a `Range` header of one part; return its first byte and the one after its last.

    Returns:
        Nothing where it does not ask for one part in bytes: the whole file is the answer then.

    Raises:
        ValueError: The file has no such part.

    Example:
        >>> span("bytes=2-", 10), span("bytes=-3", 10), span("bytes=0-99", 10)
        ((2, 10), (7, 10), (0, 10))
        >>> span("bytes=0-1,4-5", 10) is None
        True
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if first >= end:
        raise ValueError(header)
    return first, end


def opened(root: int, target: str) -> BinaryIO | None:
    """Open a plain file below a folder for reading; nothing where there is none, or no way in.

    No step leads upwards and no symbolic link is followed, so nothing outside is ever reached.

    Args:
        root: The folder, as an open descriptor.
        target: What the request asks for.
    """
    path = urllib.parse.unquote(target.partition("?")[0].partition("#")[0], errors="strict")
    names = [name for name in path.split("/") if name]
    if not names or any(name in {".", ".."} or "\0" in name for name in names):
        return None
    at = os.dup(root)
    try:
        for name in names[:-1]:
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        found = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    except OSError:
        return None
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        return None
    return os.fdopen(found, "rb")


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD; all other methods are unknown to it."""

    protocol_version = "HTTP/1.1"
    server_version = "smartdomains"
    sys_version = ""
    timeout: ClassVar[float | None] = SILENCE_S

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; who wants to know reads the metrics of who asks."""

    def _root(self) -> int:
        if not isinstance(self.server, _Server):
            raise TypeError("serves files of a folder only")
        return self.server.root

    def _answer(self, *, body: bool) -> None:
        try:
            file = opened(self._root(), self.path)
        except UnicodeDecodeError:
            file = None
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self._send(file, body=body)

    def _send(self, file: BinaryIO, *, body: bool) -> None:
        found = os.fstat(file.fileno())
        size = found.st_size
        etag = f'"{found.st_ino:x}-{size:x}-{found.st_mtime_ns:x}"'
        changed = formatdate(found.st_mtime, usegmt=True)
        wanted = self.headers.get("Range", "")
        if self.headers.get("If-Range", etag) not in {etag, changed}:
            wanted = ""
        try:
            part = span(wanted, size)
        except ValueError:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, end = part or (0, size)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK)
        kind, _ = mimetypes.guess_type(self.path.partition("?")[0])
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(end - first))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", changed)
        if part:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
        self.end_headers()
        if body:
            self._copy(file, first, end)

    def _copy(self, file: BinaryIO, first: int, end: int) -> None:
        file.seek(first)
        while first < end and (piece := file.read(min(PIECE, end - first))):
            self.wfile.write(piece)
            first += len(piece)
        if first < end:
            self.close_connection = (
                True  # it became shorter: what is missing cannot be said otherwise
            )


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, root: str, bind: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        self.root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._open: set[socket.socket] = set()
        try:
            super().__init__((bind, port), _Handler)
        except BaseException:
            os.close(self.root)
            raise

    @override
    def server_bind(self) -> None:
        """Bind without asking any name server for our name, as the library would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_port = int(self.socket.getsockname()[1])
        self.server_name = str(self.socket.getsockname()[0])

    @override
    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        if not self._places.acquire(timeout=SILENCE_S):
            self.shutdown_request(request)
            return
        self._open.add(request)
        super().process_request(request, client_address)

    @override
    def process_request_thread(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._places.release()

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: somebody who goes away in the middle is no error of ours."""

    def end(self) -> None:
        """Serve no more, and cut the connections there are."""
        self.shutdown()
        self.server_close()
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        os.close(self.root)


class Servers:
    """The servers of one process, by the name of their component."""

    def __init__(self) -> None:
        """Serve nothing."""
        self._running: dict[str, tuple[_Server, threading.Thread]] = {}

    def open(self, name: str, root: str, bind: str, port: int) -> int:
        """Start to serve; return the port."""
        known = self.port(name)
        if known:
            return known
        server = _Server(root, bind, port)
        work = threading.Thread(
            target=server.serve_forever, args=(0.1,), name=f"http {name}", daemon=True
        )
        work.start()
        self._running[name] = (server, work)
        return int(server.server_port)

    def port(self, name: str) -> int:
        """Return the port of a server that runs, or 0."""
        found = self._running.get(name)
        return int(found[0].server_port) if found is not None and found[1].is_alive() else 0

    def end(self, name: str) -> None:
        """End a server; success if there is none."""
        found = self._running.pop(name, None)
        if found is not None:
            found[0].end()
            found[1].join(SILENCE_S)

    async def close(self) -> None:
        """End all."""
        for name in list(self._running):
            self.end(name)


class Serving(Effect, frozen=True):
    """A server of ours; it dies with our process."""

    survival: ClassVar[Literal["host", "process"]] = "process"

    name: str
    root: str
    bind: str
    port: int

    @override
    def label(self) -> str:
        return f"HTTP server for {self.root}"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS if at.service(Servers).port(self.name) else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        servers = at.service(Servers)
        try:
            port = await at.blocking(servers.open, self.name, self.root, self.bind, self.port)
        except OSError as error:
            raise Refused(
                f"{self.root} cannot be served at {self.bind} port {self.port}: {error.strerror}",
                code="SF-WEB-003",
            ) from error
        return msgspec.structs.replace(self, port=port)

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(at.service(Servers).end, self.name)


def _address(value: Value) -> str:
    try:
        return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        raise BadValueError(f"must be an IP address of this host (got {shown(value)})") from None


address_: Kind[str] = Kind("IP address", "String", _address)


class HttpServer(Prim, type="web.server"):
    """Serves the files of a folder, to be read: images, first-boot data.

    Parts can be asked for. Folders are not listed, links are not followed, and nothing outside the
    folder is reached.
    """

    root = attr(path_, doc="The folder.")
    bind = attr(address_, "127.0.0.1", doc='Address to listen at; "0.0.0.0" and "::" are all.')
    port = attr(int_, 0, ge=0, le=65535, doc="TCP port; 0: one that is free.")
    listens = output(int, doc="The port it listens at.")
    url = output(str, doc="Address of the folder.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep"}

    @property
    def _key(self) -> str:
        return f"{self.live.place}#{self.live.incarnation}"

    @override
    async def on_deploy(self) -> None:
        root = self.live.bound.get("root")
        if isinstance(root, str) and not Path(root).is_absolute():
            text = f"root: {root} must be an absolute path"
            raise BadDescription(text, where=self.path, code="SF-ATTR-001")

    @override
    async def on_start(self) -> None:
        await self._open(self.port)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        before = self.live.value("listens")
        await self._open(before if isinstance(before, int) else self.port)

    async def _open(self, port: int) -> None:
        if not Path(self.root).is_dir():
            raise Refused(f"there is no folder {self.root}", where=self.path, code="SF-FILE-002")
        made = await self.make(Serving(self._key, self.root, self.bind, port))
        self.listens = made.port
        self.live.process.keep_attribute(
            self.live, "listens", made.port
        )  # the same after a restart
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        self.url = f"http://{host}:{made.port}/"

    @override
    async def check(self) -> None:
        if not self.service(Servers).port(self._key):
            raise Unwell("it does not listen any more")
        if not Path(self.root).is_dir():
            raise Unwell(f"{self.root} is gone")
