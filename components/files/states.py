"""What is kept about a file while it is changed: the former file, and how to know the new one."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import stat
from pathlib import Path

import msgspec
from msgspec import Struct

from engine.core.decoding import from_json
from engine.core.faults import Refused


class Standing(Struct, frozen=True):
    """How a file stands: which it is, and its settings.

    Attributes:
        place: Device and inode.
        marked: It carries a mark of its maker.
    """

    place: tuple[int, int]
    mode: int
    uid: int
    gid: int
    accessed_ns: int
    changed_ns: int
    marked: bool = False


def standing(path: Path) -> Standing | None:
    """Return how a file or folder stands, links not followed; nothing if it is not there."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _standing(found)


def _standing(found: os.stat_result, *, marked: bool = False) -> Standing:
    return Standing(
        (found.st_dev, found.st_ino), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid,
        found.st_atime_ns, found.st_mtime_ns, marked,
    )  # fmt: skip


def give(what: int | str, owner: str, former: Standing | None) -> None:
    """Set the owner of a file: by name, or as a former one had it where we may.

    Raises:
        Refused: There is no such user or group.
    """
    if owner:
        uid, gid = ids_of(owner)
        os.chown(what, uid, gid)
    elif former is not None and os.geteuid() == 0:
        os.chown(what, former.uid, former.gid)


def ids_of(owner: str) -> tuple[int, int]:
    """Return the ids of `name` or `name:group`; without a group the user's own.

    Raises:
        Refused: There is no such user or group.
    """
    name, mark, group = owner.partition(":")
    try:
        user = pwd.getpwnam(name)
        return user.pw_uid, grp.getgrnam(group).gr_gid if mark else user.pw_gid
    except KeyError:
        raise Refused(f"owner: there is no {owner} on this host", code="SF-ATTR-001") from None


def settle_folder(folder: Path) -> None:
    """Make names that came and went in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Kept:
    """The folder where one change keeps what it needs to be undone, also after a crash."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it need not be there."""
        self._folder = folder

    @property
    def _former(self) -> Path:
        return self._folder / "former"

    @property
    def has_former(self) -> bool:
        """Say whether something was there before."""
        return self._former.exists() or self._former.is_symlink()

    def begin(self) -> None:
        """Make the folder."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _write(self, name: str, data: object) -> None:
        part = self._folder / f"{name}.part"
        with part.open("wb") as file:
            file.write(msgspec.json.encode(data))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / name)
        settle_folder(self._folder)

    def _read(self, name: str) -> Standing | None:
        try:
            return from_json((self._folder / name).read_bytes(), Standing)
        except FileNotFoundError:
            return None

    def keep(self, path: Path) -> None:
        """Keep a file as it is; free of cost where both are on one filesystem."""
        if self.has_former:
            return
        part = self._folder / "former.part"
        part.unlink(missing_ok=True)
        try:
            os.link(path, part, follow_symlinks=False)
        except OSError:
            shutil.copy2(path, part, follow_symlinks=False)
            if os.geteuid() == 0:
                found = path.lstat()
                os.chown(part, found.st_uid, found.st_gid, follow_symlinks=False)
            if not part.is_symlink():
                with part.open("rb") as file:
                    os.fsync(file.fileno())
        part.replace(self._former)
        settle_folder(self._folder)

    def put_back(self, path: Path, part: Path) -> None:
        """Put the former file back, if there was one, by way of a temporary name beside it."""
        if not self.has_former:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._former.replace(path)
        except OSError:
            shutil.copy2(self._former, part, follow_symlinks=False)
            if os.geteuid() == 0:
                found = self._former.lstat()
                os.chown(part, found.st_uid, found.st_gid, follow_symlinks=False)
            part.replace(path)

    def will_be(self, found: os.stat_result, *, marked: bool) -> None:
        """Remember the file that is about to take the name."""
        self._write("made", _standing(found, marked=marked))

    def made(self) -> Standing | None:
        """Return the file we made."""
        return self._read("made")

    def remember(self, former: Standing) -> None:
        """Remember settings."""
        if not (self._folder / "settings").exists():
            self._write("settings", former)

    def remembered(self) -> Standing | None:
        """Return the settings remembered."""
        return self._read("settings")

    def make_parents(self, folder: Path) -> None:
        """Make missing folders, remembering which."""
        missing = []
        at = folder
        while not at.exists():
            missing.append(str(at))
            at = at.parent
        if missing:
            self._write("parents", missing)
            folder.mkdir(parents=True, exist_ok=True)

    def remove_parents(self) -> None:
        """Remove the folders made, deepest first, as far as they are empty."""
        try:
            data = (self._folder / "parents").read_bytes()
        except FileNotFoundError:
            return
        for folder in from_json(data, list[str]):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()

    def finish(self) -> None:
        """Say that the change is done."""
        self._write("done", True)

    def done(self) -> bool:
        """Say whether the change is done."""
        return (self._folder / "done").exists()

    def forget(self) -> None:
        """Remove all that was kept."""
        shutil.rmtree(self._folder, ignore_errors=True)
