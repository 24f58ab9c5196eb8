"""What all storage backends have in common: attributes, the domain they serve, the disks they offer."""

from __future__ import annotations

import re
import shlex
import uuid as uuids
from pathlib import Path
from typing import ClassVar

from msgspec import Struct
from typing_extensions import override

from components.images.base_image import BaseImage
from components.images.kinds import ImageFacts, examine
from components.storage.volume_file import VolumeFile
from components.system.shell import Shell, ShellExecutor
from engine.core.faults import EngineError, Refused
from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, link
from engine.runtime.effects import Effect
from engine.runtime.kinds import bool_, size_bytes, str_
from engine.wire.messages import Handle
from sfdl.values import Value

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")


class DiskOffer(Struct, frozen=True):
    """A disk a domain may use.

    Attributes:
        role: `root` or `swap`.
        path: File or device on the host.
        kind: `file` or `block`.
        format: `raw` or `qcow2`.
    """

    role: str
    path: str
    kind: str
    format: str


class User:
    """What a backend may ask of the domain it serves."""

    async def let_go(self) -> None:
        """Stop using the disks: the backend is about to remove them."""


class StorageBackend(Prim):
    """Makes the volumes of one domain when it starts, and removes them at the end.

    A domain binds the backend in its own deploy phase, so the backend knows whom it serves before
    anything is made.
    """

    shell = link(
        Shell, doc="Runs the host commands; the daemon itself if not given.", required=False
    )
    domain_name = attr(
        str_, "", doc="Prefix of volume names; the domain's if empty.", called="domainName"
    )
    base_image = link(BaseImage, doc="What fills the root volume.", called="baseImage", text=True)
    volume_size = attr(size_bytes, "1g", ge=2**20, doc="Root volume.", called="volumeSize")
    swap_size = attr(size_bytes, "512m", doc="Swap volume; 0 for none.", called="swapSize")
    volume_base_name = attr(
        str_, "volume1", doc="Middle part of volume names.", called="volumeBaseName"
    )
    keep_volumes = attr(bool_, False, doc="Leave the volumes at the end.", called="keepVolumes")
    make_fs = attr(str_, "mkfs.ext3", doc="Filesystem maker and its arguments.", called="makeFs")

    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfStartTimeout": 3600, "sfTerminateTimeout": 900,
    }  # fmt: skip

    def __init__(self) -> None:
        """Serve nobody yet."""
        self._user: Handle | None = None
        self._bound_name = ""

    # -- the domain's side

    @exposed()
    async def bind(self, user: Handle, domain_name: str) -> None:
        """Say which domain this backend serves.

        Raises:
            Refused: It serves another one already, or the two names contradict each other.
        """
        if (
            self._user is not None
            and self._user.ident != user.ident
            and self._user.name != user.name
        ):
            raise Refused(
                f"{self.path} serves {self._user.name} already", code="SF-STORE-002",
                where=user.name, hint="give each domain a backend of its own",
            )  # fmt: skip
        if self.domain_name and domain_name and self.domain_name != domain_name:
            raise Refused(
                f"domainName is {self.domain_name!r} on {self.path}, but {domain_name!r} on {user.name}",
                code="SF-STORE-003",
            )  # fmt: skip
        self._user = user
        self._bound_name = domain_name

    @exposed()
    async def wanted_name(self) -> str:
        """Return the domain name set here, or nothing."""
        return self.domain_name

    @exposed()
    async def disks(self) -> list[DiskOffer]:
        """Return the disks made; root first."""
        raise NotImplementedError

    # -- volumes

    def volume_prefix(self) -> str:
        """Return the beginning of the names of all volumes."""
        prefix = self.domain_name or self._bound_name
        if not prefix:
            raise Refused("nobody uses this backend and it has no domainName", where=self.path)
        if NAME.fullmatch(prefix) is None:
            raise Refused(
                f"{prefix!r} cannot be part of a file name", code="SF-NAME-006", where=self.path
            )
        return prefix

    async def image(self) -> ImageFacts:
        """Return what fills the root volume.

        Raises:
            Refused: It is missing, unreadable, or larger than the volume.
        """
        if self.base_image.text:
            facts = await self.run_blocking(examine, Path(self.base_image.text).expanduser())
        else:
            facts = await self.base_image.api.facts()
        if facts.size_bytes > self.volume_size:
            raise Refused(
                f"image {facts.path} needs {facts.size_bytes} bytes, volumeSize is {self.volume_size}",
                code="SF-IMAGE-005", where=self.path, hint="raise volumeSize",
            )  # fmt: skip
        return facts

    def volume(self, folder: Path, role: str, image: ImageFacts | None) -> VolumeFile:
        """Describe one volume file of this backend."""
        suffix = "" if role == "root" else f"-{role}"
        name = f"{self.volume_prefix()}-{self.volume_base_name}{suffix}"
        community = self.live.process.community
        identity = f"{community}/{self.path}/{role}"
        return VolumeFile(
            path=str(folder / name),
            size_bytes=self.volume_size if role == "root" else self.swap_size,
            role=role,
            image=image.path if image is not None else "",
            image_kind=image.kind if image is not None else "",
            make_fs=tuple(shlex.split(self.make_fs)),
            uuid=str(uuids.uuid5(uuids.NAMESPACE_URL, identity)),
        )

    async def make_volume(self, volume: VolumeFile) -> VolumeFile:
        """Make a volume, its commands run by the shell if there is one."""
        executor = ShellExecutor(self.shell) if self.shell.given else None
        keep = "always" if self.keep_volumes else "never"
        return await self.make(volume, keep=keep, executor=executor)

    def kept_volumes(self, effects: tuple[Effect, ...]) -> list[VolumeFile]:
        """Return the volumes among effects found in place after a restart."""
        return [effect for effect in effects if isinstance(effect, VolumeFile)]

    @override
    async def on_terminate(self, record: Record) -> None:
        if self._user is None:
            return
        try:
            await self.call(self._user, User, "let_go")
        except EngineError as error:
            self.log.debug("the domain is gone already: %s", error)
