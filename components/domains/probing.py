"""Does a guest really come up accelerated on this host? A tiny one is started once, and the answer kept.

What a hypervisor says it can do is no proof: there are machines where KVM is offered and no guest of
it ever runs an instruction.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from components.domains.effects import TransientDomain
from components.domains.xml import DiskSpec, DomainSpec, domain_xml
from components.hypervisor import names
from components.hypervisor.choice import scheme_of
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import owner_record
from engine.core.decoding import from_json
from engine.runtime.effects import Site

if TYPE_CHECKING:
    from components.domains.domain import Domain

PROBE_S = 30.0
"""Seconds a probe guest has to come up."""
LOOK_S = 0.1
MARKER = b"SD-PROBE"
_CODE = bytes.fromhex("31c0 8ed8 fc be167c baf803 ac 84c0 7403 ee ebf8 f4 ebfd") + MARKER + b"\0"
BOOT_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"
"""Writes the marker to the first serial port, byte by byte, and halts."""
DISK_BYTES = 2**20


class ProbeGuest(TransientDomain, frozen=True):
    """A guest of 32 MiB that says one word and halts.

    Attributes:
        folder: Where its disk and its console log are.
        came_up: It has said its word.
    """

    folder: str = ""
    came_up: bool = False

    @override
    def label(self) -> str:
        return f"probe guest {self.name}"

    @property
    def _files(self) -> tuple[Path, Path]:
        return Path(self.folder, f"{self.name}.img"), Path(self.folder, f"{self.name}.log")

    @override
    async def make(self, at: Site) -> Self:
        disk, log = self._files
        await at.blocking(self._write, disk, log)
        await super().make(at)
        until_s = asyncio.get_running_loop().time() + PROBE_S
        while asyncio.get_running_loop().time() < until_s:
            if MARKER in await at.blocking(log.read_bytes):
                return replace(self, came_up=True)
            await asyncio.sleep(LOOK_S)
        return self

    def _write(self, disk: Path, log: Path) -> None:
        disk.parent.mkdir(parents=True, exist_ok=True)
        disk.write_bytes(BOOT_SECTOR.ljust(DISK_BYTES, b"\0"))
        log.write_bytes(b"")

    @override
    async def undo(self, at: Site) -> None:
        await super().undo(at)
        for path in self._files:
            await at.blocking(lambda path=path: path.unlink(missing_ok=True))


class Probes:
    """What is known of acceleration at the hypervisors of one process."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._turn = asyncio.Lock()
        self._failed: set[str] = set()  # what failed may have been short of something: asked anew

    async def accelerated(self, domain: Domain) -> bool:
        """Say whether guests come up accelerated at a machine's hypervisor, starting one if need be."""
        if scheme_of(domain.uri) == "test":
            return False
        async with self._turn:
            folder = domain.live.process.work_folder
            known = await domain.run_blocking(_known, folder)
            key = _key(domain.uri)
            if known.get(key):
                return True
            if key not in self._failed:
                if await comes_up(domain, "kvm"):
                    await domain.run_blocking(_keep, folder, {**known, key: True})
                    return True
                self._failed.add(key)
        return False


async def comes_up(domain: Domain, kind: Literal["kvm", "qemu"]) -> bool:
    """Start a probe guest of that kind at a machine's hypervisor, and end it; say whether it came up."""
    owner = domain.live.owner
    uuid = names.uuid_of(owner.community, owner.application, owner.path, f"probe {kind}")
    name, folder = f"probe-{kind}-{uuid[:8]}", domain.work_folder / "probes"
    spec = DomainSpec(
        kind=kind, name=name, uuid=uuid, title=domain.path, memory_bytes=2**25,
        owner=owner_record(owner), console_log=str(folder / f"{name}.log"),
        disks=(DiskSpec(path=str(folder / f"{name}.img"), target="vda"),),
    )  # fmt: skip
    guest = ProbeGuest(domain.uri, uuid, name, xml=domain_xml(spec), folder=str(folder))
    try:
        made = await domain.make(guest)
    except HypervisorError as error:
        if error.kind in {"Unreachable", "Timeout"}:
            raise
        domain.log.info("a probe guest of kind %s is refused: %s", kind, error.message)
        for left in [
            one.effect for one in domain.live.effects if isinstance(one.effect, ProbeGuest)
        ]:
            await domain.unmake(left)
        return False
    await domain.unmake(made)
    return made.came_up


def _key(uri: str) -> str:
    """Return what an answer holds for: another kernel may give another one."""
    return f"{uri} {os.uname().release}"


def _file(folder: Path) -> Path:
    return folder / "acceleration.json"


def _known(folder: Path) -> dict[str, bool]:
    try:
        return from_json(_file(folder).read_bytes(), dict[str, bool])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _keep(folder: Path, known: dict[str, bool]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _file(folder).write_bytes(msgspec.json.encode(known))
