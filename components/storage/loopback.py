"""`LoopbackStorageBackend`: volumes as raw files."""

from __future__ import annotations

import shutil
from pathlib import Path

from typing_extensions import override

from components.storage.backend import DiskOffer, StorageBackend
from engine.core.faults import Refused
from engine.runtime.attributes import attr, exposed
from engine.runtime.effects import Effect
from engine.runtime.kinds import size_bytes, str_


class LoopbackStorageBackend(StorageBackend, type="storage.loop"):
    """Keeps the volumes of one domain as raw, sparse files in a folder of the host."""

    directory = attr(str_, "", doc="Folder of the volumes; the daemon's own if empty.")
    space_reserve = attr(
        size_bytes, "1g", doc="Space that stays free on the host.", called="spaceReserve"
    )

    def __init__(self) -> None:
        """Have made nothing yet."""
        super().__init__()
        self._offers: list[DiskOffer] = []

    def _folder(self) -> Path:
        if not self.directory:
            return self.work_folder / "volumes"
        given = Path(self.directory).expanduser()
        return given if given.is_absolute() else self.work_folder / given

    @override
    async def on_deploy(self) -> None:
        if not self.base_image.text and not self.base_image.given:
            raise Refused("baseImage must be given", where=self.path)
        await self.run_blocking(self._check_space)
        if self.base_image.text:
            await self.image()

    def _check_space(self) -> None:
        folder = self._folder()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        wanted = self.volume_size + self.swap_size + self.space_reserve
        if free < wanted:
            raise Refused(
                f"{folder} has {free} bytes free; {wanted} are wanted, {self.space_reserve} of them "
                "to stay free",
                code="SF-STORE-004", where=self.path,
                hint="choose another directory, smaller volumes or a smaller spaceReserve",
            )  # fmt: skip

    @override
    async def on_start(self) -> None:
        volumes = [self.volume(self._folder(), "root", await self.image())]
        if self.swap_size:
            volumes.append(self.volume(self._folder(), "swap", None))
        for volume in volumes:
            made = await self.make_volume(volume)
            self._offers.append(DiskOffer(made.role, made.path, "file", "raw"))

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        self._offers = [
            DiskOffer(volume.role, volume.path, "file", "raw")
            for volume in self.kept_volumes(effects)
        ]

    @exposed()
    @override
    async def disks(self) -> list[DiskOffer]:
        return list(self._offers)
