"""`LVMStorageBackend`: volumes as logical volumes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct
from typing_extensions import override

from components.hypervisor.names import name_kind
from components.images.kinds import ImageFacts
from components.storage.backend import DiskOffer, StorageBackend
from components.storage.volume_file import VolumeFile
from engine.core.faults import Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site

CONTROL = Path("/dev/mapper/control")


class _Volume(Struct, frozen=True):
    lv_tags: str = ""
    lv_device_open: str = ""


class _Listing(Struct, frozen=True):
    lv: tuple[_Volume, ...] = ()


class _Report(Struct, frozen=True):
    report: tuple[_Listing, ...] = ()


def tag_of(owner: Owner) -> str:
    """Write an owner as a tag that a volume may carry.

    Example:
        >>> tag_of(Owner("c", "pool", "pool:host1:lvm", 7))
        'sd.c/pool/pool.host1.lvm/7'
    """
    path = "".join(char if char.isalnum() or char in "_-." else "." for char in owner.path)
    return f"sd.{owner.community}/{owner.application}/{path}/{owner.incarnation}"


class LogicalVolume(Effect, frozen=True):
    """A logical volume, tagged with its owner.

    Attributes:
        group: Volume group.
        fill: What its content is; its path is the device.
        thin_pool: Thin pool of the group; empty: a thick volume.
    """

    group: str
    name: str
    fill: VolumeFile
    thin_pool: str = ""

    @override
    def label(self) -> str:
        return f"logical volume {self.group}/{self.name}"

    @property
    def device(self) -> str:
        """Return the device of the volume."""
        return f"/dev/{self.group}/{self.name}"

    async def _volume(self, at: Site) -> _Volume | None:
        output = await at.run((
            "lvs", "--reportformat", "json", "-o", "lv_name,lv_tags,lv_device_open",
            "-S", f"vg_name={self.group} && lv_name={self.name}",
        ))  # fmt: skip
        report = msgspec.json.decode(output.stdout, type=_Report)
        return next((volume for listing in report.report for volume in listing.lv), None)

    @override
    async def look(self, at: Site) -> Presence:
        volume = await self._volume(at)
        if volume is None:
            return Presence.ABSENT
        ours = tag_of(at.owner).rpartition("/")[0]
        return Presence.OURS if f"{ours}/" in volume.lv_tags else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        if await self._volume(at) is None:
            size = (
                ("-V", f"{self.fill.size_bytes}b", "--thinpool", self.thin_pool)
                if self.thin_pool
                else ("-L", f"{self.fill.size_bytes}b")
            )
            tag = ("--addtag", tag_of(at.owner))
            await at.run(("lvcreate", "-y", *size, *tag, "-n", self.name, self.group))
        elif await self.look(at) is not Presence.OURS:
            raise NameTaken(f"{self.label()} belongs to somebody else")
        await self.fill.fill_device(at)
        return self

    @override
    async def undo(self, at: Site) -> None:
        volume = await self._volume(at)
        if volume is None or tag_of(at.owner) not in volume.lv_tags:
            return
        if volume.lv_device_open:
            raise Refused(f"{self.label()} is in use", code="SF-STORE-010")
        await at.run(("lvremove", "-y", f"{self.group}/{self.name}"))


class RecordedVolume(VolumeFile, frozen=True):
    """A sparse file in place of a logical volume; the commands that were meant are written down."""

    commands: tuple[str, ...] = ()
    log: str = ""

    @override
    def label(self) -> str:
        return f"recorded volume {self.path}"

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._note, self.commands)
        return await super().make(at)

    def _note(self, commands: tuple[str, ...]) -> None:
        Path(self.log).parent.mkdir(parents=True, exist_ok=True)
        with Path(self.log).open("a") as file:
            file.writelines(f"{command}\n" for command in commands)

    @override
    async def undo(self, at: Site) -> None:
        if self.owner() == at.owner:
            group, name = Path(self.path).parts[-2:]
            await at.blocking(self._note, (f"lvremove -y {group}/{name}",))
        await super().undo(at)


class LVMStorageBackend(StorageBackend, type="storage.lvm"):
    """Keeps the volumes of one domain as logical volumes of a group.

    Where there is no device-mapper, the daemon's setting `lvm = "recorded"` writes the commands down
    and makes sparse files instead; it is never chosen silently.
    """

    volume_group = attr(name_kind, "vg1", doc="Volume group.", called="volumeGroup")
    thin_pool = attr(
        name_kind, "", doc="Thin pool of the group; thick if empty.", called="thinPool"
    )

    @property
    def _recorded(self) -> bool:
        return self.settings.lvm == "recorded"

    @override
    async def check_host(self) -> None:
        if not self._recorded and not CONTROL.exists():
            raise Refused(
                "NoDeviceMapper: this kernel has no device-mapper, so there are no logical volumes",
                code="SF-STORE-011", where=self.path,
                hint='use another backend, or set lvm = "recorded" on the daemon for a dry run',
            )  # fmt: skip
        if self.using_existing_volumes:
            await self.find_volumes(self.names())
        elif self.base_image.text or not self.base_image.given:
            await self.image()

    @override
    async def make_volumes(self, image: ImageFacts) -> list[DiskOffer]:
        offers = []
        for role, name in zip(("root", "swap"), self.names(), strict=False):
            made = await self.make(self._volume(role, name, image), executor=self.executor())
            offers.append(self._offer(made))
        return offers

    def _volume(self, role: str, name: str, image: ImageFacts) -> LogicalVolume | RecordedVolume:
        root = role == "root"
        size = self.volume_size if root else self.swap_size
        device = f"/dev/{self.volume_group}/{name}"
        path = str(self._folder() / name) if self._recorded else device
        about = {
            "path": path, "size_bytes": size, "role": role, "image": image.path if root else "",
            "image_kind": image.kind if root else "", "uuid": self.identity(role),
        }  # fmt: skip
        if not self._recorded:
            fill = msgspec.convert({**about, "make_fs": self.filesystem}, VolumeFile)
            return LogicalVolume(self.volume_group, name, fill, self.thin_pool)
        size_words = f"-V {size}b --thinpool {self.thin_pool}" if self.thin_pool else f"-L {size}b"
        maker = shlex.join(self.filesystem) if root else "mkswap"
        commands = (
            f"lvcreate -y {size_words} -n {name} {self.volume_group}", f"{maker} {device}",
        )  # fmt: skip
        log = str(self._folder() / "commands.log")
        facts = {**about, "make_fs": self.filesystem, "commands": commands, "log": log}
        return msgspec.convert(facts, RecordedVolume)

    def _folder(self) -> Path:
        return self.work_folder / "lvm" / self.volume_group

    def _offer(self, made: Effect) -> DiskOffer:
        if isinstance(made, LogicalVolume):
            return DiskOffer(made.fill.role, made.device, "block", "raw")
        if isinstance(made, VolumeFile):
            return DiskOffer(made.role, made.path, "file", "raw")
        raise TypeError(type(made).__name__)

    @override
    async def find_volumes(self, names: Sequence[str]) -> list[DiskOffer]:
        folder = self._folder() if self._recorded else Path("/dev", self.volume_group)
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise Refused(
                f"usingExistingVolumes: there is no {', '.join(missing)} in {self.volume_group}",
                code="SF-STORE-007", where=self.path,
            )  # fmt: skip
        kind = "file" if self._recorded else "block"
        return [
            DiskOffer(role, str(folder / name), kind, "raw")
            for role, name in zip(("root", "swap"), names, strict=False)
        ]

    @override
    def offers_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        return [
            self._offer(effect)
            for effect in effects
            if isinstance(effect, LogicalVolume | VolumeFile)
        ]
