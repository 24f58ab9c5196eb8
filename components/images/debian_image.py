"""`DebianImage`: a disk image of a basic system made from Debian packages."""

from __future__ import annotations

import os
import re
import shutil
import uuid as uuids
from pathlib import Path
from typing import Self

from msgspec.structs import replace
from typing_extensions import override

from components.images.building import FILESYSTEMS, BuiltImage, Parts, inside, make_filesystem
from components.images.debian import furnish, furniture, own_sources
from components.images.grub import BOOTABLE, check_extra, check_grub, make_bootable
from components.images.kept_image import KeptImage
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr
from engine.runtime.commands import search_path
from engine.runtime.effects import Site
from engine.runtime.kinds import (
    BadValueError,
    Kind,
    bool_,
    duration_s,
    shown,
    size_bytes,
    str_,
    strings,
)
from sfdl.values import Value

BUILDER = "mmdebstrap"
KERNEL, RAMDISK = "vmlinuz", "initrd.img"
"""Links of a system to the newest it has."""
VARIANTS = ("minbase", "standard", "important")
USUAL = (
    "systemd-sysv",
    "udev",
    "ifupdown",
    "iproute2",
    "openssh-server",
    "qemu-guest-agent",
    "cloud-init",
)
ALONE = (
    "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL",
    "--mount-proc", "--",
)  # fmt: skip
"""Puts a build where nobody sees its mounts, which go with all its processes when it is killed."""
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_SUITE = re.compile(r"[a-z][a-z0-9.-]{0,39}")


class DebianBuild(BuiltImage, frozen=True):
    """A system of packages in a qcow2 image, without mounting anything.

    Attributes:
        furniture: Digest of what is added to the packages.
        limit_s: Seconds the packages may take; another limit makes no other image.
    """

    suite: str = ""
    variant: str = ""
    arch: str = ""
    mirror: str = ""
    components: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    kernel_package: str = ""
    hooks: tuple[str, ...] = ()
    fs: str = "ext4"
    size_bytes: int = 0
    context_script: bool = True
    furniture: str = ""
    bootable: str = "direct"
    extra: str = ""
    limit_s: float = 1800.0

    @override
    def label(self) -> str:
        return f"image of Debian {self.suite}"

    @override
    def recipe(self) -> Self:
        return replace(super().recipe(), limit_s=0.0)

    @override
    async def build(self, at: Site, folder: Path) -> Parts:
        tree, raw, image = folder / "tree", folder / "raw", folder / "image"
        tree.mkdir(mode=0o755)
        at.progress(0.1, f"installing packages of {self.suite}")
        await at.run(self._command(tree, await self._mirrors(at)), timeout_s=self.limit_s)
        at.progress(0.7, "adding what makes it a guest")
        await at.blocking(self._furnish, tree)
        kernel, ramdisk = await at.blocking(self._lift, tree, folder)
        holds = ("cloud-init", "etc") if (tree / "usr/bin/cloud-init").exists() else ("etc",)
        uuid = str(uuids.uuid5(uuids.NAMESPACE_URL, self.key))
        if self.bootable == "grub":
            at.progress(0.8, "making a disk that boots")
            holds = (*holds, "boots")
            await make_bootable(
                at, tree, raw, kernel=KERNEL, ramdisk=RAMDISK, extra=self.extra, fs=self.fs,
                size_bytes=self.size_bytes, uuid=uuid,
            )  # fmt: skip
        else:
            at.progress(0.8, "making a filesystem")
            await make_filesystem(
                at, tree, raw, kind=self.fs, size_bytes=self.size_bytes, label="root", uuid=uuid
            )
        await at.run(("qemu-img", "convert", "-O", "qcow2", "--", str(raw), str(image)))
        return Parts(image, kernel, ramdisk, holds)

    async def _mirrors(self, at: Site) -> tuple[str, ...]:
        if self.mirror:
            return (self.mirror,)
        return tuple(await at.blocking(own_sources, self.suite))

    def _command(self, tree: Path, mirrors: tuple[str, ...]) -> tuple[str, ...]:
        packages = [*self.include, *([self.kernel_package] if self.kernel_package else [])]
        if self.kernel_package:
            packages.append("initramfs-tools")
        words = [
            *ALONE, "env", "SOURCE_DATE_EPOCH=1", BUILDER, "--mode=root", "--format=directory",
            "--quiet", f"--variant={self.variant}", f"--components={','.join(self.components)}",
            '--aptopt=Apt::Install-Recommends "false"', f"--include={','.join(packages)}",
        ]  # fmt: skip
        if self.arch:
            words.append(f"--architectures={self.arch}")
        words += [f"--customize-hook={hook}" for hook in self.hooks]
        return (*words, "--", self.suite, str(tree), *mirrors)

    def _furnish(self, tree: Path) -> None:
        furnish(tree, context_script=self.context_script)

    def _lift(self, tree: Path, folder: Path) -> tuple[Path | None, Path | None]:
        if not self.kernel_package:
            return None, None
        found = {
            name: inside(tree, link) for name, link in (("kernel", KERNEL), ("ramdisk", RAMDISK))
        }
        if self.bootable == "grub":  # they are booted where they are
            return None, None
        for name, path in found.items():
            shutil.copyfile(path, folder / name)
        return folder / "kernel", folder / "ramdisk"


