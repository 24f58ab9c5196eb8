"""An authority with one certificate of each sort, a daemon of it, and clients with any of them."""

from __future__ import annotations

import datetime as dt
import functools
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.client.client import Client
from engine.core.faults import EngineError
from engine.security import authority as making
from engine.security.authority import Authority
from engine.security.contexts import Contexts, Credentials
from engine.security.identity import Role
from engine.testing.daemons import Daemon, daemons


class Community:
    """An authority, and who belongs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder)
        self.authority.issue("daemon", "one", hosts=["127.0.0.1", "localhost"])
        self.authority.issue("daemon", "elsewhere", hosts=["elsewhere.example"])
        for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
            self.authority.issue("client", role.value, roles=[role])
        self.authority.issue("client", "web", roles=[Role.OPERATOR], names=["web-*"])

    def files(self, who: str, *, ca: Path | None = None) -> Credentials:
        kind = "daemon" if (self.folder / f"daemon-{who}.pem").exists() else "client"
        cert = self.folder / f"{kind}-{who}.pem"
        return Credentials(
            cert, cert.with_suffix(".key"), ca or self.folder / "ca.pem", self.folder / "none"
        )

    def contexts(self, who: str) -> Contexts:
        return Contexts(self.files(who))

    def client(self, address: str, who: str, **options) -> Client:
        files = self.contexts(who)
        return Client(address, security=lambda: files, **options)

    def settings(self, who: str, prefix: str = "SMARTDOMAINS_") -> dict[str, str]:
        """The settings of a command or a daemon that is to be this one."""
        files = self.files(who)
        return {
            f"{prefix}CERT": str(files.cert), f"{prefix}KEY": str(files.key),
            f"{prefix}CA": str(files.ca),
        }  # fmt: skip

    def issue_expired(self, monkeypatch, kind: str, name: str, **given) -> None:
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=30)
        with monkeypatch.context() as patch:
            patch.setattr(making, "_now", lambda: past)
            self.authority.issue(kind, name, days=1, **given)


@pytest.fixture(scope="session")
def community(tmp_path_factory):
    return Community(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def daemon(community, tmp_path_factory):
    folder = tmp_path_factory.mktemp("daemons")
    settings = community.settings("one")
    with daemons(folder, "one", SMARTDOMAINS_BIND="127.0.0.1", **settings) as (one,):
        yield one


@pytest.fixture
def refusals(community, daemon):
    """What the daemon told of refusals since the test began."""
    client = community.client(daemon.address, "admin")
    _, cursor, _ = client.events("")

    def read(timeout_s: float = 5.0) -> str:
        found: list[str] = []
        end = time.monotonic() + timeout_s
        while not found and time.monotonic() < end:
            rows, _, _ = client.events(cursor, kinds=("security",), wait_s=0.5)
            found = [row.body.sentence() for row in rows]
        return "\n".join(found)

    yield read
    client.close()


@pytest.fixture
def answered_throughout(community, daemon):
    """Ask all the time over new connections meanwhile; each must be answered soon."""
    return functools.partial(answered, community, daemon)


@contextmanager
def answered(community: Community, daemon: Daemon, most_s: float = 0.5):
    """Ask a daemon all the time over new connections; each must be answered within `most_s`."""
    over = threading.Event()
    times: list[float] = []
    wrong: list[EngineError] = []

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            client = community.client(daemon.address, "viewer")
            try:
                client.hello()
            except EngineError as error:
                wrong.append(error)
            client.close()
            times.append(time.monotonic() - began)
            over.wait(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=30)
    assert not wrong, wrong[:3]
    assert times
    assert max(times) < most_s, sorted(times)[-5:]
