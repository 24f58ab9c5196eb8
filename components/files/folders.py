"""A folder as an effect."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

from typing_extensions import override

from components.files.states import Kept, give, settle_folder, standing
from engine.core.faults import Refused
from engine.runtime.effects import Effect, Presence, Site


class Folder(Effect, frozen=True):
    """A folder that is there; one that was there before is left as it is.

    Attributes:
        path: Absolute path.
        state: Folder of ours where it is kept which one we made.
        mode: Permission bits; negative: as usual.
        owner: Name or `name:group`; empty: ours.
        parents: Make missing folders above it.
        whole: Remove it with all that is in it; else only if nothing is.
        exclusive: Refuse one that is there already.
    """

    path: str
    state: str
    mode: int = -1
    owner: str = ""
    parents: bool = True
    whole: bool = False
    exclusive: bool = False

    @override
    def label(self) -> str:
        return f"folder {self.path}"

    @override
    async def look(self, at: Site) -> Presence:
        return await at.blocking(self._look)

    def _look(self) -> Presence:
        path = Path(self.path)
        if Kept(Path(self.state)).done():
            return Presence.OURS
        there = path.exists() or path.is_symlink()
        return (
            Presence.FOREIGN if there and (self.exclusive or not path.is_dir()) else Presence.ABSENT
        )

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._make)
        return self

    def _make(self) -> None:
        path, kept = Path(self.path), Kept(Path(self.state))
        kept.begin()
        try:
            if not path.is_dir():
                self._make_new(path, kept)
        except OSError as error:
            raise Refused(f"{path} cannot be made: {error.strerror}", code="SF-FILE-001") from error
        kept.finish()

    def _make_new(self, path: Path, kept: Kept) -> None:
        if self.parents:
            kept.make_parents(path.parent)
        # Which one is ours is written before it has its name: a rename keeps the inode.
        part = path.with_name(f".{path.name[:100]}.{Path(self.state).name}.part")
        if not part.exists():
            part.mkdir(0o700)
        kept.will_be(part.lstat(), marked=False)
        give(str(part), self.owner, None)
        part.chmod(self.mode if self.mode >= 0 else 0o755)
        part.rename(path)
        settle_folder(path.parent)

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(self._undo)

    def _undo(self) -> None:
        path, kept = Path(self.path), Kept(Path(self.state))
        part = path.with_name(f".{path.name[:100]}.{Path(self.state).name}.part")
        if part.exists():
            part.rmdir()
        ours, there = kept.made(), standing(path)
        if ours is not None and there is not None and ours.place == there.place:
            if self.whole:
                shutil.rmtree(path)
            elif not any(path.iterdir()):
                path.rmdir()
        kept.remove_parents()
        kept.forget()
