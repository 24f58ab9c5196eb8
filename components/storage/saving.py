"""Packing a root volume into an image that a later deployment can start from."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import time
from pathlib import Path
from typing import ClassVar, Self

import msgspec
from typing_extensions import override

from components.images.partitions import device_at, filesystem_at
from components.storage.loops import a_loop
from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.runtime.effects import Effect, Owner, Presence, Site

EXTENSIONS = ("tar", "tar.gz", "tgz", "tar.xz", "tar.zst", "raw", "img", "qcow2")
OF_ONE_MACHINE = (
    "./etc/ssh/ssh_host_*", "./etc/machine-id", "./var/lib/dbus/machine-id",
    "./var/lib/systemd/random-seed", "./var/lib/urandom/random-seed", "./var/lib/dhcp/*.leases",
    "./var/lib/dhclient/*", "./var/lib/NetworkManager/*lease*", "./var/lib/cloud/instance*",
)  # fmt: skip
"""What no two machines may share: host keys, machine id, seeds, leases."""
_MOUNT = (
    'mount -o "loop,offset=$3,ro" "$1" "$2" 2> /dev/null || { mount -o "loop,offset=$3" "$1" "$2" &&'
    ' umount "$2" && mount -o "loop,offset=$3,ro" "$1" "$2"; }'
)
"""Mounts read-only; a volume whose guest was cut off has a journal, which only a writer replays."""
LEFT_OUT = ("./proc/*", "./sys/*", "./dev/*", "./tmp/*")
_PACKERS = {"tar": (), "tar.gz": ("-z",), "tgz": ("-z",), "tar.xz": ("-J",), "tar.zst": ("--zstd",)}


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is written beside an image: its digest, and whose volume it was made from."""

    digest: str
    domain: str
    component: str
    incarnation: int = 0
    time: str


