"""The end of a backend: the image of its root is saved, and its volumes stay or go as described."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.storage.keeping import Ending, image_saved, volumes_stay
from components.storage.saving import SavedImage, unused
from engine.core.faults import EngineError
from engine.runtime.effects import Effect, NameTaken

if TYPE_CHECKING:
    from components.storage.backend import StorageBackend


class Closing:
    """Decides what becomes of the volumes of one backend, whose user has let go of them."""

    def __init__(self, backend: StorageBackend) -> None:
        """Serve one backend."""
        self._backend = backend

    async def carry_out(self, ending: Ending) -> None:
        """Save the image, and say of each volume whether it stays, as the table of `keeping` says."""
        backend = self._backend
        if ending is Ending.ROLLBACK and backend.resumes:
            return
        volumes = [made.effect for made in backend.live.effects if backend.offer_of(made.effect)]
        found = backend.using_existing_volumes
        stay = volumes_stay(backend.keep_volumes, found=found, ending=ending)
        if found and stay != "always":
            volumes.extend(await self._give_up())
        later = f"{backend.keep_on_failure:g}" if backend.keep_on_failure else "never"
        keep = later if stay == "later" else stay
        if ending is not Ending.ROLLBACK and backend.offers:
            wanted = image_saved(wanted=backend.save_image, on=backend.save_image_on, ending=ending)
            if wanted and not await self._saved(volumes, keep):
                return
        for volume in volumes:
            await backend.amend(volume, keep)

    async def _give_up(self) -> list[Effect]:
        """Take over the volumes that were found, to remove them; those of another owner stay."""
        taken: list[Effect] = []
        for effect in map(self._backend.given_up, self._backend.offers):
            try:
                taken.append(await self._backend.make(effect, keep="always"))
            except NameTaken:
                self._tell(f"{effect.label()} belongs to another owner: it stays")
        return taken

    def _tell(self, text: str) -> None:
        backend = self._backend
        backend.last_error = text
        backend.live.segment.errors.append(f"{backend.path}: {text}")
        backend.note(text, "error")

    async def _saved(self, volumes: Sequence[Effect], then: str) -> bool:
        """Pack the root volume; until that is done, and if it fails, the volumes stay."""
        backend = self._backend
        for volume in volumes:
            await backend.amend(volume, "always")
        try:
            async with backend.turn():
                await backend.make(await self._image(then), keep="always")
        except asyncio.CancelledError:
            self._tell_unsaved("it took longer than sfTerminateTimeout")
            raise
        except (EngineError, OSError) as error:
            self._tell_unsaved(str(error))
            return False
        return True

    async def _image(self, then: str) -> SavedImage:
        backend, root = self._backend, self._backend.offers[0]
        prefix = backend.used_by or backend.name
        folder = Path(backend.save_image_path).expanduser()
        name, ending = backend.save_image_name, f".{backend.save_image_extension}"
        if not name:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            name = await backend.run_blocking(unused, folder, f"{prefix}-{stamp}", ending)
        return SavedImage(
            volume=root.path, volume_format=root.format, extension=backend.save_image_extension,
            path=str(folder / f"{name}{ending}"),
            stem=backend.save_image_name or prefix, domain=prefix,
            keep_newest=backend.save_image_keep, then=then, sysprep=backend.save_image_sysprep,
            loops=backend.most_loops,
        )  # fmt: skip

    def _tell_unsaved(self, why: str) -> None:
        self._tell(f"the image could not be saved, the volumes stay: {why}")
