"""Volumes that were there before: used as they are, removed only where the description says so."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from typing_extensions import override

from components.storage.filling import overwrite
from components.storage.using import refuse_used
from components.storage.volume_file import VolumeFile
from engine.core.faults import Refused
from engine.runtime.effects import Effect, Presence, Site


class GivenUpVolume(Effect, frozen=True):
    """A found volume that is to be removed: undoing this effect removes it.

    Attributes:
        path: The volume.
        wipe: Overwrite it first.
    """

    path: str
    wipe: bool = False

    @override
    def label(self) -> str:
        return f"volume {self.path}"

    def _as_ours(self) -> VolumeFile:
        return VolumeFile(self.path, 0, "root")

    @override
    async def look(self, at: Site) -> Presence:
        owner = self._as_ours().owner()
        if owner is not None and not owner.same_place(at.owner):
            return Presence.FOREIGN
        return Presence.OURS if Path(self.path).exists() else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        return self

    @override
    async def undo(self, at: Site) -> None:
        owner = self._as_ours().owner()
        if owner is not None and not owner.same_place(at.owner):
            raise Refused(f"{self.path} belongs to {owner.path}: it stays")
        await refuse_used(at, self.path)
        await at.blocking(self.remove)

    def remove(self) -> None:
        """Remove it, and what is written down of it; blocks."""
        if self.wipe:
            overwrite(Path(self.path))
        Path(self.path).unlink(missing_ok=True)
        self._as_ours().sidecar.unlink(missing_ok=True)
