"""Disks that are there already: found before a machine is made, and never written to by two."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary, WeakSet

from components.domains.further import Existing, FurtherDisk
from components.hypervisor.owner import holder_of
from components.hypervisor.protocol import Hypervisor
from components.surroundings.workplace import expanded
from engine.core.faults import BadDescription, Refused
from engine.prim import Prim
from sfdl.values import Reference

QCOW2 = b"QFI\xfb"


def sharing(disk: Existing) -> str:
    """Say with whom a disk can be had: any who share or read it as well; empty: with nobody."""
    return "shareable" if disk.shareable else "readOnly" if disk.read_only else ""


class Uses:
    """Which machines of this process have which disks that were there; a machine's end is their end."""

    def __init__(self) -> None:
        """Start without any."""
        self._used: WeakKeyDictionary[Prim, dict[str, Existing]] = WeakKeyDictionary()
        self._users: dict[str, WeakSet[Prim]] = {}

    def take(self, prim: Prim, disks: tuple[Existing, ...]) -> None:
        """Say which disks a machine has from now on, instead of what it had.

        Raises:
            Refused: Another machine has one, and they do not both share it.
        """
        self.check(prim, disks)
        wanted = {os.path.realpath(disk.path): disk for disk in disks}
        for path in self._used.pop(prim, {}):
            self._users[path].discard(prim)
            if not self._users[path]:
                del self._users[path]
        if wanted:
            self._used[prim] = wanted
        for path in wanted:
            self._users.setdefault(path, WeakSet()).add(prim)

    def check(self, prim: Prim, disks: tuple[Existing, ...]) -> None:
        """Refuse disks that another machine has and that they do not both share.

        Raises:
            Refused: The text names that machine.
        """
        for mine in disks:
            path = os.path.realpath(mine.path)
            for other in self._others(prim, path):
                if not (sharing(mine) and sharing(mine) == sharing(self._used[other][path])):
                    raise _taken(mine, f"{other.path} has it already", prim.path)

    def _others(self, prim: Prim, path: str) -> Iterator[Prim]:
        for other in list(self._users.get(path, ())):
            living = other.live.process.lives.get(other.live.id) is other.live
            if other is not prim and living:
                yield other


def _taken(disk: Existing, why: str, where: str) -> Refused:
    hint = "give one machine at a time a disk, or say shareable true, or readOnly true, for all of them"
    return Refused(f"disk {disk.path}: {why}", code="SF-DOM-014", where=where, hint=hint)


def check_wanted(
    disks: tuple[FurtherDisk, ...], prim: Prim, *, boots: bool, diskless: bool,
    targets: tuple[str, ...], taken: Collection[str] = (),
) -> None:  # fmt: skip
    """Refuse disks that contradict what else is said of a machine.

    Args:
        disks: As they are described.
        prim: The machine.
        boots: It boots from a disk, not a kernel that is given.
        diskless: It says that it has none.
        targets: How names in the guest begin.
        taken: Names that volumes of it have.

    Raises:
        BadDescription: The text says what does.
    """
    named = [disk.target for disk in disks if disk.target]
    strange = [name for name in named if not name.startswith(targets)]
    doubled = [name for name in named if name in taken]
    begin = " or ".join(f"{name}b" for name in targets)
    wrong = (
        (bool(strange), f"target {' '.join(strange[:1])} is no name it can have, such as {begin}"),
        (bool(doubled), f"target {' '.join(doubled[:1])} is that of one of its volumes"),
        (diskless and bool(disks), "diskless is true, and there are disks"),
        (any(disk.boot for disk in disks) and not boots, "boot: it boots the kernel that is given"),
    )
    for failed, text in wrong:
        if failed:
            raise BadDescription(f"disks: {text}", code="SF-DOM-013", where=prim.path)


async def check_unused(
    disks: tuple[Existing, ...], uuid: str, prim: Prim, hypervisor: Hypervisor
) -> None:
    """Refuse a disk that a domain of the hypervisor writes to.

    Raises:
        Refused: The text names that domain.
    """
    wanted = {os.path.realpath(disk.path): disk for disk in disks}
    for facts in await hypervisor.facts() if disks else ():
        for path in facts.disks if facts.uuid != uuid else ():
            disk = wanted.get(os.path.realpath(path))
            if disk is not None:
                who = f"it is that of domain {facts.name} ({holder_of(facts)}, UUID {facts.uuid})"
                raise _taken(disk, who, prim.path)


async def find(disks: tuple[FurtherDisk, ...], prim: Prim) -> tuple[Existing, ...]:
    """Look at the disks a machine is to have.

    Raises:
        Refused: One is not there, or is no disk, or of another format than it seems.
        BadDescription: What says where one is says something else.
    """
    return tuple([await _find(disk, prim) for disk in disks])


def literal(disks: tuple[FurtherDisk, ...]) -> tuple[FurtherDisk, ...]:
    """Return those whose place is known before anything has started."""
    return tuple(disk for disk in disks if isinstance(disk.path, str))


async def _find(disk: FurtherDisk, prim: Prim) -> Existing:
    path = disk.path
    if isinstance(path, Reference):
        found = await prim.live.process.resolver.resolve(prim.live, path)
        if not isinstance(found, str):
            raise BadDescription(
                "the path of a disk leads to something that is no path", code="SF-DOM-013",
                where=prim.path, hint="such as LAZY ATTRIB data:volumePath for a Volume called data",
            )  # fmt: skip
        path = found
    place = expanded(path)
    if not place.is_absolute():
        place = prim.work_folder / place
    kind, looks = await prim.run_blocking(_look, place, prim.path)
    if looks == "qcow2" and not disk.format:
        raise Refused(
            f"disk {place} looks like qcow2, and no format is given", code="SF-DOM-013",
            where=prim.path, hint='say format "qcow2", or format "raw" if the guest is to see it so',
        )  # fmt: skip
    if disk.format == "qcow2" and looks != "qcow2":
        raise Refused(
            f"disk {place} is no qcow2 file", code="SF-DOM-013", where=prim.path,
            hint="leave format out for a raw disk",
        )  # fmt: skip
    return Existing(
        str(place), kind, disk.format or "raw", read_only=disk.read_only, shareable=disk.shareable,
        boot=disk.boot, target=disk.target,
    )  # fmt: skip


def _look(path: Path, where: str) -> tuple[Literal["file", "block"], str]:
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise Refused(
                f"disk {path} is no file and no block device", code="SF-DOM-013", where=where
            )
        with path.open("rb") as file:
            looks = "qcow2" if file.read(4) == QCOW2 else "raw"
    except OSError as error:
        raise Refused(
            f"disk {path} cannot be had: {error.strerror}", code="SF-DOM-013", where=where,
            hint="disks are paths on the host the machine runs on; a volume of its own is made by a "
            "storageBackend",
        ) from error  # fmt: skip
    return ("block" if stat.S_ISBLK(mode) else "file"), looks
