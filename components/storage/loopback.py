"""`LoopbackStorageBackend`: volumes as raw files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from components.images.kinds import ImageFacts
from components.storage.backend import DiskOffer, StorageBackend
from components.storage.volume_file import VolumeFile
from engine.core.faults import Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Effect
from engine.runtime.kinds import size_bytes, str_


class FileStorageBackend(StorageBackend):
    """What backends that keep files in a folder share."""

    directory = attr(str_, "", doc="Folder of the volumes; the daemon's own if empty.")
    space_reserve = attr(
        size_bytes, "1g", doc="Space that stays free on the host.", called="spaceReserve"
    )

    def folder(self) -> Path:
        """Return where the volumes are."""
        if not self.directory:
            return self.work_folder / "volumes"
        given = Path(self.directory).expanduser()
        return given if given.is_absolute() else self.work_folder / given

    def space_wanted(self) -> int:
        """Return how many bytes the volumes may take."""
        return self.volume_size + self.swap_size

    @override
    async def check_host(self) -> None:
        if self.using_existing_volumes:
            await self.find_volumes(self.names())
            return
        await self.run_blocking(self._check_space)
        if self.base_image.text or not self.base_image.given:
            await self.image()

    def _check_space(self) -> None:
        folder = self.folder()
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise Refused(
                f"{folder} is no folder that volumes can be made in", code="SF-STORE-012",
                where=self.path, hint="choose another directory, or let the daemon's user write there",
            )  # fmt: skip
        free = shutil.disk_usage(folder).free
        wanted = self.space_wanted() + self.space_reserve
        if free < wanted:
            raise Refused(
                f"{folder} has {free} bytes free; {wanted} are wanted, {self.space_reserve} of them "
                "to stay free",
                code="SF-STORE-004", where=self.path,
                hint="choose another directory, smaller volumes or a smaller spaceReserve",
            )  # fmt: skip

    @override
    async def find_volumes(self, names: Sequence[str]) -> list[DiskOffer]:
        paths = [self.folder() / name for name in names]
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise Refused(
                f"usingExistingVolumes: there is no {', '.join(missing)}", code="SF-STORE-007",
                where=self.path, hint="name them in volumeNames, or leave usingExistingVolumes out",
            )  # fmt: skip
        roles = ("root", "swap")
        return [
            DiskOffer(role, str(path), "file", self.format_of(path))
            for role, path in zip(roles, paths, strict=False)
        ]

    def format_of(self, path: Path) -> str:
        """Return the format of a volume that was found."""
        del path
        return "raw"

    async def make_swap(self) -> list[DiskOffer]:
        """Make the swap volume, if one is wanted."""
        if not self.swap_size:
            return []
        path = self.folder() / self.names()[1]
        swap = VolumeFile(str(path), self.swap_size, "swap", uuid=self.identity("swap"))
        made = await self.make(swap, executor=self.executor())
        return [DiskOffer("swap", made.path, "file", "raw")]


class LoopbackStorageBackend(FileStorageBackend, type="storage.loop"):
    """Keeps the volumes of one domain as raw, sparse files in a folder of the host."""

    @override
    async def make_volumes(self, image: ImageFacts) -> list[DiskOffer]:
        root = VolumeFile(
            path=str(self.folder() / self.names()[0]), size_bytes=self.volume_size, role="root",
            image=image.path, image_kind=image.kind, make_fs=self.filesystem,
            uuid=self.identity("root"),
        )  # fmt: skip
        made = await self.make(root, executor=self.executor())
        return [DiskOffer("root", made.path, "file", "raw"), *await self.make_swap()]

    @override
    def offers_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        volumes = [effect for effect in effects if isinstance(effect, VolumeFile)]
        return [DiskOffer(volume.role, volume.path, "file", "raw") for volume in volumes]
