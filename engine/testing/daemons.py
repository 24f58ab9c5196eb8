"""Real daemons for tests and demonstrations: started, killed, started again, and always stopped.

All of one run are of one community with an authority of its own, made once; they speak TLS with each
other and with clients, as users' daemons do.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec

from engine.client.client import Client
from engine.ports import free_port
from engine.security.community import for_daemon
from engine.testing.sabotage import VARIABLE, Plan

T = TypeVar("T")
READY_S = 30.0


def wait_until(condition: Callable[[], T], *, timeout_s: float = 30.0, what: str = "") -> T:
    """Wait until a condition holds; say what was seen last if it does not within the bound."""
    end = time.monotonic() + timeout_s
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() >= end:
            raise AssertionError(
                f"{what or 'condition'}: not within {timeout_s:g} s; last: {seen!r}"
            )
        time.sleep(0.02)


@cache
def authority_folder() -> Path:
    """Return the folder of this run's community; it goes away with the process."""
    folder = Path(tempfile.mkdtemp(prefix="sd-community-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def own_community() -> Iterator[Path]:
    """Have this process, and programs it starts, belong to this run's community."""
    name = "SMARTDOMAINS_COMMUNITY_DIR"
    before = os.environ.get(name)
    os.environ[name] = str(authority_folder())
    try:
        yield authority_folder()
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Daemon:
    """One `sfdaemon` process with a state folder that outlives it."""

    def __init__(
        self, folder: Path, name: str, port: int, peers: Mapping[str, str], *,
        prefix: tuple[str, ...] = (), **environment: str,
    ) -> None:  # fmt: skip
        """Describe a daemon; `start` runs it, behind the words of `prefix` if there are some."""
        self._prefix = prefix
        self.name = name
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.folder = folder / name
        self.log = folder / f"{name}.log"
        self._peers = dict(peers)
        self._environment = environment
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, sabotage: list[Plan] | None = None) -> Daemon:
        """Start it and wait for its ready line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            *self._prefix,
            str(Path(sys.executable).parent / "sfdaemon"), "--port", str(self.port),
            "--node", self.name, "--state-dir", str(self.folder),
        ]  # fmt: skip
        for peer, address in self._peers.items():
            command += ["--peer", f"{peer}={address}"]
        environment = {**os.environ, **self._environment}
        environment.pop(VARIABLE, None)
        if sabotage:
            environment[VARIABLE] = msgspec.json.encode(sabotage).decode()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self._await_ready()
        return self

    def _await_ready(self) -> None:
        process = self.process
        if process is None or process.stdout is None:
            raise AssertionError("not started")
        line = process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(f"{self.name} did not get ready: {line!r}\n{self.log.read_text()}")

    @property
    def pid(self) -> int:
        """Return the process id."""
        if self.process is None:
            raise AssertionError(f"{self.name} is not running")
        return self.process.pid

    def client(self) -> Client:
        """Return a new client of it."""
        return Client(self.address)

    def kill(self) -> None:
        """Kill it as a crash would, and wait until it is gone."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.reap()

    def reap(self, timeout_s: float = 30.0) -> int:
        """Wait for its end and return its status."""
        if self.process is None:
            raise AssertionError(f"{self.name} is not running")
        status = self.process.wait(timeout=timeout_s)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return status

    def stop(self) -> None:
        """Stop it in order, or kill it if it does not stop."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)
        try:
            self.reap(15.0)
        except subprocess.TimeoutExpired:
            self.kill()


@contextlib.contextmanager
def daemons(
    state: Path, *names: str, prefix: tuple[str, ...] = (), **environment: str
) -> Iterator[tuple[Daemon, ...]]:
    """Run daemons that know each other by name; stop them whatever happens."""
    ports = {name: free_port() for name in names}
    peers = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    made = tuple(
        Daemon(state, name, port, peers, prefix=prefix, **environment)
        for name, port in ports.items()
    )
    with own_community() as folder:
        try:
            for daemon in made:
                for_daemon(folder, daemon.port)
                daemon.start()
            yield made
        finally:
            for daemon in made:
                daemon.stop()
