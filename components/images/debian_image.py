"""`DebianImage`: a disk image of a basic system made from Debian packages."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import uuid as uuids
from pathlib import Path
from typing import Self

from msgspec.structs import replace
from typing_extensions import override

from components.images.bootstrap import (
    BUILDERS,
    DEBOOTSTRAP,
    MMDEBSTRAP,
    Packages,
    check_variant,
    chosen_builder,
    commands,
    one_source,
    sources,
)
from components.images.building import FILESYSTEMS, BuiltImage, Parts, inside, make_filesystem
from components.images.debian import furnish, furniture
from components.images.grub import BOOTABLE, check_extra, check_grub, make_bootable
from components.images.kept_image import KeptImage
from components.images.passwords import crypted, give_root, password_kind
from components.images.store import Store
from components.images.timeless import forget, settle
from engine.core.faults import BadDescription, Refused
from engine.core.secrecy import TAG
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

KERNEL, RAMDISK = "vmlinuz", "initrd.img"
"""Links of a system to the newest it has."""
VARIANTS = ("minbase", "standard", "important")
USUAL = (
    "systemd-sysv",
    "udev",
    "dbus",
    "ifupdown",
    "iproute2",
    "openssh-server",
    "qemu-guest-agent",
    "cloud-init",
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_SUITE = re.compile(r"[a-z][a-z0-9.-]{0,39}")


class DebianBuild(BuiltImage, frozen=True):
    """A system of packages in a qcow2 image, without mounting anything.

    Attributes:
        furniture: Digest of what is added to the packages.
        limit_s: Seconds the packages may take; another limit makes no other image.
        builder: Program that installs the packages.
        nonce: Differs for each image that is to be made anew; empty: it is made once and for all.
        root_hash: Password of root as in /etc/shadow; empty: none.
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
    builder: str = MMDEBSTRAP
    nonce: str = ""
    root_hash: str = ""

    @override
    def label(self) -> str:
        return f"image of Debian {self.suite}"

    @override
    def recipe(self) -> Self:
        return replace(super().recipe(), limit_s=0.0)

    @property
    @override
    def private(self) -> bool:
        return bool(self.root_hash)

    @property
    def fixed(self) -> bool:
        """Say whether nothing in it is to say when it was made."""
        return not self.nonce

    @override
    async def build(self, at: Site, folder: Path) -> Parts:
        tree, raw, image = folder / "tree", folder / "raw", folder / "image"
        tree.mkdir(mode=0o755)
        began_s = time.time()
        at.progress(0.1, f"installing packages of {self.suite}")
        left_s = self.limit_s
        for command in await at.blocking(self._commands, tree):
            start_s = time.monotonic()
            await at.run(command, timeout_s=left_s)
            left_s = max(1.0, left_s - (time.monotonic() - start_s))
        at.progress(0.7, "adding what makes it a guest")
        await at.blocking(self._furnish, tree, began_s)
        kernel, ramdisk = await at.blocking(self._lift, tree, folder)
        holds = ("cloud-init", "etc") if (tree / "usr/bin/cloud-init").exists() else ("etc",)
        uuid = str(uuids.uuid5(uuids.NAMESPACE_URL, self.key))
        if self.bootable == "grub":
            at.progress(0.8, "making a disk that boots")
            holds = (*holds, "boots")
            await make_bootable(
                at, tree, raw, kernel=KERNEL, ramdisk=RAMDISK, extra=self.extra, fs=self.fs,
                size_bytes=self.size_bytes, uuid=uuid, fixed=self.fixed,
            )  # fmt: skip
        else:
            at.progress(0.8, "making a filesystem")
            await make_filesystem(
                at, tree, raw, kind=self.fs, size_bytes=self.size_bytes, label="root", uuid=uuid,
                fixed=self.fixed,
            )  # fmt: skip
        await at.run(("qemu-img", "convert", "-O", "qcow2", "--", str(raw), str(image)))
        return Parts(image, kernel, ramdisk, holds)

    @override
    async def undo(self, at: Site) -> None:
        await super().undo(at)
        if not self.fixed and self.made is not None:  # nobody will ever have this recipe again
            await at.blocking(Store(Path(self.store)).discard, self.key, self.made)

    def _commands(self, tree: Path) -> list[tuple[str, ...]]:
        kernel = (self.kernel_package, "initramfs-tools") if self.kernel_package else ()
        packages = Packages(
            suite=self.suite, variant=self.variant, arch=self.arch, components=self.components,
            include=(*self.include, *kernel), hooks=self.hooks, fixed=self.fixed,
        )  # fmt: skip
        return commands(self.builder, packages, tree, sources(self.suite, self.mirror))

    def _furnish(self, tree: Path, began_s: float) -> None:
        furnish(tree, context_script=self.context_script)
        if self.root_hash:
            give_root(tree, self.root_hash)
        if self.fixed:
            forget(tree)
            settle(tree, began_s)

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
    boots by itself. Root has no password unless `rootPassword` says one. There are no host keys of SSH:
    each machine makes its own at its first boot.
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
    builder = attr(
        str_, "auto", choices=BUILDERS,
        doc="Program that installs the packages; auto: mmdebstrap if it is there, else debootstrap, "
        "which takes them from one source, and no updates.",
    )  # fmt: skip
    root_password = attr(
        password_kind, "", called="rootPassword", tags=frozenset({TAG}),
        doc="Password of root on the console, in the clear; locked if empty.",
    )  # fmt: skip
    reproducible = attr(
        bool_, True,
        doc="Have nothing in the image depend on when it is made, and make it once for each recipe; "
        "else anew at each start.",
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
        await self._check_builder()
        missing = [
            program for program in ("mke2fs", "qemu-img")
            if shutil.which(program, path=search_path()) is None
        ]  # fmt: skip
        if missing:
            raise Refused(
                f"a DebianImage needs {', '.join(missing)} on its host", code="SF-IMAGE-011",
                where=self.live.path, hint="apt-get install e2fsprogs qemu-utils",
            )  # fmt: skip
        if os.geteuid() != 0:
            raise Refused(
                "a DebianImage needs a daemon that runs as root", code="SF-IMAGE-011",
                where=self.live.path, hint="build it on another host, and get it through an ImageStore",
            )  # fmt: skip

    async def _check_builder(self) -> None:
        builder = chosen_builder(self.builder, self.live.path)
        check_variant(builder, self.variant, self.live.path)
        if builder == DEBOOTSTRAP:
            given = await self.run_blocking(sources, self.suite, self.mirror)
            await self.run_blocking(one_source, given, self.suite, self.live.path)

    @override
    async def recipe(self, store: str) -> BuiltImage:
        build = DebianBuild(
            store, suite=self.suite, variant=self.variant, arch=self.arch, mirror=self.mirror,
            components=self.components, include=self.include,
            kernel_package="" if self.bootable == "none" else self.kernel_package,
            bootable="grub" if self.bootable == "grub" else "direct", extra=self.extra,
            hooks=self.customize, fs=self.fs, size_bytes=self.size,
            context_script=self.context_script, furniture=furniture(), limit_s=self.build_timeout,
            builder=chosen_builder(self.builder, self.live.path),
            nonce="" if self.reproducible else secrets.token_hex(8),
        )  # fmt: skip
        if not self.root_password:
            return build
        hashed = await self.run_blocking(crypted, self.root_password, build.key[:16])
        return replace(build, root_hash=hashed)
