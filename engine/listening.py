"""Where a daemon listens, with which certificate, and how it tells of those it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from engine.core.events import Rejected
from engine.core.faults import NotAllowed, Refused
from engine.runtime.process import Process
from engine.security import community
from engine.security.contexts import Contexts
from engine.security.identity import Expiry, read_expiry
from engine.settings import Settings
from engine.wire.channel import Security
from engine.wire.links import PyroLink
from engine.wire.server import Door, Handle, NodeServer, Quotas

log = logging.getLogger("sf.daemon")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Place(Struct, frozen=True):
    """Where a daemon listens, under which address others know it, and with which TLS, if any.

    Attributes:
        sentence: What that means, for people.
    """

    hosts: tuple[str, ...]
    address: str
    contexts: Contexts | None
    sentence: str

    def certificates(self) -> tuple[Expiry, ...]:
        """Return until when the certificates in use are good.

        Raises:
            NotAllowed: A file cannot be read any more.
        """
        if self.contexts is None:
            return ()
        files = self.contexts.files
        return read_expiry("daemon", files.cert), read_expiry("authority", files.ca)

    def facts(self) -> dict[str, str]:
        """Return what the report of the daemon says about it."""
        found = {"listens": ", ".join(self.hosts), "security": self.sentence}
        if self.contexts is not None:
            own, files = self.contexts.own, self.contexts.files
            found["certificate"] = f"{own.name}, for {', '.join(own.hosts)}, until {own.expires}"
            found["authority"] = str(files.ca)
            found["revocation_list"] = str(files.crl) if files.crl.exists() else "none"
        return found


def place_of(settings: Settings) -> Place:
    """Decide where a daemon listens, and find or make its certificate.

    Raises:
        NotAllowed: Its certificate cannot be used, or it would listen elsewhere without one.
        Refused: The local community cannot be made.
    """
    configured = any((settings.cert, settings.key, settings.ca))
    hosts = tuple(host.strip() for host in settings.bind.split(",") if host.strip())
    near = all(host in LOOPBACK or host.startswith("127.") for host in hosts)
    if settings.insecure:
        hosts = hosts or ("127.0.0.1",)
        return Place(hosts, _address(settings, hosts, ()), None, "without TLS, open to anybody")
    if configured:
        contexts = Contexts(community.given(settings.cert, settings.key, settings.ca, settings.crl))
        if contexts.own.kind != "daemon":
            raise NotAllowed(
                f"{settings.cert} is a client's certificate", code="SF-SEC-002",
                hint="issue one with: sfca issue daemon NAME --hosts ...",
            )  # fmt: skip
        address = _address(settings, hosts, contexts.own.hosts)
        return Place(hosts or (_everywhere(),), address, contexts, f"as {contexts.own.name}")
    if not near:
        raise NotAllowed(
            f"{settings.bind} is not loopback; without a certificate of its own a daemon listens on "
            "loopback only",
            code="SF-SEC-010",
            hint="give it one: --cert, --key and --ca (sfca issue daemon), or --insecure",
        )
    hosts = hosts or ("127.0.0.1",)
    folder = (
        Path(settings.community_dir) if settings.community_dir else community.folder_of(os.environ)
    )
    try:
        contexts = Contexts(community.for_daemon(folder, settings.port, hosts[0]))
    except OSError as error:
        raise Refused(
            f"the certificates of this machine cannot be made in {folder}: {error.strerror}",
            code="SF-SEC-011", hint="choose another folder with SMARTDOMAINS_COMMUNITY_DIR",
        ) from error  # fmt: skip
    return Place(hosts, _address(settings, hosts, ()), contexts, "loopback only, local community")


def _everywhere() -> str:
    """Return the address that means all of them, of both families where there are two."""
    if socket.has_dualstack_ipv6():
        return "::"
    return "0.0.0.0"  # noqa: S104 - meant so: everybody needs a certificate


def _address(settings: Settings, hosts: tuple[str, ...], named: tuple[str, ...]) -> str:
    host = settings.advertise or (named or hosts)[0]
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


def with_port(address: str, port: int) -> str:
    """Return an address with another port.

    Example:
        >>> with_port("[::1]:3800", 4000)
        '[::1]:4000'
    """
    return f"{address.rpartition(':')[0]}:{port}"


def listen_as(settings: Settings, place: Place, handle: Handle, door: Door) -> list[NodeServer]:
    """Bind the port a process is to have: a sub-process keeps the one it was first given.

    Raises:
        Refused: The port is taken, or an address is not ours.
    """
    if not settings.root:
        return listen(place, settings.port, handle, door)
    file = settings.folder / "port"
    known = file.read_text().strip() if file.exists() else ""
    try:
        servers = listen(place, int(known) if known.isdecimal() else 0, handle, door)
    except Refused:
        servers = listen(place, 0, handle, door)
    file.write_text(f"{servers[0].port}\n")
    return servers


def listen(place: Place, port: int, handle: Handle, door: Door) -> list[NodeServer]:
    """Bind the port at every address of a place; nothing is answered yet.

    Raises:
        Refused: An address is in use or not ours; nothing is bound.
    """
    servers: list[NodeServer] = []
    for host in place.hosts:
        try:
            servers.append(NodeServer(host, servers[0].port if servers else port, handle, door))
        except OSError as error:
            for server in servers:
                server.close()
            raise Refused(
                f"cannot listen at {host}:{port}: {error.strerror or error}", code="SF-DAEMON-003",
                hint="is a daemon running there already? try: sfping localhost",
            ) from error  # fmt: skip
    return servers


def quotas_of(settings: Settings) -> Quotas:
    """Return how much one certificate may ask for."""
    return Quotas(
        settings.connections, settings.peer_connections, settings.requests_per_s,
        settings.requests_burst,
    )  # fmt: skip


def connect_with(security: Security) -> Callable[[str, str], PyroLink]:
    """Return what makes links to peers, by address and class, with those certificates."""

    def connect(address: str, class_: str) -> PyroLink:
        return PyroLink(address, class_, security)

    return connect


def teller(loop: asyncio.AbstractEventLoop, process: Process) -> Callable[[Rejected], None]:
    """Return what publishes a refusal, from any thread."""

    def publish(what: Rejected) -> None:
        process.events.publish(None, what)
        log.warning("refused %s: %s", what.address, what.text)

    def tell(what: Rejected) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(publish, what)

    return tell
