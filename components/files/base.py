"""What all file components share: where the file is, what is published, what becomes of it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NoReturn

from typing_extensions import override

from components.files.attic import Attic
from components.files.changes import FileChange, Settings
from components.files.folders import Folder
from components.files.kinds import encoding_, mode_, owner_, path_
from components.files.states import Kept, ids_of
from components.system.jobs import done_with
from engine.core.faults import BadDescription, Refused
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import NotBound, attr, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import bool_
from sfdl.values import Long, Value

INT_END = 2**31


def number(value: int) -> Value:
    """Return a whole number as the language has it."""
    return value if -INT_END <= value < INT_END else Long(value)


class FilePrim(Prim):
    """Does something to one file or folder when it starts, and publishes how that stands.

    A type says in `target` which one it is, in `look_over` what is wrong with its attributes, in `act`
    what it does, and in `keeps` whether that is left at the end.
    """

    test = attr(bool_, False, doc="Be unwell when the file is not there.", called="testOnLiveness")
    absolutePath = output(str, doc="Where it is.")
    exists = output(bool, doc="It was there when last looked.")
    length = output(int, doc="Bytes it has.")
    timestamp = output(int, doc="When it was changed last, in milliseconds since 1970.")

    def __init__(self) -> None:
        """Have changed nothing yet."""
        self._path: Path | None = None
        self._rooms: list[Path] = []

    def target(self) -> Path:
        """Return the absolute path of the file."""
        raise NotImplementedError

    def look_over(self) -> None:
        """Refuse attributes that are wrong, before anything is done."""

    async def act(self, path: Path) -> Path:
        """Do what the type does; return the file it was done to."""
        return path

    def keeps(self) -> bool:
        """Say whether what was done is left when the component ends."""
        return True

    @override
    async def on_deploy(self) -> None:
        with contextlib.suppress(NotBound):  # what is LAZY is looked over when it starts
            self.look_over()
            self.target()

    @override
    async def on_start(self) -> None:
        self.look_over()
        self._path = await self.act(self.target())
        self._publish()
        done_with(self, f"{self._path} is as it should be")

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, FileChange | Settings | Folder):
                self._path = Path(effect.path)
                self._rooms.append(Path(effect.state))
        if self._path is None:
            self._path = self.target()
        self._publish()

    def _publish(self) -> os.stat_result | None:
        path = self._path
        if path is None:
            return None
        self.absolutePath = str(path)
        try:
            found = path.stat()
        except OSError:
            self.exists = False
            return None
        self.exists = True
        self.live.write("length", number(found.st_size))
        self.live.write("timestamp", number(found.st_mtime_ns // 1_000_000))
        return found

    def wanted(self) -> bool:
        """Say whether the file should be there now."""
        return True

    @override
    async def check(self) -> None:
        found = self._publish()
        if self.test and self._path is not None and (found is not None) is not self.wanted():
            raise Unwell(f"{self._path} is {'not there' if self.wanted() else 'there again'}")

    @override
    async def on_terminate(self, record: Record) -> None:
        if self.keeps() and record.type != DEPLOYMENT_FAILURE:
            for room in self._rooms:
                await self.run_blocking(Kept(room).forget)

    # -- for types

    async def do(self, effect: FileChange | Settings | Folder) -> None:
        """Make an effect that stays or goes as the type says."""
        self._rooms.append(Path(effect.state))
        await self.make(effect, keep="always" if self.keeps() else "never")

    async def room(self) -> str:
        """Return a folder where a change keeps what it needs."""
        return str(await self.service(Attic).room(self))

    def refuse(self, text: str) -> NoReturn:
        """Refuse the description."""
        raise BadDescription(text, where=self.path, code="SF-ATTR-001")

    def absolute(self, name: str, path: str, folder: str = "") -> Path:
        """Return a path given by an attribute; a relative one is below `folder`."""
        whole = Path(folder, path)
        if not whole.is_absolute():
            more = " or dir given" if name == "filename" else ""
            self.refuse(f"{name}: {path} must be an absolute path{more}")
        return Path(os.path.normpath(whole))

    def check_owner(self, owner: str | None) -> None:
        """Refuse an owner that is unknown here, or that we may not give."""
        if not owner:
            return
        try:
            uid, _ = ids_of(owner)
        except Refused as error:
            self.refuse(error.fault.message)
        if os.geteuid() not in {0, uid}:
            self.refuse("owner: only a daemon of root can give a file to somebody else")


class NamedFile(FilePrim):
    """A file component that is told the name of its file."""

    filename = attr(path_, doc="The file; a relative one is in `dir`.")
    folder = attr(path_, None, doc="Folder of a relative name.", called="dir")

    @override
    def target(self) -> Path:
        return self.absolute("filename", self.filename, self.folder or "")


class WithSettings(FilePrim):
    """A file component that can be told permissions and owner."""

    mode = attr(mode_, None, doc='Permissions in octal, such as "0640".')
    owner = attr(owner_, None, doc='User it belongs to, or "user:group".')

    @override
    def look_over(self) -> None:
        super().look_over()
        self.check_owner(self.owner)

    def bits(self) -> int:
        """Return the permissions, or a negative number."""
        return -1 if self.mode is None else self.mode


class WithText(FilePrim):
    """A file component that writes text."""

    encoding = attr(encoding_, "utf-8", doc="How text becomes bytes.")

    def encoded(self, name: str, text: str) -> bytes:
        """Encode text, or refuse it."""
        try:
            return text.encode(self.encoding)
        except UnicodeEncodeError as error:
            letter = error.object[error.start]
            self.refuse(f"{name}: {letter!r} cannot be written in {self.encoding}")


def kind_of(path: Path) -> str:
    """Say what is at a path: `file`, `folder`, `other`, or nothing."""
    try:
        found = path.stat().st_mode
    except OSError:
        return ""
    return "file" if stat.S_ISREG(found) else "folder" if stat.S_ISDIR(found) else "other"