def unused(folder: Path, stem: str, ending: str) -> str:
    """Return a stem no image has yet: a machine may be saved again within one second; blocks."""
    names = itertools.chain((stem,), (f"{stem}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not (folder / f"{name}{ending}").exists())


class SavedImage(Effect, frozen=True):
    """An image made from a volume, with what it was made of beside it.

    It appears under its name only once it is whole. Were the daemon to die while it is made, it is made
    again at the next start, and the volumes wait for that.

    Attributes:
        volume: File or device that is packed.
        volume_format: `raw` or `qcow2`.
        path: The image; its ending says how it is packed.
        extension: One of `EXTENSIONS`.
        keep_newest: How many images of the same stem stay; 0 for all.
        stem: Beginning of the names that count as the same image.
        sysprep: Leave out what is one machine's own.
        loops: How many loop devices volumes have at a time; 0: as many as the kernel gives.
        then: What becomes of the volumes once the image is whole, in the words of `make`'s `keep`.
    """

    finishes: ClassVar[bool] = True

    volume: str
    volume_format: str
    path: str
    extension: str
    stem: str
    domain: str
    keep_newest: int = 0
    then: str = "never"
    sysprep: bool = False
    loops: int = 0

    @property
    @override
    def keep_others(self) -> str:
        return self.then

    @override
    def label(self) -> str:
        return f"saved image {self.path}"

    @property
    def _part(self) -> Path:
        return Path(f"{self.path}.part")

    @property
    def _sidecar(self) -> Path:
        return Path(f"{self.path}.json")

    @override
    async def look(self, at: Site) -> Presence:
        """Take an image for ours only if this very creation of the component made it."""
        if not Path(self.path).exists():
            return Presence.ABSENT
        try:
            facts = from_json(self._sidecar.read_bytes(), _Facts)
        except (OSError, msgspec.MsgspecError):
            return Presence.FOREIGN
        mine = (facts.component, facts.incarnation) == (at.owner.path, at.owner.incarnation)
        return Presence.OURS if mine else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        at.progress(0.1, f"saving {Path(self.path).name}")
        await at.blocking(lambda: Path(self.path).parent.mkdir(parents=True, exist_ok=True))
        if self.extension == "qcow2":
            await self._convert(at, "qcow2")
        elif self.extension in {"raw", "img"}:
            await self._convert(at, "raw")
        else:
            await self._pack(at)
        await at.blocking(self._finish, at.owner)
        await at.blocking(self._forget_old)
        return self

    async def _convert(self, at: Site, format_: str) -> None:
        words = ("qemu-img", "convert", "-f", self.volume_format, "-O", format_)
        await at.run((*words, "--", self.volume, str(self._part)))

    async def _pack(self, at: Site) -> None:
        if self.volume_format != "raw":
            raise Refused(
                f"a {self.volume_format} volume cannot be packed as {self.extension}",
                code="SF-STORE-005", hint='use saveImageExtension "qcow2" or "raw"',
            )  # fmt: skip
        if os.geteuid() == 0:
            async with a_loop(at, self.loops):
                await self._pack_mounted(at)
        else:
            await self._pack_read(at)

    def _tar(self, folder: str) -> tuple[str, ...]:
        patterns = (*LEFT_OUT, *(OF_ONE_MACHINE if self.sysprep else ()))
        out = tuple(word for pattern in patterns for word in ("--exclude", pattern))
        return (
            "tar", "-c", *_PACKERS[self.extension], "--numeric-owner", "--sparse", "--xattrs", "--acls",
            *out, "--exclude", "./lost+found", "-f", str(self._part), "-C", folder, ".",
        )  # fmt: skip

    async def _pack_mounted(self, at: Site) -> None:
        """Mount the volume read-only where nobody else sees it, and pack what is there."""
        await at.blocking(self._make_folder)
        script = f'{{ {_MOUNT}; }} && shift && cd / && shift 2 && exec "$@"'
        start = await at.blocking(filesystem_at, Path(self.volume))
        try:
            await at.run((
                "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                self.volume, self._folder, str(start), *self._tar(self._folder),
            ))  # fmt: skip
        finally:
            await at.blocking(self._remove_folder)

    async def _pack_read(self, at: Site) -> None:
        """Read an ext filesystem without mounting it; owners are those the reader may set."""
        await at.blocking(self._make_folder)
        try:
            start = await at.blocking(filesystem_at, Path(self.volume))
            device = device_at(self.volume, start)
            await at.run(("e2fsck", "-p", "-E", "journal_only", device))
            await at.run(("debugfs", "-R", f"rdump / {self._folder}", device))
            await at.run(self._tar(self._folder))
        finally:
            await at.blocking(self._remove_folder)

    @property
    def _folder(self) -> str:
        """Return where the volume's tree is seen while it is packed; known also after a crash."""
        return f"{self._part}.d"

    def _make_folder(self) -> None:
        self._remove_folder()
        Path(self._folder).mkdir(mode=0o700)

    def _remove_folder(self) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if os.geteuid() == 0:
                Path(self._folder).rmdir()  # what was mounted there was seen by nobody else
            else:
                shutil.rmtree(self._folder)

    def _finish(self, owner: Owner) -> None:
        digest = hashlib.sha256()
        with self._part.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
            os.fsync(file.fileno())
        facts = _Facts(
            digest=f"sha256:{digest.hexdigest()}", domain=self.domain, component=owner.path,
            incarnation=owner.incarnation,
            time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )  # fmt: skip
        self._sidecar.write_bytes(msgspec.json.encode(facts))
        self._part.replace(self.path)

    def _forget_old(self) -> None:
        if self.keep_newest <= 0:
            return
        ending = f".{self.extension}"
        images = [
            path
            for path in Path(self.path).parent.glob(f"{self.stem}*{ending}")
            if path.name == f"{self.stem}{ending}" or path.name.startswith(f"{self.stem}-")
        ]
        images.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for old in images[self.keep_newest :]:
            old.unlink()
            Path(f"{old}.json").unlink(missing_ok=True)

    @override
    async def undo(self, at: Site) -> None:
        """Remove what is half made; a whole image is a result and stays."""
        await at.blocking(self._remove_part)

    def _remove_part(self) -> None:
        self._remove_folder()
        if self._part.exists():
            self._part.unlink()
