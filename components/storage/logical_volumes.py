"""Logical volumes, for real or written down: what makes and removes them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct
from typing_extensions import override

from components.storage.volume_file import VolumeFile
from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site
from engine.runtime.kinds import BadValueError, Kind, strings
from sfdl.values import Value


class Row(Struct, frozen=True):
    """A logical volume as `lvs` reports it."""

    lv_name: str = ""
    lv_tags: str = ""
    lv_device_open: str = ""
    lv_size: str = ""


class Group(Struct, frozen=True):
    """A volume group as `vgs` reports it."""

    vg_free: str = "0"


class Listing(Struct, frozen=True):
    """What a report lists."""

    lv: tuple[Row, ...] = ()
    vg: tuple[Group, ...] = ()


class Report(Struct, frozen=True):
    """The answer of `lvs` and `vgs`, in JSON."""

    report: tuple[Listing, ...] = ()


def tag_of(owner: Owner) -> str:
    """Write an owner as a tag that a volume may carry.

    Example:
        >>> tag_of(Owner("c", "pool", "pool:host1:lvm", 7))
        'sd.c/pool/pool.host1.lvm/7'
    """
    path = "".join(char if char.isalnum() or char in "_-." else "." for char in owner.path)
    return f"sd.{owner.community}/{owner.application}/{path}/{owner.incarnation}"


_TAG = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.\-/=!:&#]*")


def _tags(value: Value) -> tuple[str, ...]:
    tags = strings.read(value)
    for tag in tags:
        if _TAG.fullmatch(tag) is None:
            raise BadValueError(f"is no tag: letters, digits and _+.-/=!:&# (got {tag!r})")
    return tags


tags_kind = Kind("list of tags", "Vector", _tags)


def extension(group: str, name: str, size_bytes: int) -> tuple[str, ...]:
    """Return the command that makes a volume larger."""
    return ("lvextend", "-y", "-L", f"{size_bytes}b", f"{group}/{name}")


class LogicalVolume(Effect, frozen=True):
    """A logical volume, tagged with its owner.

    Attributes:
        group: Volume group.
        fill: What its content is; its path is the device.
        thin_pool: Thin pool of the group; empty: a thick volume.
        snapshot_of: Volume it is a snapshot of instead of being filled; empty for none.
        stripes: Over how many physical volumes it is spread; 0: as the group does.
        tags: Further tags.
        wipe: Overwrite it before it is removed.
    """

    group: str
    name: str
    fill: VolumeFile
    thin_pool: str = ""
    snapshot_of: str = ""
    stripes: int = 0
    tags: tuple[str, ...] = ()
    wipe: bool = False

    @override
    def label(self) -> str:
        return f"logical volume {self.group}/{self.name}"

    @property
    def device(self) -> str:
        """Return the device of the volume."""
        return f"/dev/{self.group}/{self.name}"

    async def _volume(self, at: Site) -> Row | None:
        output = await at.run((
            "lvs", "--reportformat", "json", "-o", "lv_name,lv_tags,lv_device_open",
            "-S", f"vg_name={self.group} && lv_name={self.name}",
        ))  # fmt: skip
        report = from_json(output.stdout, Report)
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
            await at.run(self.creation(tag_of(at.owner)))
            if self.snapshot_of:
                await at.run(("lvchange", "-y", "-ay", "-K", f"{self.group}/{self.name}"))
        elif await self.look(at) is not Presence.OURS:
            raise NameTaken(f"{self.label()} belongs to somebody else")
        if not self.snapshot_of:
            await self.fill.fill_device(at)
        return self

    def creation(self, owner_tag: str) -> tuple[str, ...]:
        """Return the command that makes it; a thin snapshot has its origin's size."""
        tags = tuple(word for tag in (owner_tag, *self.tags) for word in ("--addtag", tag) if tag)
        size: tuple[str, ...] = ("-L", f"{self.fill.size_bytes}b")
        if self.snapshot_of:
            size = ("-kn", "-s") if self.thin_pool else (*size, "-s")
            return (
                "lvcreate",
                "-y",
                *size,
                *tags,
                "-n",
                self.name,
                f"{self.group}/{self.snapshot_of}",
            )
        if self.thin_pool:
            size = ("-V", f"{self.fill.size_bytes}b", "--thinpool", self.thin_pool)
        elif self.stripes:
            size = (*size, "-i", str(self.stripes))
        return ("lvcreate", "-y", *size, *tags, "-n", self.name, self.group)

    @property
    def capacity_bytes(self) -> int:
        """Return what a guest sees."""
        return self.fill.size_bytes

    def sized(self, size_bytes: int) -> Self:
        """Return the same volume, described as larger."""
        return msgspec.structs.replace(self, fill=self.fill.sized(size_bytes))

    async def enlarge(self, at: Site, size_bytes: int) -> None:
        """Make the volume larger, unless it is as large already."""
        output = await at.run((
            "lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", "lv_size",
            "-S", f"vg_name={self.group} && lv_name={self.name}",
        ))  # fmt: skip
        report = from_json(output.stdout, Report)
        sizes = [float(volume.lv_size or 0) for listing in report.report for volume in listing.lv]
        if max(sizes, default=0) < size_bytes:
            await at.run(extension(self.group, self.name, size_bytes))

    @override
    async def claim(self, at: Site) -> Self:
        volume = await self._volume(at)
        ours = tag_of(at.owner).rpartition("/")[0]
        tags = volume.lv_tags.split(",") if volume is not None else []
        old = [word for tag in tags if tag.startswith(f"{ours}/") for word in ("--deltag", tag)]
        new = ("--addtag", tag_of(at.owner))
        await at.run(("lvchange", "-y", *old, *new, f"{self.group}/{self.name}"))
        return self

    @override
    async def undo(self, at: Site) -> None:
        volume = await self._volume(at)
        if volume is None or tag_of(at.owner) not in volume.lv_tags:
            return
        if volume.lv_device_open:
            raise Refused(f"{self.label()} is in use", code="SF-STORE-010")
        await self.remove(at)

    async def remove(self, at: Site) -> None:
        """Remove it, whoever it belongs to."""
        if self.wipe:
            words = ("blkdiscard", "-z", self.device)
            await at.run(words, timeout_s=3600)
        await at.run(("lvremove", "-y", f"{self.group}/{self.name}"))


