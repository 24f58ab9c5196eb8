"""A Xen host of a lab: an emulated machine in the namespaces of an ordinary host.

Its power, its cable and the faults of its network are those of any host. Commands run inside, in dom0,
and reach it without the network.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from components.testbed.lab.host import Completed, Facts, LabHost, Service
from components.testbed.lab.identity import identity_files
from components.testbed.lab.store import LabError
from components.testbed.processes import is_stopped
from components.testbed.tools import tool
from components.testbed.xen import agent
from components.testbed.xen.disks import make_disks
from components.testbed.xen.image import XenImage, default_cache
from components.testbed.xen.machine import TAP, Machine

_LOOK_S = 20.0
_LOOK = """
for each in daemon libvirtd; do
    read -r pid < $each.pid && read -r _ _ state _ < /proc/$pid/stat || state=none
    case $state in none|Z|X) state=down; [ ! -e hold-$each ] || state=held ;; T) state=frozen ;;
        *) state=up ;; esac
    echo $state
done
set -- $(xenstore-list /local/domain); echo $(($# - 1))
"""
# Waits for a while itself: each question from outside costs an emulated host a tenth of a second.
_READY = """
for _ in 1 2 3 4 5 6 7 8 9 10; do
    grep -q '^ready ' ready 2>/dev/null && kill -0 $(cat daemon.pid) && exit 0
    sleep 1
done
exit 1
"""


class XenHost(LabHost):
    """A host with Xen: a daemon and a libvirtd run in its dom0.

    `pids` and `init` are those of the processes outside, which emulate it.
    """

    ready_s = 600.0
    interactive = False

    @property
    def machine(self) -> Machine:
        """Describe the emulated machine.

        Raises:
            LabError: It was never switched on.
        """
        try:
            image = XenImage(Path(self._chosen.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise LabError(f"{self.name} was never switched on") from error
        return Machine(image, self.folder, self.place.mac(0x4E), self._lab.state.xen_memory_mib)

    @property
    def _chosen(self) -> Path:
        """Where the image is named that it was made from; a later one would not fit its disks."""
        return self.folder / "image"

    @property
    def _environment(self) -> Mapping[str, str]:
        environment = self._lab.environment
        path = (
            f"{self._lab.folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        return {**environment, "PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}

    @override
    def prepare(self) -> None:
        """Make its disks, if this is the first time it is switched on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._chosen.exists():
            image = XenImage.build(default_cache())
            self._chosen.write_text(str(image.folder), encoding="utf-8")
        daemon = self._lab.folder / "bin/sfdaemon"
        plan = self.place.plan(libvirt=True, daemon=daemon, environment=self._environment)
        whole = self._lab.folder
        guest = [whole / "guest" / name for name in ("vmlinuz", "initrd.gz", "base.ext4")]
        shared = [whole / "hosts", *guest, *identity_files(whole, self.name)]
        make_disks(self.machine, plan, shared)

    @override
    def plan(self) -> Mapping[str, object]:
        return self.place.around(TAP, self.machine.argv(tool("qemu-system-x86_64")))

    @property
    def _socket(self) -> Path:
        return self.folder / "agent.sock"

    @override
    def kill(self, service: Service, *, hold: bool = False) -> None:
        held = f"touch hold-{service}; " if hold else ""
        gone = "while kill -0 $pid 2>/dev/null; do sleep 0.1; done"
        script = f"read -r pid < {service}.pid && {held} kill -KILL $pid && {gone}"
        self._script(script, f"{service} does not run on {self.name}")

    @override
    def freeze(self, *, everything: bool = False) -> None:
        if everything:
            super().freeze(everything=True)
        else:
            self._script("kill -STOP $(cat daemon.pid)", f"daemon does not run on {self.name}")

    @override
    def thaw(self) -> None:
        super().thaw()
        if self.on:
            self._script("kill -CONT $(cat daemon.pid) || true", "cannot be thawed")

    @override
    def release(self) -> None:
        super().thaw()
        if self.on:
            self._script("rm -f hold-*; kill -CONT $(cat daemon.pid) || true", "cannot be healed")

    def _script(self, text: str, trouble: str) -> str:
        """Run a few lines of shell in the host's own folder.

        Raises:
            LabError: They failed.
        """
        self._need_power()
        done = self.run("sh", "-c", text, limit_s=_LOOK_S * 3, cwd=self.folder)
        if done.code != 0:
            raise LabError(f"{trouble}: {done.err.strip() or done.out.strip()}")
        return done.out

    @override
    def command(self, argv: Sequence[str], *, cwd: Path | None = None) -> list[str]:
        """Give the command that runs another in dom0, without standard input.

        Raises:
            LabError: The host is off.
        """
        self._need_power()
        pairs = [f"{name}={value}" for name, value in self._environment.items()]
        program = [sys.executable, "-P", "-m", "components.testbed.xen.agent"]
        return [
            *(tool("env"), "-i", *pairs),
            *(*program, str(self._socket), str(cwd or "/"), *argv),
        ]

    @override
    def run(self, *argv: str, limit_s: float = 120, cwd: Path | None = None) -> Completed:
        """Run a command in dom0 to its end; see `LabHost.run`. Paths are dom0's; it begins in /."""
        self._need_power()
        try:
            done = agent.run(
                self._socket, argv, environment=self._environment, cwd=str(cwd or "/"),
                limit_s=limit_s,
            )  # fmt: skip
        except agent.AgentError as error:
            raise LabError(f"{' '.join(argv)} on {self.name}: {error}") from error
        return Completed(done.returncode, done.stdout, done.stderr)

    @override
    def facts(self) -> Facts:
        init = self.init
        power = "off" if init is None else "frozen" if is_stopped(init) else "on"
        states = ["down", "down", "0"]
        if power == "on":
            try:
                said = self.run("sh", "-c", _LOOK, limit_s=_LOOK_S, cwd=self.folder)
                states = said.out.split() if said.code == 0 else states
            except LabError:
                pass  # it is booting, or hangs: neither service answers
        faults = tuple(self._lab.state.faults.of(self.name))
        daemon, libvirtd, guests = states
        return Facts(self.name, self.address, power, daemon, libvirtd, int(guests), faults)

    @property
    @override
    def ready(self) -> bool:
        try:
            return self.run("sh", "-c", _READY, limit_s=_LOOK_S, cwd=self.folder).code == 0
        except LabError:
            return False

    @override
    def libvirt_answers(self) -> bool:
        try:
            return self.run("virsh", "-c", "xen:///system", "version", limit_s=_LOOK_S).code == 0
        except LabError:
            return False

    @property
    @override
    def uri(self) -> str:
        """Where libvirt reaches its hypervisor, from anywhere in the lab."""
        return f"xen+tcp://{self.address}/system"

    @override
    def logs(self) -> list[Path]:
        """Give the log files outside: of the machine, and its serial console."""
        paths = [self.folder / name for name in ("host.log", "machine.log", "console.log")]
        return [path for path in paths if path.exists()]
