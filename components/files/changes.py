"""One change of a file as an effect: made in one step, put back as it was."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

from typing_extensions import override

from components.files.states import Kept, Standing, give, settle_folder, standing
from engine.core.faults import Refused
from engine.runtime.effects import Effect, NameTaken, Presence, Site

PIECE = 2**20
MARK = "user.smartdomains.owner"


class FileChange(Effect, frozen=True):
    """A file that gets new content, or goes away; what was there before is kept until the end.

    The content is written beside the file under a temporary name, made durable, and renamed. What is
    there is ours while it is the very file we made, known by its inode and, where the filesystem can
    carry one, a mark; one that somebody put in its place is left alone.

    Attributes:
        path: Absolute path of the file.
        state: Folder of ours where the former file and what we know of the new one are kept.
        token: What the temporary name and the mark are made of.
        content: What is in it; nothing: see `source`.
        source: File it is copied from; with neither this nor `content` it is removed.
        mode: Permission bits; negative: as the former file, or as the source.
        owner: Name or `name:group`; empty: as the former file, or ours.
        overwrite: A file that is there already may be changed.
        parents: Make missing folders above it; those are removed again if nothing else is in them.
    """

    path: str
    state: str
    token: str
    content: bytes | None = None
    source: str = ""
    mode: int = -1
    owner: str = ""
    overwrite: bool = True
    parents: bool = False

    @override
    def label(self) -> str:
        return f"file {self.path}"

    @property
    def removes(self) -> bool:
        """Say whether the file goes away."""
        return self.content is None and not self.source

    @property
    def _part(self) -> Path:
        return Path(self.path).with_name(f".{Path(self.path).name[:100]}.{self.token}.part")

    @property
    def _kept(self) -> Kept:
        return Kept(Path(self.state))

    @override
    async def look(self, at: Site) -> Presence:
        return await at.blocking(self._look)

    def _look(self) -> Presence:
        if self._kept.done():
            return Presence.OURS  # that somebody else changed it since is no loss of ours
        there = standing(Path(self.path))
        taken = there is not None and not self.overwrite
        return Presence.FOREIGN if taken else Presence.ABSENT

    def _is_ours(self, ours: Standing, there: Standing) -> bool:
        if ours.place != there.place:
            return False
        try:
            return os.getxattr(self.path, MARK).decode() == self.token
        except OSError:
            return not ours.marked

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._make)
        return self

    def _make(self) -> None:
        path, kept = Path(self.path), self._kept
        if path.is_dir():
            raise Refused(f"{path} is a folder", code="SF-FILE-001")
        kept.begin()
        try:
            if self.parents:
                kept.make_parents(path.parent)
            if path.exists() or path.is_symlink():
                kept.keep(path)
            if self.removes:
                path.unlink(missing_ok=True)
            else:
                self._write(path, kept)
        except OSError as error:
            raise Refused(
                f"{path} cannot be changed: {error.strerror}", code="SF-FILE-001"
            ) from error
        settle_folder(path.parent)
        kept.finish()

    def _write(self, path: Path, kept: Kept) -> None:
        former = standing(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._part.unlink(missing_ok=True)
        descriptor = os.open(self._part, flags, 0o600)
        try:
            mode = self._fill(descriptor)
            give(descriptor, self.owner, former)
            os.fchmod(descriptor, self._mode(mode, former))
            marked = False
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, MARK, self.token.encode())
                marked = True
            os.fsync(descriptor)
            kept.will_be(os.fstat(descriptor), marked=marked)
        finally:
            os.close(descriptor)
        if self.overwrite:
            self._part.replace(path)
            return
        try:
            os.link(self._part, path)  # fails if somebody was quicker
        except FileExistsError as error:
            raise NameTaken(f"file {path} exists already and is not ours") from error
        finally:
            self._part.unlink()

    def _fill(self, descriptor: int) -> int:
        if self.content is not None:
            rest = memoryview(self.content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            return 0o644 & ~_umask()
        with Path(self.source).open("rb") as source:
            while piece := source.read(PIECE):
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            return os.fstat(source.fileno()).st_mode & 0o7777

    def _mode(self, mode: int, former: Standing | None) -> int:
        if self.mode >= 0:
            return self.mode
        return former.mode if former is not None and not self.source else mode

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(self._undo)

    def _undo(self) -> None:
        path, kept = Path(self.path), self._kept
        self._part.unlink(missing_ok=True)
        there, ours = standing(path), kept.made()
        mine = there is not None and ours is not None and self._is_ours(ours, there)
        if kept.has_former and (mine or there is None):
            kept.put_back(path, self._part)
        elif mine:
            path.unlink()
        if path.parent.exists():
            settle_folder(path.parent)
        kept.remove_parents()
        kept.forget()


class Settings(Effect, frozen=True):
    """Mode, owner or times of a file that is there; the former ones are put back.

    Attributes:
        path: Absolute path.
        state: Folder of ours where the former settings are kept.
        mode: Permission bits; negative: as they are.
        owner: Name or `name:group`; empty: as it is.
        touched_s: Seconds since 1970 for its time of change; nothing: as it is.
    """

    path: str
    state: str
    mode: int = -1
    owner: str = ""
    touched_s: float | None = None

    @override
    def label(self) -> str:
        return f"settings of {self.path}"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS if Kept(Path(self.state)).done() else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._make)
        return self

    def _make(self) -> None:
        kept = Kept(Path(self.state))
        former = standing(Path(self.path))
        if former is None:
            raise Refused(f"there is no file {self.path}", code="SF-FILE-002")
        kept.begin()
        kept.remember(former)
        try:
            if self.owner:
                give(self.path, self.owner, None)
            if self.mode >= 0:
                Path(self.path).chmod(self.mode)
            if self.touched_s is not None:
                os.utime(self.path, (self.touched_s, self.touched_s))
        except OSError as error:
            raise Refused(
                f"{self.path} cannot be changed: {error.strerror}", code="SF-FILE-001"
            ) from error
        kept.finish()

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(self._undo)

    def _undo(self) -> None:
        kept = Kept(Path(self.state))
        former, there = kept.remembered(), standing(Path(self.path))
        if former is not None and there is not None and former.place == there.place:
            if self.owner:
                os.chown(self.path, former.uid, former.gid)
            if self.mode >= 0:
                Path(self.path).chmod(former.mode)
            if self.touched_s is not None:
                os.utime(self.path, ns=(former.accessed_ns, former.changed_ns))
        kept.forget()


def _umask() -> int:
    text = Path("/proc/self/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("Umask:"))
    return int(line.split()[1], 8)
