"""`TarImage`: a disk made from an archive of a system."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid as uuids
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from msgspec.structs import replace
from typing_extensions import override

from components.images.building import FILESYSTEMS, BuiltImage, Parts, inside, make_filesystem
from components.images.grub import BOOTABLE, check_extra, check_grub, make_bootable
from components.images.kept_image import KeptImage
from components.images.kinds import digest_kind, digest_of, examine
from components.images.timeless import settle
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Site
from engine.runtime.kinds import size_bytes, str_
from sfdl.values import Value

ROOM = 64 * 2**20
"""Bytes on top of what is in an archive, where no size is given."""


class TarBuild(BuiltImage, frozen=True):
    """A filesystem made from an archive, without mounting it."""

    archive: str = ""
    digest: str = ""
    fs: str = "ext4"
    size_bytes: int = 0
    kernel: str = ""
    ramdisk: str = ""
    bootable: str = "direct"
    extra: str = ""

    @override
    def label(self) -> str:
        return f"image of {Path(self.archive).name}"

    @override
    def recipe(self) -> Self:
        return replace(super().recipe(), archive="")

    @override
    def origin(self) -> str:
        return self.archive

    @override
    async def build(self, at: Site, folder: Path) -> Parts:
        facts = await at.blocking(examine, Path(self.archive))
        tree, image = folder / "tree", folder / "image"
        tree.mkdir(mode=0o755)
        began_s = time.time()
        at.progress(0.2, f"unpacking {Path(self.archive).name}")
        words = ("--numeric-owner", "--xattrs", "--acls", "-xpf", self.archive, "-C", str(tree))
        await at.run(("tar", *words))
        await at.blocking(settle, tree, began_s)  # folders that the archive only implies
        size = self.size_bytes or facts.size_bytes * 5 // 4 + ROOM
        uuid = str(uuids.uuid5(uuids.NAMESPACE_URL, self.key))
        if self.bootable == "grub":
            await at.blocking(self._look, tree)
            at.progress(0.6, "making a disk that boots")
            await make_bootable(
                at, tree, image, kernel=self.kernel, ramdisk=self.ramdisk, extra=self.extra, fs=self.fs,
                size_bytes=size, uuid=uuid,
            )  # fmt: skip
            return Parts(image, holds=(*facts.holds, "boots"))
        kernel = await self._lift(at, tree, self.kernel, folder / "kernel")
        ramdisk = await self._lift(at, tree, self.ramdisk, folder / "ramdisk")
        at.progress(0.6, "making a filesystem")
        await make_filesystem(
            at, tree, image, kind=self.fs, size_bytes=size, label="root", uuid=uuid
        )
        return Parts(image, kernel, ramdisk, facts.holds)

    def _look(self, tree: Path) -> None:
        for wanted in filter(None, (self.kernel, self.ramdisk)):
            inside(tree, wanted)

    async def _lift(self, at: Site, tree: Path, wanted: str, target: Path) -> Path | None:
        if not wanted:
            return None
        await at.blocking(shutil.copyfile, await at.blocking(inside, tree, wanted), target)
        return target


class TarImage(KeptImage, type="image.tar"):
    """A disk image made from an archive, once for each content and host."""

    archive = attr(str_, doc="Path of the archive on the host; compressed or not.")
    digest = attr(digest_kind, "", doc="sha256:... of the archive; not checked if empty.")
    fs = attr(str_, "ext4", choices=FILESYSTEMS, doc="Kind of filesystem.")
    size = attr(size_bytes, 0, doc="Of the disk; 0: what is in it, and some room.")
    kernel = attr(str_, "", doc="Path inside the archive of the kernel to boot.")
    ramdisk = attr(str_, "", doc="Path inside the archive of the RAM disk that goes with it.")
    bootable = attr(
        str_, "none", choices=BOOTABLE,
        doc="How a guest boots from it: not at all, by the kernel lifted out, or by itself with GRUB.",
    )  # fmt: skip
    extra = attr(str_, "", doc='Further words for the kernel\'s command line with bootable "grub".')

    reserved: ClassVar[dict[str, Value]] = {"sfDeployTimeout": 600}

    @override
    @classmethod
    async def plan(cls, given: Mapping[str, object], where: str) -> None:
        archive = given.get("archive")
        if isinstance(archive, str):
            await asyncio.to_thread(examine, Path(archive).expanduser())

    @override
    async def on_deploy(self) -> None:
        if (self.bootable == "none") == bool(self.kernel):
            text = "takes no kernel" if self.bootable == "none" else "needs a kernel"
            raise BadDescription(
                f"bootable {self.bootable} {text}", code="SF-IMAGE-008", where=self.live.path,
                hint='a path inside the archive, such as kernel "boot/vmlinuz"; bootable "direct"',
            )  # fmt: skip
        check_extra(self.bootable, self.extra, self.live.path)
        if self.bootable == "grub":
            check_grub(self.live.path, extra=self.extra)
        facts = await self.run_blocking(examine, Path(self.archive).expanduser())
        if facts.kind != "tar":
            raise Refused(
                f"{facts.path} is a {facts.kind}, not an archive", code="SF-IMAGE-003",
                where=self.live.path, hint="use a BaseImage",
            )  # fmt: skip

    @override
    async def recipe(self, store: str) -> BuiltImage:
        path = Path(self.archive).expanduser()
        found = await self.run_blocking(digest_of, path)
        if self.digest and found != self.digest:
            raise Refused(
                f"archive {path} has digest {found}, not {self.digest}", code="SF-IMAGE-004",
                where=self.live.path, hint="get the archive anew, or correct digest",
            )  # fmt: skip
        return TarBuild(
            store, archive=str(path), digest=found, fs=self.fs, size_bytes=self.size,
            kernel=self.kernel, ramdisk=self.ramdisk, extra=self.extra,
            bootable="grub" if self.bootable == "grub" else "direct",
        )  # fmt: skip