class FrozenVolume(LogicalVolume, frozen=True):
    """A read-only thin snapshot of a volume that goes on; nobody has it as a disk."""

    @override
    def creation(self, owner_tag: str) -> tuple[str, ...]:
        tags = tuple(word for tag in (owner_tag, *self.tags) for word in ("--addtag", tag) if tag)
        origin = f"{self.group}/{self.snapshot_of}"
        return ("lvcreate", "-y", "-pr", "-s", *tags, "-n", self.name, origin)

    @override
    async def make(self, at: Site) -> Self:
        if await self._volume(at) is None:
            await at.run(self.creation(tag_of(at.owner)))
        elif await self.look(at) is not Presence.OURS:
            raise NameTaken(f"{self.label()} belongs to somebody else")
        return self


class GivenUpLogicalVolume(LogicalVolume, frozen=True):
    """A logical volume that was found and is to be removed: undoing this effect removes it."""

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.ABSENT if await self._volume(at) is None else Presence.OURS

    @override
    async def make(self, at: Site) -> Self:
        return self

    @override
    async def undo(self, at: Site) -> None:
        volume = await self._volume(at)
        if volume is None:
            return
        place = tag_of(at.owner).rpartition("/")[0]
        others = [tag for tag in volume.lv_tags.split(",") if tag.startswith("sd.")]
        if any(not tag.startswith(f"{place}/") for tag in others):
            raise Refused(f"{self.label()} belongs to {others[0]}: it stays")
        if volume.lv_device_open:
            raise Refused(f"{self.label()} is in use", code="SF-STORE-010")
        await self.remove(at)


class RecordedVolume(VolumeFile, frozen=True):
    """A sparse file in place of a logical volume; the commands that were meant are written down."""

    commands: tuple[str, ...] = ()
    log: str = ""
    empty: bool = False

    @override
    def label(self) -> str:
        return f"recorded volume {self.path}"

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._note, self.commands)
        return await super().make(at)

    @override
    async def write(self, at: Site) -> None:
        if self.empty:
            await at.blocking(self._sparse)
        else:
            await super().write(at)

    @override
    async def enlarge(self, at: Site, size_bytes: int) -> None:
        group, name = Path(self.path).parts[-2:]
        await at.blocking(self._note, (shlex.join(extension(group, name, size_bytes)),))
        await super().enlarge(at, size_bytes)

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
