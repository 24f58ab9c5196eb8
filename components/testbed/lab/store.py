"""How a lab stands, in a file: enough for any process to take it up or to clear it away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from components.testbed.lab.faults import Faults
from components.testbed.processes import Started
from engine.core.decoding import from_json

BASE = Path("/var/lib/smartdomains/lab")
VARIABLE = "SMARTDOMAINS_LAB_DIR"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
_LOCK_S = 120.0


class LabError(RuntimeError):
    """Something about a lab cannot be done; the text says what, and what to do."""


class NoSuchLabError(LabError):
    """There is no such lab, or no such host in it."""


class LabExistsError(LabError):
    """A lab of that name is up already."""


class Running(msgspec.Struct, frozen=True):
    """A host that was switched on.

    Attributes:
        outer: The process that was started; killing it is a power cut.
        init: Its child, the host's PID 1.
        wire: The bad wire before its port, if there is one.
    """

    outer: Started
    init: Started | None = None
    wire: Started | None = None

    def processes(self) -> list[Started]:
        """Give all that must end with it, last started first."""
        return [each for each in (self.wire, self.outer, self.init) if each is not None]


class State(msgspec.Struct, frozen=True):
    """A lab.

    Attributes:
        boot: Which start of the machine it was made in; after another one nothing of it runs.
        hosts: How many hosts, called h1, h2, ...
        libvirt: Whether each has a libvirtd.
        xen: How many Xen hosts besides, called x1, x2, ...
        xen_memory_mib: Memory of each of these.
        ready: Whether it was made to its end.
        running: What is switched on, by host; the network between them is `fabric`.
        faults: What is wrong with the network.
    """

    boot: str
    hosts: int
    libvirt: bool
    xen: int = 0
    xen_memory_mib: int = 1280
    ready: bool = False
    running: dict[str, Running] = {}
    faults: Faults = Faults()


class Store:
    """The folder of one lab, locked while it is being changed."""

    def __init__(self, name: str, base: Path | None = None) -> None:
        """Take a lab's name; nothing is made yet.

        Raises:
            ValueError: It is no name for a lab.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name for a lab: small letters, digits and -, at most 20"
            )
        self.name = name
        self.base = base or Path(os.environ.get(VARIABLE) or BASE)
        self.folder = self.base.absolute() / name
        self._file = self.folder / "lab.json"

    @contextlib.contextmanager
    def locked(self, *, make: bool = False, limit_s: float = _LOCK_S) -> Iterator[None]:
        """Hold the folder for this process; blocks for at most `limit_s` seconds.

        Raises:
            NoSuchLabError: There is no such folder, and `make` does not ask for one.
            LabError: Another command held it all the time.
        """
        end = time.monotonic() + limit_s
        while (lock := self._lock(make=make)) is None:
            if time.monotonic() >= end:
                raise LabError(f"another command is busy with lab {self.name}")
            time.sleep(0.05)
        try:
            yield
        finally:
            os.close(lock)

    def _lock(self, *, make: bool) -> int | None:
        if make:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        try:
            lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            if make:
                return None
            raise NoSuchLabError(f"there is no lab {self.name}; make one: scripts/lab 3") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.folder.stat().st_ino == os.fstat(lock).st_ino:
                return lock
        except (BlockingIOError, FileNotFoundError):
            pass  # busy, or cleared away meanwhile
        os.close(lock)
        return None

    def load(self) -> State:
        """Read how the lab stands; what was written in another life of the machine runs no more.

        Raises:
            NoSuchLabError: There is none.
            LabError: The file cannot be read.
        """
        try:
            state = from_json(self._file.read_bytes(), State)
        except FileNotFoundError:
            raise NoSuchLabError(f"there is no lab {self.name}; make one: scripts/lab 3") from None
        except (OSError, msgspec.DecodeError) as error:
            raise LabError(f"{self._file}: {error}") from error
        if state.boot != boot_id():
            return msgspec.structs.replace(state, boot=boot_id(), ready=False, running={})
        return state

    def save(self, state: State) -> None:
        """Write how the lab stands, whole or not at all."""
        new = self._file.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        new.replace(self._file)

    def remove(self, *, keep_logs: bool = False) -> None:
        """Remove the folder; with `keep_logs` all but the logs in it."""
        if keep_logs:
            for path in sorted(self.folder.rglob("*"), reverse=True):
                if path.is_dir() and not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.rmdir()
                elif path.suffix != ".log":
                    path.unlink()
            return
        shutil.rmtree(self.folder)
        for parent in (self.base, self.base.parent):
            # Ours as long as nobody else has put something there.
            if parent in {BASE, BASE.parent}:
                with contextlib.suppress(OSError):
                    parent.rmdir()


def boot_id() -> str:
    """Identify this start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
