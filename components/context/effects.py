"""What telling a guest makes on its host: a disk with files, or files inside its own volume.

What a guest is told may be secret, so it is kept in memory until it is used: the ledger has the place
and a digest only.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Self

from typing_extensions import override

from components.context.extfs import find_filesystem, look_into, replay_journal, write_into
from components.context.systems import files_for, uses
from components.context.told import Told, content_id
from engine.core.faults import BadDescription, Refused
from engine.runtime.effects import Effect, Presence, Site

MOST_BYTES = 2**20
"""Greatest size of all files on a context disk."""


class Messages:
    """What is still to be told, by the place where it goes; one for each process."""

    def __init__(self) -> None:
        """Start with nothing to tell."""
        self.disks: dict[str, dict[str, bytes]] = {}
        self.volumes: dict[str, Told] = {}


def check_size(files: dict[str, bytes], *, where: str) -> None:
    """Refuse more than a context disk may hold.

    Raises:
        BadDescription: It is too much.
    """
    size = sum(len(data) for data in files.values())
    if size > MOST_BYTES:
        raise BadDescription(
            f"what the guest is told has {size} bytes, {MOST_BYTES} fit", code="SF-CTX-001",
            where=where, hint="put large files into the image, or let the guest fetch them",
        )  # fmt: skip


class ContextDisk(Effect, frozen=True):
    """An ISO 9660 image with a few files, which the guest finds by its label.

    Attributes:
        path: The image.
        label: Volume label.
        instance: Names what is on it.
    """

    path: str
    volume_label: str
    instance: str

    @override
    def label(self) -> str:
        return f"context disk {Path(self.path).name}"

    @property
    def _part(self) -> Path:
        return Path(f"{self.path}.part")

    @override
    async def look(self, at: Site) -> Presence:
        there = Path(self.path).exists() or self._part.exists()
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        files = at.service(Messages).disks.pop(self.path, None)
        if files is None:
            raise Refused(f"what goes on {self.path} is not known any more", code="SF-CTX-001")
        await at.blocking(self._write, files)
        return self

    def _write(self, files: dict[str, bytes]) -> None:
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        data = iso_of(self.volume_label, files)
        self._part.unlink(missing_ok=True)
        handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        self._part.replace(self.path)

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(self._remove)

    def _remove(self) -> None:
        self._part.unlink(missing_ok=True)
        Path(self.path).unlink(missing_ok=True)


def iso_of(label: str, files: dict[str, bytes]) -> bytes:
    """Return an ISO 9660 image with Rock Ridge and Joliet names; blocks for some milliseconds."""
    import pycdlib  # noqa: PLC0415 - slow to import, and most processes write none

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    try:
        for number, (name, data) in enumerate(files.items()):
            iso.add_fp(
                io.BytesIO(data), len(data), f"/F{number}.;1", rr_name=name,
                joliet_path=f"/{name}", file_mode=0o100755 if data.startswith(b"#!") else 0o100644,
            )  # fmt: skip
        out = io.BytesIO()
        iso.write_fp(out)
    finally:
        iso.close()
    return out.getvalue()


class InjectedFiles(Effect, frozen=True):
    """Files written into a guest's root volume before it boots; they stay and go with the volume.

    Attributes:
        volume: File or device that holds an ext filesystem.
        instance: Names what is written.
        style: Whose network files were written; empty before, or if none we know.
        done: They have been written.
    """

    volume: str
    instance: str
    style: str = ""
    done: bool = False

    @override
    def label(self) -> str:
        return f"files in {Path(self.volume).name}"

    @override
    async def look(self, at: Site) -> Presence:
        there = self.done and Path(self.volume).exists()
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        told = at.service(Messages).volumes.pop(self.volume, None)
        if told is None:
            raise Refused(f"what goes into {self.volume} is not known any more", code="SF-CTX-001")
        found = await at.blocking(find_filesystem, Path(self.volume))
        if found.needs_recovery:
            await replay_journal(at, found.device)
        seen = await look_into(at, found.device)
        if seen.kinds.get("/etc") != "directory":
            raise Refused(
                f"{self.volume} holds no system: it has no /etc", code="SF-CTX-002",
                hint="choose another mode for its Context",
            )  # fmt: skip
        await write_into(at, found.device, files_for(told, seen))
        return type(self)(self.volume, content_id(told), uses(seen), done=True)

    @override
    async def undo(self, at: Site) -> None:
        """Leave them: the volume is removed, or kept with what is in it."""
