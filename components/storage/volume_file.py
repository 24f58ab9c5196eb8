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
from msgspec.structs import replace
from typing_extensions import override

from components.images.kinds import refuse_escape
from components.storage.filling import mount_words, overwrite, take_space
from components.storage.loops import a_loop
from components.storage.using import refuse_used
from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.runtime.commands import search_path
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site


class _Beside(msgspec.Struct, frozen=True):
    owner: Owner


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
        how: How the root is filled: `copy`, `offline` or `mount`.
        mount_parent: Folder below which one is made to mount the volume.
        preallocate: `sparse`, `falloc` or `full`.
        wipe: Overwrite it before it is removed.
        loops: How many loop devices volumes have at a time; 0: as many as the kernel gives.
    """

    path: str
    size_bytes: int
    role: str
    image: str = ""
    image_kind: str = ""
    make_fs: tuple[str, ...] = ("mkfs.ext3",)
    uuid: str = ""
    how: str = "offline"
    mount_parent: str = "/tmp"  # noqa: S108 - where the description says nothing
    preallocate: str = "sparse"
    wipe: bool = False
    loops: int = 0

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
            return from_json(self.sidecar.read_bytes(), Owner)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return self._owner_of_layer()

    def _owner_of_layer(self) -> Owner:
        """Read what stands beside a layer, which has more to say; nobody's if it cannot be read."""
        try:
            return from_json(self.sidecar.read_bytes(), _Beside).owner
        except (OSError, msgspec.DecodeError):
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
        await self.write(at)
        return self

    async def write(self, at: Site) -> None:
        """Make the file with its content, whoever it belongs to."""
        if self.role == "root":
            at.progress(0.1, f"filling {Path(self.path).name}")
            await self._fill(at)
        else:
            await at.blocking(self._sparse)
            await self._format(at)
        await at.blocking(self._settle)

    async def _format(self, at: Site) -> None:
        if self.role == "swap":
            await at.run(("mkswap", "--uuid", self.uuid, self.path))
        elif self.make_fs != ("none",):
            await at.run((*mount_words(self.make_fs, self.uuid), self.path))

    @property
    def capacity_bytes(self) -> int:
        """Return what a guest sees."""
        return self.size_bytes

    def sized(self, size_bytes: int) -> Self:
        """Return the same volume, described as larger."""
        return replace(self, size_bytes=size_bytes)

    async def enlarge(self, at: Site, size_bytes: int) -> None:
        """Make the file larger, unless it is as large already."""
        await at.blocking(self._enlarge, size_bytes)

    def _enlarge(self, size_bytes: int) -> None:
        if Path(self.path).stat().st_size < size_bytes:
            os.truncate(self.path, size_bytes)
        self._settle()

    @override
    async def claim(self, at: Site) -> Self:
        await at.blocking(self._claim, at.owner)
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
        """Give the volume its space, and bring it to the disk before anybody relies on it."""
        take_space(Path(self.path), self.preallocate)
        with Path(self.path).open("rb") as file:
            os.fsync(file.fileno())

    async def fill_device(self, at: Site) -> None:
        """Fill a device that is there already instead of a file."""
        if self.role != "root":
            await self._format(at)
        elif self.image_kind in {"raw", "qcow2"}:
            words = ("qemu-img", "convert", "-n", "-f", self.image_kind, "-O", "raw")
            await at.run((*words, "--", self.image, self.path))
        else:
            await self._from_tree(at)

    async def _fill(self, at: Site) -> None:
        match self.image_kind:
            case "raw":
                await at.run(("cp", "--sparse=always", "--", self.image, self.path))
                await at.blocking(self._grow)
            case "qcow2":
                await at.run(("qemu-img", "convert", "-O", "raw", "--", self.image, self.path))
                await at.blocking(self._grow)
            case _:
                await at.blocking(self._sparse)
                await self._from_tree(at)

    async def _from_tree(self, at: Site) -> None:
        """Make the filesystem of a folder, or of what is in an archive."""
        folder = self.image
        if self.image_kind == "tar":
            folder = await at.blocking(self._unpack)
        try:
            if self.how == "mount":
                await at.run((*mount_words(self.make_fs, self.uuid), self.path))
                async with a_loop(at, self.loops):
                    await self._copy_mounted(at, folder)
            else:
                words = ("-q", "-F", "-U", self.uuid, "-d", folder, self.path)
                await at.run((*self.make_fs, *words))
        finally:
            if folder != self.image:
                await at.blocking(shutil.rmtree, folder)

    async def _copy_mounted(self, at: Site, folder: str) -> None:
        """Copy a folder onto the volume, mounted where nobody else sees it."""
        script = 'mount "$1" "$2" -o "$3" && cp -a -- "$4/." "$2/" && umount "$2"'
        kind = "defaults" if self.path.startswith("/dev/") else "loop"
        mounted = Path(self.mount_parent, f"{Path(self.path).name}-{self.uuid[:8]}")
        await at.blocking(lambda: mounted.mkdir(mode=0o700, parents=True, exist_ok=True))
        try:
            await at.run((
                "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                self.path, str(mounted), kind, folder,
            ))  # fmt: skip
        finally:
            await at.blocking(mounted.rmdir)

    def _grow(self) -> None:
        size = Path(self.path).stat().st_size
        if size > self.size_bytes:
            raise Refused(
                f"the image needs {size} bytes, the volume has {self.size_bytes}",
                code="SF-IMAGE-005", hint="raise volumeSize",
            )  # fmt: skip
        os.truncate(self.path, self.size_bytes)
        Path(self.path).chmod(0o600)

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
            await refuse_used(at, self.path)
            await at.blocking(self._remove)

    def _detach(self) -> None:
        """Free loop devices left over the file: Xen's script for that may have been cut short."""
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                if backing.read_text(encoding="utf-8").rstrip("\n") == self.path:
                    command = ["losetup", "--detach", f"/dev/{backing.parts[3]}"]
                    where = {**os.environ, "PATH": search_path()}
                    subprocess.run(command, check=True, env=where, capture_output=True, timeout=20)

    def discard(self) -> None:
        """Remove a file that was made with `write`, and what is left of its making; blocks."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        Path(self.path).unlink(missing_ok=True)

    def _remove(self) -> None:
        self._detach()
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self.wipe:
            overwrite(Path(self.path))
        with contextlib.suppress(FileNotFoundError):
            Path(self.path).unlink()
        self.sidecar.unlink(missing_ok=True)
