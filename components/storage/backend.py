"""What all storage backends share: attributes, the domain they serve, and what becomes of volumes."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import time
import uuid as uuids
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from msgspec import Struct
from typing_extensions import override

from components.hypervisor.names import name_kind
from components.images.base_image import BaseImage
from components.images.kinds import ImageFacts, digest_kind, digest_of, examine
from components.storage.found import GivenUpVolume
from components.storage.keeping import (
    AS_BEFORE,
    Ending,
    ending_of,
    image_saved,
    keep_kind,
    volumes_stay,
)
from components.storage.saving import EXTENSIONS, SavedImage
from components.system.shell import Shell, ShellExecutor
from engine.core.faults import BadDescription, EngineError, Refused
from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, link
from engine.runtime.commands import search_path
from engine.runtime.effects import Effect
from engine.runtime.kinds import (
    BadValueError,
    Kind,
    bool_,
    duration_s,
    int_,
    shown,
    size_bytes,
    str_,
    strings,
)
from engine.wire.codec import FlatTree, unflatten
from engine.wire.messages import Handle
from sfdl.values import Value

GROWN = {"mkfs.ext2", "mkfs.ext3", "mkfs.ext4"}
"""Filesystem makers that fill what they make without mounting it."""
ON_THE_DOMAIN = (
    "baseImage", "imageDigest", "volumeSize", "swapSize", "volumeBaseName", "usingExistingVolumes",
    "volumeNames", "keepVolumes", "keepOnFailure", "makeFs", "tempMountPoint", "saveImage",
    "saveImageName", "saveImagePath", "saveImageExtension", "saveImageOn", "saveImageKeep",
)  # fmt: skip
"""Storage attributes that may stand on the domain instead; there they win."""


CONTEXT = "context"
"""Role of the disk that tells a guest what it is."""


class DiskOffer(Struct, frozen=True):
    """A disk a domain may use.

    Attributes:
        role: `root`, `swap`, or `context` (read only).
        path: File or device on the host.
        kind: `file` or `block`.
        format: `raw` or `qcow2`.
    """

    role: str
    path: str
    kind: str
    format: str


def _command(value: Value) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(value)) if isinstance(value, str) else ()
    except ValueError as error:
        raise BadValueError(f"cannot be split into words: {error} (got {shown(value)})") from error
    if not words:
        raise BadValueError(f"must be a program and its arguments (got {shown(value)})")
    return words


command_kind = Kind("program and arguments", "String", _command)


def _names(value: Value) -> tuple[str, ...]:
    return tuple(name_kind.read(name) for name in strings.read(value))


names_kind = Kind("list of names", "Vector", _names)


class User:
    """What a backend may ask of the domain it serves."""

    async def let_go(self) -> None:
        """Stop using the disks: the backend is about to remove them."""


class StorageBackend(Prim):
    """Makes the volumes of one domain when it starts; what becomes of them at the end is a table.

    A domain binds the backend in its own deploy phase, so the backend knows whom it serves, and what
    the domain says about storage, before anything is made.
    """

    shell = link(
        Shell, doc="Runs the host commands; the daemon itself if not given.", required=False
    )
    domain_name = attr(
        name_kind, "", doc="Prefix of volume names; the domain's if empty.", called="domainName"
    )
    base_image = link(
        BaseImage, doc="What fills the root volume: a path, or an image component.",
        called="baseImage", required=False, text=True,
    )  # fmt: skip
    image_digest = attr(
        digest_kind, "", doc="sha256:... of the image, checked before anything is written.",
        called="imageDigest",
    )  # fmt: skip
    volume_size = attr(size_bytes, "1g", ge=2**20, doc="Root volume.", called="volumeSize")
    swap_size = attr(size_bytes, "512m", doc="Swap volume; 0 for none.", called="swapSize")
    volume_base_name = attr(
        name_kind, "volume1", doc="Middle part of volume names.", called="volumeBaseName"
    )
    using_existing_volumes = attr(
        bool_, False, doc="Take volumes that are there as they are.", called="usingExistingVolumes"
    )
    volume_names = attr(
        names_kind, None, doc="Names of the volumes, root first; derived if not given.",
        called="volumeNames",
    )  # fmt: skip
    keep_volumes = attr(
        keep_kind, AS_BEFORE,
        doc="Whether volumes stay at the end; statuquo: those stay that were there before.",
        called="keepVolumes",
    )  # fmt: skip
    keep_on_failure = attr(
        duration_s, 3600, doc="Seconds volumes stay after a failure, to be looked at.",
        called="keepOnFailure",
    )  # fmt: skip
    make_fs = attr(
        command_kind, "mkfs.ext3", doc="Filesystem maker and arguments.", called="makeFs"
    )
    temp_mount_point = attr(
        str_, "/tmp/mnt",  # noqa: S108 - the name SmartDomains gives
        doc="Accepted for old descriptions; volumes are filled without mounting them.",
        called="tempMountPoint",
    )  # fmt: skip
    save_image = attr(bool_, False, doc="Pack the root filesystem at the end.", called="saveImage")
    save_image_name = attr(
        name_kind, "", doc="Stem of the image; domain and time if empty.", called="saveImageName"
    )
    save_image_path = attr(
        str_, "/tmp",  # noqa: S108 - the default SmartDomains gives
        doc="Folder of the image on the host.", called="saveImagePath",
    )  # fmt: skip
    save_image_extension = attr(
        str_, "tar", choices=EXTENSIONS, doc="How it is packed.", called="saveImageExtension"
    )
    save_image_on = attr(
        str_, "normal", choices=("normal", "always", "abnormal", "never"),
        doc="After which ends.", called="saveImageOn",
    )  # fmt: skip
    save_image_keep = attr(
        int_, 0, ge=0, doc="How many images of that stem stay; 0 for all.", called="saveImageKeep"
    )

    may_come_from_parent: ClassVar[frozenset[str]] = frozenset(ON_THE_DOMAIN)
    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfStartTimeout": 3600, "sfTerminateTimeout": 3600,
    }  # fmt: skip

    def __init__(self) -> None:
        """Serve nobody yet."""
        self._user: Handle | None = None
        self._bound_name = ""
        self._user_shell: Handle | None = None
        self._offers: list[DiskOffer] = []

    # -- the domain's side

    @exposed()
    async def bind(
        self, user: Handle, domain_name: str, overrides: FlatTree, shell: Handle | None
    ) -> None:
        """Say which domain this backend serves, and what that domain says about storage.

        Raises:
            Refused: It serves another one already, or the two names contradict each other.
            BadDescription: An attribute on the domain does not fit.
        """
        if self._user is not None and self._user.name != user.name:
            raise Refused(
                f"{self.path} serves {self._user.name} already", code="SF-STORE-002",
                where=user.name, hint="give each domain a backend of its own",
            )  # fmt: skip
        if self.domain_name and domain_name and self.domain_name != domain_name:
            raise Refused(
                f"domainName is {self.domain_name!r} on {self.path}, but {domain_name!r} on {user.name}",
                code="SF-STORE-003",
            )  # fmt: skip
        self._take(dict(unflatten(overrides).attributes), user.name)
        self._user = user
        self._bound_name = domain_name
        self._user_shell = shell
        if not self.live.state.ended:
            await self.check_host()

    def _take(self, overrides: dict[str, Value], where: str) -> None:
        declared = type(self).declarations.attrs
        for name, value in overrides.items():
            if name == "baseImage":
                self.live.changes[name] = value
                continue
            try:
                self.live.bound[name] = declared[name].read(value)
            except BadValueError as error:
                raise BadDescription(f"{where}.{name}: {error}", code="SF-ATTR-001") from error

    @exposed()
    async def wanted_name(self) -> str:
        """Return the domain name set here, or nothing."""
        return self.domain_name

    @exposed()
    async def image_facts(self) -> ImageFacts | None:
        """Return what fills the root volume; nothing if the volume was there before."""
        return None if self.using_existing_volumes else await self.image()

    @exposed()
    async def disks(self) -> list[DiskOffer]:
        """Return the disks made; root first."""
        return list(self._offers)

    # -- volumes

    @abstractmethod
    async def check_host(self) -> None:
        """Check, making nothing, that the host has what the volumes need."""

    @abstractmethod
    async def make_volumes(self, image: ImageFacts) -> list[DiskOffer]:
        """Make and fill the volumes; return them, root first."""

    @abstractmethod
    async def find_volumes(self, names: Sequence[str]) -> list[DiskOffer]:
        """Return volumes of these names that are there, root first."""

    @abstractmethod
    def offers_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        """Return the disks that effects of this backend stand for."""

    @override
    async def on_start(self) -> None:
        await self.check_host()
        if self.using_existing_volumes:
            self._offers = await self.find_volumes(self.names())
        else:
            self._offers = await self.make_volumes(await self.image())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        if self.using_existing_volumes:
            self._offers = await self.find_volumes(self.names())
        else:
            self._offers = self.offers_of(effects)

    def names(self) -> tuple[str, ...]:
        """Return the names of the volumes: root, and swap if there is one."""
        if self.volume_names:
            return self.volume_names
        prefix = self.domain_name or self._bound_name
        if not prefix:
            raise Refused("nobody uses this backend and it has no domainName", where=self.path)
        root = f"{prefix}-{self.volume_base_name}"
        return (root, f"{root}-swap") if self.swap_size else (root,)

    def identity(self, role: str) -> str:
        """Return a UUID for a filesystem or swap area, the same at each deployment."""
        text = f"{self.live.process.community}/{self.path}/{role}"
        return str(uuids.uuid5(uuids.NAMESPACE_URL, text))

    @property
    def filesystem(self) -> tuple[str, ...]:
        """Return the filesystem maker and its arguments."""
        return self.make_fs

    async def image(self) -> ImageFacts:
        """Return what fills the root volume.

        Raises:
            Refused: It is missing, unreadable, another one than expected, or larger than the volume.
        """
        if not self.base_image.given:
            raise BadDescription(
                "baseImage must be given", code="SF-STORE-006", where=self.path,
                hint="name an image, or say usingExistingVolumes true",
            )  # fmt: skip
        if self.base_image.text:
            facts = await self.run_blocking(examine, Path(self.base_image.text).expanduser())
        else:
            facts = await self.base_image.api.facts()
        if self.image_digest and facts.kind != "directory":
            found = await self.run_blocking(digest_of, Path(facts.path))
            if found != self.image_digest:
                raise Refused(
                    f"image {facts.path} has digest {found}, not {self.image_digest}",
                    code="SF-IMAGE-004", where=self.path,
                    hint="get the image anew, or correct imageDigest",
                )  # fmt: skip
        if facts.size_bytes > self.volume_size:
            raise Refused(
                f"image {facts.path} needs {facts.size_bytes} bytes, volumeSize is {self.volume_size}",
                code="SF-IMAGE-005", where=self.path, hint="raise volumeSize",
            )  # fmt: skip
        self.check_image(facts)
        return facts

    def check_image(self, image: ImageFacts) -> None:
        """Refuse an image that volumes of this kind cannot be filled from.

        Raises:
            Refused: It needs a filesystem maker that this host does not have, or that cannot fill one.
        """
        if image.kind not in {"tar", "directory"}:
            return
        maker, good = self.make_fs[0], ", ".join(sorted(GROWN))
        if Path(maker).name not in GROWN:
            raise Refused(
                f"makeFs {maker} cannot fill a filesystem without mounting it", code="SF-STORE-001",
                where=self.path, hint=f"use one of {good}",
            )  # fmt: skip
        if shutil.which(maker, path=search_path()) is None:
            raise Refused(
                f"makeFs {maker}: there is no such program on this host", code="SF-STORE-001",
                where=self.path, hint=f"install it, or use one of {good}",
            )  # fmt: skip

    def executor(self) -> ShellExecutor | None:
        """Return who runs host commands, if not the daemon itself."""
        if self.shell.given:
            return ShellExecutor(self.shell.api.execute)
        if self._user_shell is not None:
            return ShellExecutor(self._through(self._user_shell))
        return None

    def _through(self, shell: Handle) -> ShellExecutor.Execute:
        async def execute(script: str, timeout_s: float) -> object:
            return await self.call(shell, Shell, "execute", script, timeout_s)

        return execute

    # -- the end

    @override
    async def on_terminate(self, record: Record) -> None:
        await self._wait_for_user()
        ending = ending_of(record)
        volumes = [made.effect for made in self.live.effects if self.offers_of([made.effect])]
        found = self.using_existing_volumes
        stay = volumes_stay(self.keep_volumes, found=found, ending=ending)
        if found and stay != "always":
            given_up = [GivenUpVolume(offer.path) for offer in self._offers]
            volumes.extend([await self.make(each, keep="always") for each in given_up])
        later = f"{self.keep_on_failure:g}" if self.keep_on_failure else "never"
        keep = later if stay == "later" else stay
        if ending is not Ending.ROLLBACK and self._offers:
            wanted = image_saved(wanted=self.save_image, on=self.save_image_on, ending=ending)
            if wanted and not await self._saved(volumes, keep):
                return
        for volume in volumes:
            await self.amend(volume, keep)

    async def _wait_for_user(self) -> None:
        if self._user is None:
            return
        try:
            await self.call(self._user, User, "let_go")
        except EngineError as error:
            self.log.debug("the domain is gone already: %s", error)

    async def _saved(self, volumes: Sequence[Effect], then: str) -> bool:
        """Pack the root volume; until that is done, and if it fails, the volumes stay."""
        for volume in volumes:
            await self.amend(volume, "always")
        root = self._offers[0]
        prefix = self.domain_name or self._bound_name or self.name
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        stem = self.save_image_name or prefix
        name = self.save_image_name or f"{prefix}-{stamp}"
        folder = Path(self.save_image_path).expanduser()
        image = SavedImage(
            volume=root.path, volume_format=root.format, extension=self.save_image_extension,
            path=str(folder / f"{name}.{self.save_image_extension}"), stem=stem, domain=prefix,
            keep_newest=self.save_image_keep, then=then,
        )  # fmt: skip
        try:
            await self.make(image, keep="always")
        except asyncio.CancelledError:
            self._tell_unsaved("it took longer than sfTerminateTimeout")
            raise
        except (EngineError, OSError) as error:
            self._tell_unsaved(str(error))
            return False
        return True

    def _tell_unsaved(self, why: str) -> None:
        text = f"the image could not be saved, the volumes stay: {why}"
        self.live.write("lastError", text)
        self.live.segment.errors.append(f"{self.path}: {text}")
        self.note(text, "error")