def _suite(value: Value) -> str:
    if isinstance(value, str) and _SUITE.fullmatch(value):
        return value
    raise BadValueError(f"must be a release such as bookworm (got {shown(value)})")


def _packages(value: Value) -> tuple[str, ...]:
    names = strings.read(value)
    for name in names:
        if _PACKAGE.fullmatch(name) is None:
            raise BadValueError(f"{shown(name)} is no name of a package")
    return names


suite_kind = Kind("release", "String", _suite)
packages_kind = Kind("list of packages", "Vector", _packages)


class DebianImage(KeptImage, type="image.debian"):
    """A disk image of a basic Debian system, built once for each recipe and host.

    The filesystem has the label `root`, and no partitions: a guest boots by the kernel lifted out, with
    `root=LABEL=root` on its command line. With `bootable "grub"` it is the one partition of a disk that
    boots by itself. Root has no password.
    """

    suite = attr(suite_kind, "bookworm", doc="Debian release.")
    variant = attr(str_, "minbase", choices=VARIANTS, doc="Set of packages to begin with.")
    arch = attr(str_, "", doc="Architecture; the host's if empty.")
    mirror = attr(str_, "", doc="Line or file of apt's sources; those of the host if empty.")
    components = attr(strings, ("main",), doc="Components of the archive.")
    include = attr(packages_kind, USUAL, doc="Further packages.")
    kernel_package = attr(
        str_, "linux-image-cloud-amd64", doc="Kernel; none if empty.", called="kernelPackage"
    )
    customize = attr(
        strings, (), called="hooks",
        doc="Shell commands run on the host, as its root, with the system's folder as $1.",
    )  # fmt: skip
    fs = attr(str_, "ext4", choices=FILESYSTEMS, doc="Kind of filesystem.")
    size = attr(size_bytes, "2g", ge=64 * 2**20, doc="Of the disk.")
    bootable = attr(
        str_, "direct", choices=BOOTABLE,
        doc="How a guest boots from it: not at all, without a kernel in it; by the kernel lifted out; "
        "or by itself with GRUB.",
    )  # fmt: skip
    extra = attr(str_, "", doc='Further words for the kernel\'s command line with bootable "grub".')
    context_script = attr(
        bool_, True, doc="Install the script that learns name and address at boot.",
        called="contextScript",
    )  # fmt: skip
    build_timeout = attr(
        duration_s, 1800, doc="Seconds the packages may take.", called="buildTimeout"
    )

    @override
    async def on_deploy(self) -> None:
        if self.kernel_package and _PACKAGE.fullmatch(self.kernel_package) is None:
            raise BadDescription(
                f"kernelPackage {self.kernel_package!r} is no name of a package",
                code="SF-ATTR-001", where=self.live.path,
            )  # fmt: skip
        check_extra(self.bootable, self.extra, self.live.path)
        if self.bootable == "grub":
            if not self.kernel_package:
                raise BadDescription(
                    "bootable grub needs a kernel, and kernelPackage is empty", code="SF-IMAGE-008",
                    where=self.live.path, hint="leave kernelPackage out",
                )  # fmt: skip
            check_grub(self.live.path, arch=self.arch, extra=self.extra)
        missing = [
            program for program in (BUILDER, "mke2fs", "qemu-img")
            if shutil.which(program, path=search_path()) is None
        ]  # fmt: skip
        if missing:
            raise Refused(
                f"a DebianImage needs {', '.join(missing)} on its host", code="SF-IMAGE-011",
                where=self.live.path, hint="apt-get install mmdebstrap e2fsprogs qemu-utils",
            )  # fmt: skip
        if os.geteuid() != 0:
            raise Refused(
                "a DebianImage needs a daemon that runs as root", code="SF-IMAGE-011",
                where=self.live.path, hint="build it on another host, and get it through an ImageStore",
            )  # fmt: skip

    @override
    async def recipe(self, store: str) -> BuiltImage:
        return DebianBuild(
            store, suite=self.suite, variant=self.variant, arch=self.arch, mirror=self.mirror,
            components=self.components, include=self.include,
            kernel_package="" if self.bootable == "none" else self.kernel_package,
            bootable="grub" if self.bootable == "grub" else "direct", extra=self.extra,
            hooks=self.customize, fs=self.fs, size_bytes=self.size,
            context_script=self.context_script, furniture=furniture(), limit_s=self.build_timeout,
        )  # fmt: skip
