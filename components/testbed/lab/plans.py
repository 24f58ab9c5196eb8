"""What the first process of each host of a lab is told to do; see `host_init`. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from components.testbed.lab.identity import daemon_options

PREFIX = 24
_SPACE = uuid.UUID("5d000000-0000-4000-8000-00000000001a")


class Place(msgspec.Struct, frozen=True):
    """A host of a lab.

    Attributes:
        lab: The lab's folder.
        name: The host's name; its folder is below the lab's.
        number: Tells it from the others, also in its MAC addresses.
        address: Its address, without prefix.
        port: Its device to the fabric; none for the fabric itself.
    """

    lab: Path
    name: str
    number: int
    address: str
    port: str | None = "eth0"

    def mac(self, kind: int) -> str:
        """Give the MAC address of one of its devices; each kind has its own."""
        return f"52:54:00:{kind:02x}:00:{self.number + 16:02x}"

    def plan(
        self, *, libvirt: bool, daemon: Path | None, environment: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Give the plan of a host that runs a daemon, or, as the fabric, none.

        Args:
            libvirt: Whether it runs a libvirtd.
            daemon: Program of the daemon; nothing: no daemon.
            environment: Variables of the daemon.
        """
        services: Sequence[Mapping[str, object]] = ()
        folder = self.lab / self.name
        if daemon is not None:
            argv = [str(daemon), *daemon_options(self.lab, self.name)]
            ready = str(folder / "ready")
            services = [
                {"name": "daemon", "argv": argv, "environment": environment, "ready": ready}
            ]
        ours = {"uuid": str(uuid.uuid5(_SPACE, str(folder))), "address": self.address}
        return {
            "name": self.name, "directory": str(folder), "waits": False, "ends": False,
            "bridge": [f"{self.address}/{PREFIX}", self.mac(0x4D)], "port": self.port, "tap": None,
            "hosts": str(self.lab / "hosts"), "libvirt": ours if libvirt else None,
            "services": services,
        }  # fmt: skip

    def around(self, tap: str, argv: Sequence[str]) -> Mapping[str, object]:
        """Give the plan of what surrounds an emulated machine: its network, and QEMU.

        Args:
            tap: The machine's network device.
            argv: Command line of QEMU.
        """
        machine = {"name": "machine", "argv": argv, "environment": {"LC_ALL": "C"}, "ready": ""}
        return {
            "name": self.name, "directory": str(self.lab / self.name), "waits": False, "ends": False,
            "bridge": [None, self.mac(0x4F)], "port": self.port, "tap": tap, "hosts": None,
            "libvirt": None, "services": [machine],
        }  # fmt: skip
