"""The file components."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from pathlib import Path

from typing_extensions import override

from components.files.base import FilePrim, NamedFile, WithSettings, WithText, kind_of
from components.files.changes import FileChange, Settings
from components.files.folders import Folder
from components.files.kinds import (
    NoVariableError,
    affix_,
    appended,
    filled,
    lines_,
    path_,
    vars_,
)
from components.system.kinds import pattern_
from engine.core.faults import Refused
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.prim import Unwell
from engine.runtime.attributes import attr, output
from engine.runtime.kinds import bool_, int_, str_
from sfdl.values import Vector

DELETE = "Remove it when the component ends."
RESTORE = "Put back what was there before when the component ends."
MOST_FILES = 10_000


def _token() -> str:
    return secrets.token_hex(16)


class _Deleting(FilePrim):
    delete = attr(bool_, False, doc=DELETE, called="deleteOnExit")

    @override
    def keeps(self) -> bool:
        return not self.delete


class _Restoring(FilePrim):
    restore = attr(bool_, False, doc=RESTORE, called="restoreOnExit")

    @override
    def keeps(self) -> bool:
        return not self.restore


class File(NamedFile, type="file.file"):
    """Knows a file that others make, and looks after it."""

    must_exist = attr(bool_, False, doc="Fail to start without it.", called="mustExist")
    must_read = attr(bool_, False, doc="Fail if it cannot be read.", called="mustRead")
    must_write = attr(bool_, False, doc="Fail if it cannot be written.", called="mustWrite")
    delete = attr(bool_, False, doc=DELETE, called="deleteOnExit")

    @override
    async def act(self, path: Path) -> Path:
        if (self.must_exist or self.must_read) and not path.exists():
            raise Refused(f"there is no file {path}", where=self.path, code="SF-FILE-002")
        if self.must_read and not os.access(path, os.R_OK):
            raise Refused(f"{path} cannot be read", where=self.path, code="SF-FILE-001")
        if self.must_write and not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Refused(f"{path} cannot be written", where=self.path, code="SF-FILE-001")
        return path

    @override
    async def on_terminate(self, record: Record) -> None:
        if self.delete and self._path is not None and record.type != DEPLOYMENT_FAILURE:
            await self.run_blocking(self._path.unlink, True)


class TextFile(WithText, WithSettings, _Deleting, NamedFile, type="file.text"):
    """Writes text to a file; what was there before comes back if the start fails."""

    text = attr(str_, "", doc="What is in it.")
    overwrite = attr(bool_, True, doc="Take the place of a file that is there.")
    parents = attr(bool_, False, doc="Make missing folders above it.", called="createParentDirs")

    @override
    def look_over(self) -> None:
        super().look_over()
        self.encoded("text", self.text)

    @override
    async def act(self, path: Path) -> Path:
        path = path.resolve()
        await self.do(FileChange(
            str(path), await self.room(), _token(), content=self.encoded("text", self.text),
            mode=self.bits(), owner=self.owner or "", overwrite=self.overwrite,
            parents=self.parents,
        ))  # fmt: skip
        return path


class _Temporary(WithSettings, _Deleting):
    prefix = attr(affix_, "sd-", doc="How its name begins.")
    suffix = attr(affix_, "", doc="How its name ends.")
    folder = attr(path_, None, doc="Folder it is in; the host's own if not given.", called="dir")
    delete = attr(bool_, True, doc=DELETE, called="deleteOnExit")

    @override
    def target(self) -> Path:
        folder = self.absolute("dir", self.folder or tempfile.gettempdir())
        return folder / f"{self.prefix}{secrets.token_hex(8)}{self.suffix}"


class TempFile(WithText, _Temporary, type="file.temp"):
    """Makes a file with a name nobody else has."""

    text = attr(str_, "", doc="What is in it.")
    filename = output(str, doc="Its name.")

    @override
    def look_over(self) -> None:
        super().look_over()
        self.encoded("text", self.text)

    @override
    async def act(self, path: Path) -> Path:
        await self.do(FileChange(
            str(path), await self.room(), _token(), content=self.encoded("text", self.text),
            mode=0o600 if self.mode is None else self.mode, owner=self.owner or "", overwrite=False,
        ))  # fmt: skip
        return path

    @override
    def _publish(self) -> os.stat_result | None:
        self.filename = str(self._path)
        return super()._publish()


class TempDir(_Temporary, type="file.tempdir"):
    """Makes a folder with a name nobody else has; it goes away with all that is in it."""

    filename = output(str, doc="Its name.")

    @override
    async def act(self, path: Path) -> Path:
        await self.do(Folder(
            str(path), await self.room(), mode=0o700 if self.mode is None else self.mode,
            owner=self.owner or "", parents=False, whole=True, exclusive=True,
        ))  # fmt: skip
        return path

    @override
    def _publish(self) -> os.stat_result | None:
        self.filename = str(self._path)
        return super()._publish()


class Mkdir(WithSettings, _Deleting, type="file.mkdir"):
    """Makes a folder; one that is there already is left as it is, also at the end."""

    folder = attr(path_, doc="The folder.", called="dir")
    parents = attr(bool_, True, doc="Make missing folders above it.", called="createParentDirs")
    delete = attr(
        bool_, False, called="deleteOnExit",
        doc="Remove it with all that is in it when the component ends.",
    )  # fmt: skip

    @override
    def target(self) -> Path:
        return self.absolute("dir", self.folder)

    @override
    async def act(self, path: Path) -> Path:
        await self.do(Folder(
            str(path), await self.room(), mode=self.bits(), owner=self.owner or "",
            parents=self.parents, whole=self.delete,
        ))  # fmt: skip
        return path


class CopyFile(WithSettings, _Deleting, type="file.copy"):
    """Copies a file."""

    source = attr(path_, doc="The file.")
    destination = attr(path_, doc="Where to: the copy, or a folder that is there.")
    overwrite = attr(bool_, True, doc="Take the place of a file that is there.")
    parents = attr(bool_, False, doc="Make missing folders above it.", called="createParentDirs")

    @override
    def look_over(self) -> None:
        super().look_over()
        self.absolute("source", self.source)

    @override
    def target(self) -> Path:
        return self.absolute("destination", self.destination)

    @override
    async def act(self, path: Path) -> Path:
        source = self.absolute("source", self.source)
        if kind_of(source) != "file":
            raise Refused(f"there is no file {source}", where=self.path, code="SF-FILE-002")
        path = (path / source.name if path.is_dir() else path).resolve()
        if path == source.resolve():
            raise Refused(f"{source} cannot be copied to itself", where=self.path)
        await self.do(FileChange(
            str(path), await self.room(), _token(), source=str(source), mode=self.bits(),
            owner=self.owner or "", overwrite=self.overwrite, parents=self.parents,
        ))  # fmt: skip
        return path


class DeleteFile(_Restoring, NamedFile, type="file.delete"):
    """Removes a file; it comes back if the start fails, or at the end if that is wanted."""

    must_exist = attr(bool_, False, doc="Fail if it is not there.", called="mustExist")

    @override
    def wanted(self) -> bool:
        return False

    @override
    async def act(self, path: Path) -> Path:
        there = path.exists() or path.is_symlink()
        if not there and self.must_exist:
            raise Refused(f"there is no file {path}", where=self.path, code="SF-FILE-002")
        if there:
            await self.do(FileChange(str(path), await self.room(), _token()))
        return path


class Touch(_Deleting, NamedFile, type="file.touch"):
    """Has a file be there and changed now; an empty one is made if there is none."""

    @override
    async def act(self, path: Path) -> Path:
        path = path.resolve()
        if path.exists():
            now_s = time.time()
            await self.do(Settings(str(path), await self.room(), touched_s=now_s))
        else:
            await self.do(FileChange(
                str(path), await self.room(), _token(), content=b"", overwrite=False
            ))  # fmt: skip
        return path


class Chmod(WithSettings, _Restoring, NamedFile, type="file.chmod"):
    """Sets permissions and owner of a file or folder."""

    @override
    def look_over(self) -> None:
        super().look_over()
        if self.mode is None and not self.owner:
            self.refuse("mode or owner must be given")

    @override
    async def act(self, path: Path) -> Path:
        path = path.resolve()
        effect = Settings(str(path), await self.room(), mode=self.bits(), owner=self.owner or "")
        await self.do(effect)
        return path


class _Editing(WithText, _Restoring, NamedFile):
    async def rewrite(self, path: Path, content: bytes) -> None:
        """Give a file other content."""
        await self.do(FileChange(str(path), await self.room(), _token(), content=content))

    async def text_of(self, path: Path) -> str:
        """Return what is in a file."""
        try:
            return (await self.run_blocking(path.read_bytes)).decode(self.encoding)
        except OSError as error:
            text = f"{path} cannot be read: {error.strerror}"
            raise Refused(text, where=self.path, code="SF-FILE-002") from error
        except UnicodeDecodeError as error:
            text = f"{path} is not written in {self.encoding}"
            raise Refused(text, where=self.path, code="SF-FILE-001") from error


class AppendLines(_Editing, type="file.append"):
    """Adds lines to the end of a file, which is made if it is not there."""

    lines = attr(lines_, doc="The lines.")
    must_exist = attr(bool_, False, doc="Fail if it is not there.", called="mustExist")

    @override
    def look_over(self) -> None:
        super().look_over()
        for line in self.lines:
            self.encoded("lines", line)

    @override
    async def act(self, path: Path) -> Path:
        path = path.resolve()
        former = await self.text_of(path) if self.must_exist or path.exists() else ""
        content = appended(former.encode(self.encoding), self.lines, self.encoding)
        await self.rewrite(path, content)
        return path


class ReplaceVars(_Editing, type="file.replacevars"):
    """Fills a template: `${name}` becomes a value of `vars`, `$$` a dollar sign."""

    source = attr(path_, None, doc="The template; the file itself if not given.")
    vars = attr(vars_, doc="Names and values, as DATA.")

    @override
    def look_over(self) -> None:
        super().look_over()
        if self.source:
            self.absolute("source", self.source, self.folder or "")

    @override
    async def act(self, path: Path) -> Path:
        path = path.resolve()
        named = self.absolute("source", self.source, self.folder or "") if self.source else path
        try:
            text = filled(await self.text_of(named), dict(self.vars))
        except NoVariableError as error:
            raise Refused(
                f"{named} needs a value for {error.args[0]}", where=self.path, code="SF-FILE-003",
                hint="give it in vars, or write $${...} if it is no variable",
            ) from error  # fmt: skip
        await self.rewrite(path, self.encoded("vars", text))
        return path


class Files(FilePrim, type="file.files"):
    """Lists the files of a folder whose names fit a pattern."""

    folder = attr(path_, doc="The folder.", called="dir")
    pattern = attr(pattern_, ".*", doc="Regular expression the whole name must fit.")
    hidden = attr(
        bool_, False, doc="Names that begin with a dot count, too.", called="includeHiddenFiles"
    )
    least = attr(int_, -1, doc="Least number of files; negative: any.", called="minFileCount")
    most = attr(int_, -1, doc="Most files; negative: any.", called="maxFileCount")
    files = output(Vector, doc="Their paths, in order.")
    fileCount = output(int, doc="How many there are.")

    @override
    def look_over(self) -> None:
        if 0 <= self.most < self.least:
            self.refuse(f"maxFileCount: must be at least minFileCount, {self.least}")

    @override
    def target(self) -> Path:
        return self.absolute("dir", self.folder)

    @override
    async def act(self, path: Path) -> Path:
        wrong = self._wrong(await self.run_blocking(self._list, path))
        if wrong:
            raise Refused(wrong, where=self.path, code="SF-FILE-002")
        return path

    def _list(self, path: Path) -> list[str]:
        if not path.is_dir():
            raise Refused(f"there is no folder {path}", where=self.path, code="SF-FILE-002")
        return sorted(
            str(each)
            for each in path.iterdir()
            if self.pattern.fullmatch(each.name)
            and (self.hidden or not each.name.startswith("."))
            and each.is_file()
        )

    def _wrong(self, found: list[str]) -> str:
        self.files = Vector(tuple(found[:MOST_FILES]))
        self.fileCount = len(found)
        if 0 <= self.most < len(found):
            return f"{self.folder} has {len(found)} such files, more than {self.most}"
        if len(found) < self.least:
            return f"{self.folder} has {len(found)} such files, fewer than {self.least}"
        return ""

    @override
    async def on_adopt(self, effects: tuple[object, ...]) -> None:
        await super().on_adopt(())
        self._wrong(await self.run_blocking(self._list, self.target()))

    @override
    async def check(self) -> None:
        await super().check()
        if self.test:
            try:
                wrong = self._wrong(await self.run_blocking(self._list, self.target()))
            except Refused as error:
                raise Unwell(error.fault.message) from error
            if wrong:
                raise Unwell(wrong)
