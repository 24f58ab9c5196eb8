"""A volume as a raw file with its owner beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Self

import msgspec
from typing_extensions import override

from components.images.kinds import refuse_escape
from engine.core.faults import Refused
from engine.runtime.commands import search_path
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site


class VolumeFile(Effect, frozen=True):
    """A raw file that a domain uses as a disk.

    Its owner is written to a sidecar file before the volume is begun, so that a half-made volume is
    known as ours.

    Attributes:
        path: Absolute path of the volume.
        size_bytes: Its size; the file is sparse.
        role: `root` (filled from `image`), `swap`, or `data` (an empty filesystem).
        image: Path of what fills it, for `root`.
        image_kind: `raw`, `qcow2`, `tar` or `directory`.
        make_fs: Filesystem maker and arguments, such as `mkfs.ext3`.
        uuid: Of the swap area, or of the filesystem where we make it.
    """

    path: str
    size_bytes: int
    role: str
    image: str = ""
    image_kind: str = ""
    make_fs: tuple[str, ...] = ("mkfs.ext3",)
    uuid: str = ""

    @override
    def label(self) -> str:
        return f"volume {self.path}"

    @property
    def sidecar(self) -> Path:
        """Return where the owner is recorded."""
        return Path(f"{self.path}.owner.json")

    @property
    def _scratch(self) -> Path:
        """Return the folder an archive is unpacked to while the volume is filled."""
        path = Path(self.path)
        if path.parts[:2] == ("/", "dev"):
            path = Path(tempfile.gettempdir(), path.name)
        return path.with_name(f".{path.name}.{self.uuid}.unpacked")

    def owner(self) -> Owner | None:
        """Read whose volume this is; nothing if no record is beside it."""
        try:
            return msgspec.json.decode(self.sidecar.read_bytes(), type=Owner)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return Owner("", "", "", 0)

    @override
    async def look(self, at: Site) -> Presence:
        there = Path(self.path).exists()
        owner = self.owner()
        if owner is None:
            return Presence.FOREIGN if there else Presence.ABSENT
        if not owner.same_place(at.owner):
            return Presence.FOREIGN
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        owner = self.owner()
        if owner is not None and not owner.same_place(at.owner):
            raise NameTaken(f"{self.path} belongs to {owner.path or 'somebody else'}")
        await at.blocking(self._claim, at.owner)
        if self.role == "root":
            at.progress(0.1, f"filling {Path(self.path).name}")
            await self._fill(at)
        else:
            await at.blocking(self._sparse)
            command = ("mkswap", "--uuid", self.uuid) if self.role == "swap" else self.make_fs
            await at.run((*command, self.path))
        await at.blocking(self._settle)
        return self

    def _claim(self, owner: Owner) -> None:
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        part = self.sidecar.with_name(f"{self.sidecar.name}.part")
        part.write_bytes(msgspec.json.encode(owner))
        part.replace(self.sidecar)

    def _sparse(self) -> None:
        with Path(self.path).open("wb") as file:
            file.truncate(self.size_bytes)
        Path(self.path).chmod(0o600)

    def _settle(self) -> None:
        """Bring the volume to the disk before anybody relies on it."""
        with Path(self.path).open("rb") as file:
            os.fsync(file.fileno())

    async def fill_device(self, at: Site) -> None:
        """Fill a device that is there already instead of a file."""
        if self.role == "swap":
            await at.run(("mkswap", "--uuid", self.uuid, self.path))
        elif self.role == "data":
            await at.run((*self.make_fs, self.path))
        elif self.image_kind in {"raw", "qcow2"}:
            words = ("qemu-img", "convert", "-n", "-f", self.image_kind, "-O", "raw")
            await at.run((*words, "--", self.image, self.path))
        else:
            folder = self.image
            if self.image_kind == "tar":
                folder = await at.blocking(self._unpack)
            try:
                await at.run((*self.make_fs, "-q", "-F", "-U", self.uuid, "-d", folder, self.path))
            finally:
                if folder != self.image:
                    await at.blocking(shutil.rmtree, folder)

    async def _fill(self, at: Site) -> None:
        match self.image_kind:
            case "raw":
                await at.run(("cp", "--sparse=always", "--", self.image, self.path))
                await at.blocking(self._grow)
            case "qcow2":
                await at.run(("qemu-img", "convert", "-O", "raw", "--", self.image, self.path))
                await at.blocking(self._grow)
            case "directory":
                await self._from_folder(at, self.image)
            case _:
                folder = await at.blocking(self._unpack)
                try:
                    await self._from_folder(at, folder)
                finally:
                    await at.blocking(shutil.rmtree, folder)

    def _grow(self) -> None:
        size = Path(self.path).stat().st_size
        if size > self.size_bytes:
            raise Refused(
                f"the image needs {size} bytes, the volume has {self.size_bytes}",
                code="SF-IMAGE-005", hint="raise volumeSize",
            )  # fmt: skip
        os.truncate(self.path, self.size_bytes)
        Path(self.path).chmod(0o600)

    async def _from_folder(self, at: Site, folder: str) -> None:
        await at.blocking(self._sparse)
        await at.run((*self.make_fs, "-q", "-F", "-U", self.uuid, "-d", folder, self.path))

    def _unpack(self) -> str:
        folder = str(self._scratch)
        shutil.rmtree(folder, ignore_errors=True)
        self._scratch.mkdir(mode=0o700)
        try:
            with tarfile.open(self.image) as archive:
                for member in archive.getmembers():
                    refuse_escape(Path(self.image), member)
                archive.extractall(folder, filter="tar")
        except (tarfile.TarError, EOFError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise Refused(
                f"archive {self.image} cannot be unpacked: {error}", code="SF-IMAGE-002"
            ) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    @override
    async def undo(self, at: Site) -> None:
        if self.owner() == at.owner:
            await at.blocking(self._remove)

    def _detach(self) -> None:
        """Free loop devices left over the file: Xen's script for that may have been cut short."""
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                if backing.read_text(encoding="utf-8").rstrip("\n") == self.path:
                    command = ["losetup", "--detach", f"/dev/{backing.parts[3]}"]
                    where = {**os.environ, "PATH": search_path()}
                    subprocess.run(command, check=True, env=where, capture_output=True, timeout=20)

    def _remove(self) -> None:
        self._detach()
        shutil.rmtree(self._scratch, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            Path(self.path).unlink()
        self.sidecar.unlink(missing_ok=True)
