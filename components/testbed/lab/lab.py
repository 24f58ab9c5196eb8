"""A whole lab: made, broken, healed, cleared away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.lab import capabilities, machine
from components.testbed.lab.faults import Faults, Slow, rules
from components.testbed.lab.host import Completed, Facts, LabHost
from components.testbed.lab.identity import command_environment, make_identities
from components.testbed.lab.machine import FABRIC, Starting
from components.testbed.lab.store import (
    LabError,
    LabExistsError,
    NoSuchLabError,
    Running,
    State,
    Store,
    boot_id,
)
from components.testbed.lab.xen_host import XenHost
from components.testbed.processes import wait
from components.testbed.tools import ToolFailedError, missing

MOST_HOSTS = 32
MOST_XEN_HOSTS = 2
_ROOT = Path(__file__).parents[3]
_READY_S = 120.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED = ("ip", "nft", "nsenter", "unshare", "setpriv", "mount", "losetup", "env")
_NEEDED_BY_XEN = (
    *("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "debugfs", "cpio", "depmod"),
    *("apt-get", "apt-cache", "dpkg", "ldd"),
)
_NEEDED_BY_LIBVIRT = ("libvirtd", "virsh", "qemu-system-x86_64", "qemu-img")


class Lab:
    """N hosts and the network between them. Needs root. Methods block, for a bounded time.

    As a context manager, also an asynchronous one, it is up inside and has left nothing outside.

    Attributes:
        name: Tells it from other labs of this machine.
        folder: Where its files are.
    """

    def __init__(
        self, hosts: int = 3, *, name: str = "", libvirt: bool = False, xen: int = 0,
        xen_memory_mib: int = 1280, base: Path | None = None,
    ) -> None:  # fmt: skip
        """Describe a lab; nothing is made before `up`.

        Args:
            hosts: How many, 1 to 32; they are called h1, h2, ...
            name: A word of small letters, digits and -; one nobody else has if empty.
            libvirt: Whether each has a libvirtd, for QEMU guests; without, a lab is quicker.
            xen: How many emulated Xen hosts besides, 0 to 2; they are called x1, x2. They boot for
                half a minute, and for minutes the first time on this machine.
            xen_memory_mib: Memory of each of these; dom0 takes 512 MiB of it.
            base: Folder for its folder.

        Raises:
            ValueError: There cannot be so many hosts, or it is no name.
        """
        if not 1 <= hosts <= MOST_HOSTS:
            raise ValueError(f"{hosts} hosts: from 1 to {MOST_HOSTS}")
        if not 0 <= xen <= MOST_XEN_HOSTS:
            raise ValueError(f"{xen} Xen hosts: from 0 to {MOST_XEN_HOSTS}")
        self._store = Store(name or f"t-{secrets.token_hex(4)}", base)
        self.name, self.folder = self._store.name, self._store.folder
        self._wanted = State(boot_id(), hosts, libvirt, xen, xen_memory_mib)

    @classmethod
    def open(cls, name: str, base: Path | None = None) -> Lab:
        """Take up a lab that is up, whoever made it.

        Raises:
            NoSuchLabError: There is none.
        """
        lab = cls(name=name, base=base)
        lab._wanted = msgspec.structs.replace(lab._store.load(), running={}, faults=Faults())
        return lab

    @property
    def state(self) -> State:
        """Read how it stands; as it will be made, while it is not."""
        try:
            return self._store.load()
        except NoSuchLabError:
            return self._wanted

    # -- hosts

    @property
    def fabric(self) -> LabHost:
        """Give the network between the hosts: a place to run commands that reach all of them."""
        return LabHost(self, FABRIC, 0)

    def __iter__(self) -> Iterator[LabHost]:
        """Give the hosts in order."""
        state = self.state
        yield from (LabHost(self, f"h{n}", n) for n in range(1, state.hosts + 1))
        yield from (XenHost(self, f"x{n}", MOST_HOSTS + n) for n in range(1, state.xen + 1))

    def __getitem__(self, name: str) -> LabHost:
        """Give a host by name.

        Raises:
            NoSuchLabError: There is no such host in this lab.
        """
        for host in self:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self)
        raise NoSuchLabError(f"there is no host {name} in lab {self.name}: {names}")

    def status(self) -> list[Facts]:
        """Look how all hosts are."""
        return [host.facts() for host in self]

    # -- up and down

    def up(self) -> None:
        """Make it, and wait until every daemon is ready; if it fails, nothing is left.

        Raises:
            LabExistsError: A lab of this name is up.
            LabError: A program is missing, or a host did not come up.
            PermissionError: We are not root.
        """
        check_machine(libvirt=self.state.libvirt, xen=self.state.xen > 0)
        with self._store.locked(make=True):
            try:
                found = self._store.load()
            except NoSuchLabError:
                found = None
            if found is not None:
                if found.ready and self.fabric.on:
                    raise LabExistsError(
                        f"lab {self.name} is up already; look: scripts/lab status, "
                        "or end it: scripts/lab down"
                    )
                self._end(found)  # half made, or half gone
            try:
                self._store.save(msgspec.structs.replace(self._wanted, boot=boot_id()))
                make_identities(self.folder, {host.name: host.address for host in self})
                self._add_guest()
                self._start_fabric()
                self._start([host.name for host in self])
                self._change(ready=True)
            except BaseException:
                self._clear()
                raise

    def down(self, *, keep_logs: bool = False) -> None:
        """End it, whatever is left of it; with `keep_logs` its logs stay. Harmless twice.

        Raises:
            LabError: Something of it does not end.
        """
        with contextlib.suppress(NoSuchLabError), self._store.locked():
            self._clear(keep_logs=keep_logs)

    def _clear(self, *, keep_logs: bool = False) -> None:
        self._end(self.state)
        machine.detach_loops(self.folder)
        self._store.remove(keep_logs=keep_logs)

    @staticmethod
    def _end(state: State) -> None:
        running = [each for _, each in reversed(state.running.items())]
        machine.end([process for each in running for process in each.processes()])

    def start(self, *names: str) -> None:
        """Switch hosts on, and wait until they are ready.

        Raises:
            LabError: One is on already, or did not come up and is off again.
        """
        with self._changing():
            for name in names:
                if self[name].on:
                    raise LabError(f"{name} is on already")
            self._start(names)

    def crash(self, *names: str) -> None:
        """Cut the power of hosts.

        Raises:
            LabError: One is off already.
        """
        with self._changing():
            for name in names:
                if not self[name].on:
                    raise LabError(f"{name} is off already")
            self._switch_off(names)

    def _add_guest(self) -> None:
        """Put the tiny guest where every host sees it: in the lab's folder `guest`."""
        if self.state.libvirt or self.state.xen:
            guest = GuestImage.build(default_cache())
            (self.folder / "guest").mkdir(exist_ok=True)
            for part in (guest.kernel, guest.initrd, guest.disk):
                shutil.copy2(part, self.folder / "guest" / part.name)

    def _start_fabric(self) -> None:
        names = "".join(f"{host.address} {host.name}\n" for host in [self.fabric, *self])
        text = f"127.0.0.1 localhost\n::1 localhost\n{names}"
        (self.folder / "hosts").write_text(text, encoding="ascii")
        starting = Starting(self.fabric.folder, self.fabric.plan())
        self._running(FABRIC, starting.running)
        starting.go()
        wait(lambda: starting.up, _READY_S, "the fabric")

    def _start(self, names: Sequence[str]) -> None:
        fabric, hosts = self._fabric_pid(), [self[name] for name in names]
        started: dict[str, Starting] = {}
        try:
            for host in hosts:
                host.prepare()
                started[host.name] = Starting(host.folder, host.plan())
                self._running(host.name, started[host.name].running)
            for host in hosts:
                init = started[host.name].running.init
                if init is not None:
                    machine.plug_in(fabric, init.pid, host.number)
                self._wire(host)
                started[host.name].go()
            self._await(hosts, started)
            if self.state.libvirt:
                capabilities.keep(hosts[0].folder / "cache")
        except BaseException as error:
            for starting in started.values():
                starting.close()
            self._switch_off(list(started))
            if isinstance(error, ToolFailedError):
                raise LabError(str(error)) from error
            raise

    def _await(self, hosts: Sequence[LabHost], started: Mapping[str, Starting]) -> None:
        began = time.monotonic()
        for host in hosts:
            starting, end = started[host.name], began + host.ready_s
            try:
                _wait_for(partial(_ready, host, starting), end, f"the daemon of {host.name}")
                _wait_for(host.libvirt_answers, end, f"libvirtd of {host.name}")
            except ToolFailedError as error:
                raise LabError(f"{error}; it says: {starting.last_words()}") from error

    def _switch_off(self, names: Sequence[str]) -> None:
        gone = [self.state.running[name] for name in names if name in self.state.running]
        machine.end([process for each in gone for process in each.processes()])
        fabric = self.fabric.init
        for name in names:
            if fabric is not None:
                machine.unplug(fabric, self[name].number)
            machine.detach_loops(self.folder / name)
        left = {name: each for name, each in self.state.running.items() if name not in names}
        self._change(running=left)

    # -- faults

    def cut(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Let nothing that `a` sends reach `b`, nor, unless `one_way`, the other way round."""
        if self[a].name == self[b].name:
            raise LabError(f"{a} cannot be cut off from itself")
        with self._changing():
            self._filter(self.state.faults.cut(a, b, one_way=one_way))

    def isolate(self, host: str) -> None:
        """Let nothing reach a host and nothing leave it."""
        with self._changing():
            self._filter(self.state.faults.isolate(self[host].name))

    def slow(self, host: str, slow: Slow) -> None:
        """Put a bad wire before a host; it replaces the one there may be."""
        at = self[host]
        with self._changing():
            self._change(faults=self.state.faults.slowed(host, slow))
            self._wire(at)

    def heal(self, host: str = "") -> None:
        """Take away everything that is wrong with a host or with all, its power apart."""
        hosts = [self[host]] if host else list(self)
        with self._changing():
            faults = self.state.faults
            for each in hosts:
                faults = faults.healed(each.name)
            self._filter(faults)
            for each in hosts:
                self._wire(each)
                each.release()

    def reset(self) -> None:
        """Make it as good as new, quickly: no faults, all power on, no applications.

        Raises:
            LabError: It could not be done; the lab is best thrown away.
        """
        self.heal()
        off = [host.name for host in self if not host.on]
        if off:
            self.start(*off)
        for host in self:
            _wait_for(
                partial(_up, host), time.monotonic() + host.ready_s, f"the daemon of {host.name}"
            )
        names = [host.name for host in self]
        done = self.sf(sys.executable, "-m", "components.testbed.lab.clean", *names, cwd=_ROOT)
        if done.code != 0:
            raise LabError(f"lab {self.name} is not clean: {done.err or done.out}")

    def _filter(self, faults: Faults) -> None:
        text = rules(faults, {host.name: host.number for host in self})
        machine.in_network(self._fabric_pid(), "nft", "-f", "-", stdin=text)
        self._change(faults=faults)

    def _wire(self, host: LabHost) -> None:
        running = self.state.running.get(host.name)
        if running is None:
            return
        slow = self.state.faults.slow.get(host.name)
        if running.wire is None and slow is None:
            return
        new = machine.replace_wire(self._fabric_pid(), host.number, running.wire, slow)
        self._running(host.name, msgspec.structs.replace(running, wire=new))

    # -- commands

    @property
    def environment(self) -> Mapping[str, str]:
        """Give the variables of commands inside the lab."""
        here = str(Path(sys.executable).parent)
        path = os.pathsep.join([here, *_PATH.split(os.pathsep)])
        return {"PATH": path, **command_environment(self.folder)}

    def sf(self, *argv: str, limit_s: float = 120, cwd: Path | None = None) -> Completed:
        """Run a command where it reaches all hosts by name; see `LabHost.run`."""
        return self.fabric.run(*argv, limit_s=limit_s, cwd=cwd)

    # -- the file

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lab for a change; it must be there.

        Raises:
            NoSuchLabError: It is not.
        """
        with self._store.locked():
            self._store.load()
            yield

    def _fabric_pid(self) -> int:
        pid = self.fabric.init
        if pid is None:
            raise LabError(f"lab {self.name} is half gone; clear it away: scripts/lab down")
        return pid

    def _running(self, name: str, running: Running) -> None:
        self._change(running={**self.state.running, name: running})

    def _change(self, **fields: object) -> None:
        self._store.save(msgspec.structs.replace(self._store.load(), **fields))

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.up)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.down)


def need_root() -> None:
    """Refuse anybody but root.

    Raises:
        PermissionError: We are somebody else.
    """
    if os.geteuid() != 0:
        raise PermissionError(
            "a lab needs root, for its network namespaces; try: sudo scripts/lab 3"
        )


def check_machine(*, libvirt: bool, xen: bool = False) -> None:
    """Check that a lab can be made here.

    Raises:
        PermissionError: We are not root.
        LabError: Programs are missing; the text says what to do.
    """
    need_root()
    wanted = (*_NEEDED, *(_NEEDED_BY_LIBVIRT if libvirt else ()), *(_NEEDED_BY_XEN if xen else ()))
    packages = missing(wanted)
    if packages:
        raise LabError(
            f"programs are missing: scripts/setup --services, or: apt-get install {' '.join(packages)}"
        )


def _up(host: LabHost) -> bool:
    return host.ready


def _ready(host: LabHost, starting: Starting) -> bool:
    return starting.up and host.ready


def _wait_for(condition: Callable[[], bool], end: float, what: str) -> None:
    wait(condition, max(0.0, end - time.monotonic()), what)
