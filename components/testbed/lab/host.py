"""One host of a lab, as a user and a test see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from components.testbed.lab import capabilities
from components.testbed.lab.machine import inside
from components.testbed.lab.plans import Place
from components.testbed.lab.store import LabError
from components.testbed.private_libvirtd import answers
from components.testbed.processes import is_program, is_stopped, members, wait

if TYPE_CHECKING:
    from components.testbed.lab.lab import Lab

PROGRAMS = {"daemon": "sfdaemon", "libvirtd": "libvirtd"}
_GUEST = "qemu-system"
Service = Literal["daemon", "libvirtd"]


class Completed(msgspec.Struct, frozen=True):
    """What became of a command.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it complained about.
    """

    code: int
    out: str
    err: str


class Facts(msgspec.Struct, frozen=True):
    """How a host is, found by looking.

    Attributes:
        name: Its host name.
        address: Its address.
        power: `on`, `off` or `frozen`.
        daemon: `up`, `down`, `held` or `frozen`; `none` if the host never has one.
        libvirtd: Likewise.
        guests: How many guests run.
        faults: What is wrong with its network, in words.
    """

    name: str
    address: str
    power: str
    daemon: str
    libvirtd: str
    guests: int
    faults: tuple[str, ...]


class LabHost:
    """One host. All methods block, for a bounded time; use them from one thread.

    Attributes:
        name: Its host name, which every host of the lab resolves.
        number: From 1; 0 is the fabric.
        address: Its address, without prefix.
        folder: Its files: logs, state, plan.
        place: The same for its plan.
        ready_s: Seconds in which it must be ready after it was switched on.
        interactive: Whether a command in it can be spoken to.
    """

    ready_s = 120.0
    interactive = True

    def __init__(self, lab: Lab, name: str, number: int) -> None:
        """Take a host of a lab."""
        self._lab = lab
        self.name = name
        self.number = number
        self.address = f"10.77.0.{10 + number if number else 1}"
        self.folder = lab.folder / name
        port = "eth0" if number else None
        self.place = Place(lab.folder, name, number, self.address, port)

    def prepare(self) -> None:
        """Make what it needs before it is switched on."""
        (self.folder / "ready").unlink(missing_ok=True)
        (self.folder / "run/libvirt-sock").unlink(missing_ok=True)
        if self._lab.state.libvirt:
            capabilities.give(self.folder / "cache")

    def plan(self) -> Mapping[str, object]:
        """Give the plan of its first process."""
        environment = {"HOME": str(Path.home()), "LANG": "C.UTF-8", **self._lab.environment}
        return self.place.plan(
            libvirt=self.number > 0 and self._lab.state.libvirt,
            daemon=Path(sys.executable).parent / "sfdaemon" if self.number else None,
            environment=environment,
        )

    @property
    def init(self) -> int | None:
        """Give the id of its PID 1, as seen from outside; nothing when it is off."""
        running = self._lab.state.running.get(self.name)
        if running is None or running.init is None or not running.init.alive:
            return None
        return running.init.pid

    @property
    def on(self) -> bool:
        """Say whether its power is on."""
        return self.init is not None

    def start(self) -> None:
        """Switch it on, and wait until its daemon and its libvirtd answer.

        Raises:
            LabError: It is on already, or did not come up.
        """
        self._lab.start(self.name)

    def crash(self) -> None:
        """Cut its power: everything in it ends at once.

        Raises:
            LabError: It is off already.
        """
        self._lab.crash(self.name)

    def kill(self, service: Service, *, hold: bool = False) -> None:
        """Kill a service; the host's PID 1 starts it again, or with `hold` once it is healed.

        Raises:
            LabError: It does not run.
        """
        if hold:
            (self.folder / f"hold-{service}").touch()
        pid = self._pid(service)
        os.kill(pid, signal.SIGKILL)
        wait(lambda: pid not in self.pids(), 20, f"the end of {service}")

    def freeze(self, *, everything: bool = False) -> None:
        """Stop the daemon as if it hung, or everything in the host.

        Raises:
            LabError: It does not run.
        """
        self._need_power()
        if not everything:
            os.kill(self._pid("daemon"), signal.SIGSTOP)
            return
        # What is started meanwhile must not get away.
        while left := [pid for pid in self.pids() if not is_stopped(pid)]:
            for pid in left:
                _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let go on whatever was frozen; harmless if nothing was."""
        for pid in self.pids():
            if is_stopped(pid):
                _signal(pid, signal.SIGCONT)

    def release(self) -> None:
        """Let go on what was frozen, and let services start that were held down."""
        self.thaw()
        for service in PROGRAMS:
            (self.folder / f"hold-{service}").unlink(missing_ok=True)

    def pids(self) -> dict[int, list[str]]:
        """Give the command line of each process in it, by id as seen from outside."""
        init = self.init
        return members(init) if init is not None else {}

    def pid(self, service: Service) -> int | None:
        """Give the id of a service, as seen from outside; nothing if it does not run."""
        return _of(self.pids(), PROGRAMS[service])

    def _pid(self, service: Service) -> int:
        self._need_power()
        pid = self.pid(service)
        if pid is None:
            raise LabError(f"{service} does not run on {self.name}")
        return pid

    def _need_power(self) -> int:
        init = self.init
        if init is None:
            raise LabError(f"{self.name} is off; switch it on: scripts/lab boot {self.name}")
        return init

    def command(self, argv: Sequence[str], *, cwd: Path | None = None) -> list[str]:
        """Give the command that runs another in this host; it ends with its caller.

        Raises:
            LabError: The host is off.
        """
        return inside(
            self._need_power(), argv, cwd=str(cwd or Path.cwd()), environment=self._lab.environment
        )

    def run(self, *argv: str, limit_s: float = 120, cwd: Path | None = None) -> Completed:
        """Run a command in this host to its end.

        Args:
            argv: Program and arguments; commands of this project are on its path.
            limit_s: Seconds after which it is killed.
            cwd: Where it runs; here, if not said.

        Raises:
            LabError: The host is off, or the command was not done in time.
        """
        try:
            done = subprocess.run(
                self.command(argv, cwd=cwd), capture_output=True, text=True, timeout=limit_s,
                check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            words = " ".join(argv)
            raise LabError(f"{words} on {self.name}: not done after {limit_s:g} s") from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def facts(self) -> Facts:
        """Look how it is."""
        pids = self.pids()
        init = self.init
        power = "off" if init is None else "frozen" if is_stopped(init) else "on"
        guests = sum(is_program(words, _GUEST) for words in pids.values())
        libvirtd = self._service("libvirtd", pids) if self._lab.state.libvirt else "none"
        return Facts(
            self.name, self.address, power, self._service("daemon", pids), libvirtd, guests,
            tuple(self._lab.state.faults.of(self.name)),
        )  # fmt: skip

    def _service(self, service: str, pids: dict[int, list[str]]) -> str:
        pid = _of(pids, PROGRAMS[service])
        if pid is not None:
            return "frozen" if is_stopped(pid) else "up"
        return "held" if (self.folder / f"hold-{service}").exists() else "down"

    @property
    def ready(self) -> bool:
        """Say whether its daemon has said that it is ready, in this life of it."""
        try:
            text = (self.folder / "ready").read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return text.startswith("ready ") and self.pid("daemon") is not None

    def libvirt_answers(self) -> bool:
        """Say whether its libvirtd answers, if it has one."""
        if not self._lab.state.libvirt:
            return True
        return (self.folder / "run/libvirt-sock").exists() and answers(self.uri)

    @property
    def uri(self) -> str:
        """Where libvirt reaches its hypervisor, from anywhere on this machine."""
        return f"qemu+unix:///system?socket={self.folder}/run/libvirt-sock"

    def logs(self) -> list[Path]:
        """Give its log files, those of its services last."""
        paths = [self.folder / name for name in ("host.log", "log/libvirtd.log", "daemon.log")]
        return [path for path in paths if path.exists()]


def _of(pids: dict[int, list[str]], program: str) -> int | None:
    return next((pid for pid, words in pids.items() if is_program(words, program)), None)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
