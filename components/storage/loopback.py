"""`LoopbackStorageBackend`: volumes as raw files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from components.images.kinds import ImageFacts
from components.storage.backend import StorageBackend
from components.storage.offers import DiskOffer
from components.storage.sourcing import Wanted
from components.storage.space import Promise, Promises
from components.storage.volume_file import VolumeFile
from components.surroundings.workplace import expanded
from engine.core.faults import Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Effect
from engine.runtime.kinds import int_, str_


class FileStorageBackend(StorageBackend):
    """What backends that keep files in a folder share."""

    directory = attr(
        str_, "", doc="Folder of the volumes, below workDir if relative; the one there if empty."
    )

    def folder(self) -> Path:
        """Return where the volumes are."""
        if not self.directory:
            return self.work_folder / "volumes"
        given = expanded(self.directory)
        return given if given.is_absolute() else self.work_folder / given

    @override
    async def check_host(self) -> None:
        if self.using_existing_volumes:
            await self.find_volumes(self.layout())
            return
        where, free, device = await self.run_blocking(self._look_for_space)
        await self.reserve_space(where, free, f"device {device}", self.files_promised())
        if self.base_image.text or not self.base_image.given:
            await self.image()

    def files_promised(self) -> tuple[str, ...]:
        """Return the volumes that space is kept for, in the order of the layout."""
        return tuple(str(self.folder() / one.name) for one in self.layout())

    @override
    async def promise_again(self) -> None:
        if self.using_existing_volumes:
            return
        device = await self.run_blocking(lambda: self.folder().stat().st_dev)
        wanted = self.space_wanted() - self.space_reserve
        self.service(Promises).make(
            self, Promise(f"device {device}", wanted, self.files_promised())
        )

    @override
    async def check_growth_fits(self, more: int) -> None:
        where, free, device = await self.run_blocking(self._look_for_space)
        await self.refuse_growth(where, free, f"device {device}", more)

    def _look_for_space(self) -> tuple[str, int, int]:
        """Return the folder that is there already, what is free in it, and the device it is on."""
        folder = self.folder()
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise Refused(
                f"{folder} is no folder that volumes can be made in", code="SF-STORE-012",
                where=self.path, hint="choose another directory, or let the daemon's user write there",
            )  # fmt: skip
        return str(folder), shutil.disk_usage(folder).free, folder.stat().st_dev

    @override
    async def find_volumes(self, wanted: Sequence[Wanted]) -> list[DiskOffer]:
        pairs = [(one.role, self.folder() / one.name) for one in wanted]
        missing = [str(path) for _, path in pairs if not path.exists()]
        if missing:
            raise Refused(
                f"usingExistingVolumes: there is no {', '.join(missing)}", code="SF-STORE-007",
                where=self.path, hint="name them in volumeNames, or leave usingExistingVolumes out",
            )  # fmt: skip
        return [DiskOffer(role, str(path), "file", self.format_of(path)) for role, path in pairs]

    def format_of(self, path: Path) -> str:
        """Return the format of a volume that was found."""
        del path
        return "raw"

    @override
    async def volume(self, wanted: Wanted, image: ImageFacts) -> Effect:
        return self.file(str(self.folder() / wanted.name), wanted, image)

    @override
    def offer_of(self, effect: Effect) -> DiskOffer | None:
        if isinstance(effect, VolumeFile):
            return DiskOffer(effect.role, effect.path, "file", "raw")
        return None


class LoopbackStorageBackend(FileStorageBackend, type="storage.loop"):
    """Keeps the volumes of one domain as raw, sparse files in a folder of the host."""

    max_loop = attr(
        int_, 0, ge=0, called="maxLoop",
        doc="How many volumes of the daemon are mounted at a time, to be filled or packed, each at a "
        "loop device; 0: as many as the kernel gives.",
    )  # fmt: skip

    @property
    @override
    def most_loops(self) -> int:
        return self.max_loop
