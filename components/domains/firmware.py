"""Which UEFI firmware a host has for QEMU guests, as its packages describe it for libvirt."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import msgspec
from msgspec import Struct

from engine.core.decoding import from_json
from engine.core.faults import Refused

FOLDERS = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))
"""Where descriptions of firmware are; a file hides one of its name in a later folder."""
SECURE = frozenset({"secure-boot", "enrolled-keys"})


class Target(Struct, frozen=True):
    """Machines that firmware is for: an architecture, and patterns of machine types."""

    architecture: str
    machines: tuple[str, ...] = ()


class Firmware(Struct, frozen=True, rename="kebab"):
    """One description of firmware; what else it has is of no use here."""

    interface_types: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    features: tuple[str, ...] = ()

    def fits(self, arch: str, machine: str, *, secure: bool) -> bool:
        """Say whether a machine can have it.

        Args:
            arch: Architecture of its processors.
            machine: Its type, such as `pc-q35-7.2` or `q35`; empty: any will do.
            secure: It is to boot only what is signed; else it is not to.

        Example:
            >>> one = Firmware(("uefi",), (Target("x86_64", ("pc-q35-*",)),), ("secure-boot",))
            >>> one.fits("x86_64", "q35", secure=True), one.fits("x86_64", "pc", secure=False)
            (False, False)
        """
        able = set(self.features) >= SECURE if secure else "secure-boot" not in self.features
        return able and "uefi" in self.interface_types and any(
            target.architecture == arch and _takes(target.machines, machine)
            for target in self.targets
        )  # fmt: skip


def _takes(patterns: Iterable[str], machine: str) -> bool:
    full = {"pc": "pc-i440fx-", "q35": "pc-q35-"}.get(machine, machine)
    return not machine or any(fnmatch(full, pattern) for pattern in patterns)


def described(folders: Iterable[Path] = FOLDERS) -> tuple[Firmware, ...]:
    """Return the firmware that a host's packages describe; blocks. What cannot be read is none."""
    found: dict[str, Firmware] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            try:
                found.setdefault(path.name, from_json(path.read_bytes(), Firmware))
            except (OSError, msgspec.MsgspecError):
                continue
    return tuple(found.values())


def check_firmware(
    there: Iterable[Firmware], arch: str, machine: str, *, secure: bool, where: str
) -> None:
    """Refuse a machine that is to boot by UEFI where its host has no firmware for it.

    Raises:
        Refused: It has none.
    """
    if any(each.fits(arch, machine, secure=secure) for each in there):
        return
    kind = "with keys for secure boot" if secure else "without secure boot"
    raise Refused(
        f'firmware "efi": this host has none {kind} for a machine {machine or "of any type"} ({arch})',
        code="SF-DOM-025", where=where, hint='install it: apt install ovmf; or say firmware "bios"',
    )  # fmt: skip
