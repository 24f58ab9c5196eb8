"""`LVMStorageBackend`: volumes as logical volumes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
from typing_extensions import override

from components.hypervisor.names import name_kind
from components.images.kinds import ImageFacts
from components.storage.backend import StorageBackend
from components.storage.freezing import OFF, PAUSED, Frozen
from components.storage.logical_volumes import (
    FrozenVolume,
    GivenUpLogicalVolume,
    Listing,
    LogicalVolume,
    RecordedVolume,
    Report,
    tags_kind,
)
from components.storage.offers import FROZEN, DiskOffer
from components.storage.sourcing import Wanted
from components.storage.thin_pool import WATCH_S, alarm_about, thin_pools, trouble_with_pool
from components.storage.volume_file import VolumeFile
from engine.core.decoding import from_json
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Effect, Executor, OwnExecutor
from engine.runtime.kinds import int_

CONTROL = Path("/dev/mapper/control")


class LVMStorageBackend(StorageBackend, type="storage.lvm"):
    """Keeps the volumes of one domain as logical volumes of a group.

    Where there is no device-mapper, the daemon's setting `lvm = "recorded"` writes the commands down
    and makes sparse files instead; it is never chosen silently.

    Events:
        warning: A thin pool is more than 95 % full; told every minute.
    """

    frozen_when: ClassVar[frozenset[str]] = frozenset({OFF, PAUSED})

    volume_group = attr(name_kind, "vg1", doc="Volume group.", called="volumeGroup")
    thin_pool = attr(
        name_kind, "", doc="Thin pool of the group; thick if empty.", called="thinPool"
    )

    snapshot_of = attr(
        name_kind, "", called="snapshotOf",
        doc="Volume of the group that the root is a snapshot of, instead of being filled.",
    )  # fmt: skip
    stripes = attr(
        int_, 0, ge=0, le=128, doc="Over how many disks volumes are spread; 0: as the group does."
    )
    tags = attr(tags_kind, (), doc="Further tags of the volumes.")

    @property
    def _recorded(self) -> bool:
        return self.settings.lvm == "recorded"

    @override
    async def check_host(self) -> None:
        if self.stripes and self.thin_pool:
            raise BadDescription(
                "stripes are those of the thin pool", code="SF-STORE-016", where=self.path,
                hint="leave stripes out, or thinPool",
            )  # fmt: skip
        if not self._recorded and not CONTROL.exists():
            raise Refused(
                "NoDeviceMapper: this kernel has no device-mapper, so there are no logical volumes",
                code="SF-STORE-011", where=self.path,
                hint='use another backend, or set lvm = "recorded" on the daemon for a dry run',
            )  # fmt: skip
        if self.using_existing_volumes:
            await self.find_volumes(self.layout())
            return
        if not self._recorded:
            await self._check_group()
        if not self.snapshot_of and (self.base_image.text or not self.base_image.given):
            await self.image()

    @override
    async def on_start(self) -> None:
        await super().on_start()
        self._watch_pool()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await super().on_adopt(effects)
        self._watch_pool()

    def _watch_pool(self) -> None:
        if self.thin_pool and not self._recorded:
            self.spawn(self._look_at_pool())

    async def _look_at_pool(self) -> None:
        """Warn once a minute as long as the thin pool is nearly full."""
        while True:
            pools = await thin_pools(self._runner(), self.volume_group, self.thin_pool)
            alarm = alarm_about(pools, f"{self.volume_group}/{self.thin_pool}")
            if alarm:
                self.note(alarm, "warning")
            await self.sleep(WATCH_S)

    def _runner(self) -> Executor:
        return self.executor() or OwnExecutor()

    async def _report(self, *words: str) -> Listing:
        argv = (words[0], "--reportformat", "json", "--units", "b", "--nosuffix", *words[1:])
        output = await self._runner().run(argv, input_=b"", timeout_s=60)
        if output.status != 0:
            return Listing()
        report = from_json(output.stdout, Report).report
        return report[0] if report else Listing()

    @override
    async def check_growth_fits(self, more: int) -> None:
        if self.snapshot_of and not self.thin_pool:
            raise Refused(
                "a snapshot is as large as its origin: only a thin one can grow",
                code="SF-STORE-018", where=self.path,
            )  # fmt: skip
        if self._recorded or self.thin_pool:
            return
        words = ("vgs", "-o", "vg_free", "-S", f"vg_name={self.volume_group}")
        groups = (await self._report(*words)).vg
        free = int(float(groups[0].vg_free)) if groups else 0
        where = f"volume group {self.volume_group}"
        await self.refuse_growth(where, free, where, more)

    async def _check_group(self) -> None:
        """Refuse a group that is not there or has no room, or a thin pool that is nearly full."""
        group = self.volume_group
        groups = (await self._report("vgs", "-o", "vg_free", "-S", f"vg_name={group}")).vg
        if not groups:
            raise Refused(
                f"there is no volume group {group}", code="SF-STORE-017", where=self.path,
                hint="name another volumeGroup, or make it: vgcreate",
            )  # fmt: skip
        if self.thin_pool:
            await self._check_pool()
            return
        where = f"volume group {group}"
        await self.reserve_space(where, int(float(groups[0].vg_free)), where)

    async def _check_pool(self) -> None:
        """Refuse a thin pool that is nearly full."""
        group = self.volume_group
        pools = await thin_pools(self._runner(), group, self.thin_pool)
        trouble = trouble_with_pool(pools, f"{group}/{self.thin_pool}")
        if trouble:
            raise Refused(trouble, code="SF-STORE-017", where=self.path, hint="extend it: lvextend")

    @override
    async def image(self) -> ImageFacts:
        if self.snapshot_of:
            return ImageFacts(f"{self.volume_group}/{self.snapshot_of}", "raw", 0)
        return await super().image()

    @override
    async def volume(self, wanted: Wanted, image: ImageFacts) -> Effect:
        path = str(self._folder() / wanted.name) if self._recorded else self._device(wanted.name)
        of = self.snapshot_of if wanted.role == "root" else ""
        fill = self.file(path, wanted, image)
        logical = LogicalVolume(
            self.volume_group, wanted.name, fill, self.thin_pool, of, self.stripes, self.tags,
            self.wipe_on_remove,
        )  # fmt: skip
        if not self._recorded:
            return logical
        maker = () if of else ("mkswap",) if wanted.role == "swap" else wanted.make_fs
        return self._recorded_as(logical, maker if maker != ("none",) else ())

    def _recorded_as(self, logical: LogicalVolume, maker: tuple[str, ...]) -> RecordedVolume:
        """Return what stands for a volume where there is no device-mapper."""
        commands = [shlex.join(logical.creation(""))]
        if maker:
            commands.append(shlex.join((*maker, self._device(logical.name))))
        facts = {
            **msgspec.to_builtins(logical.fill), "commands": tuple(commands),
            "log": str(self._folder() / "commands.log"), "empty": bool(logical.snapshot_of),
        }  # fmt: skip
        return msgspec.convert(facts, RecordedVolume)

    # -- freezing

    @override
    async def check_freezing(self) -> None:
        if not self.thin_pool:
            raise Refused(
                f"the volumes of {self.volume_group} are thick, and thin ones only are frozen",
                code="SF-STORE-028", where=self.path, hint="say thinPool, or use an "
                "OverlayStorageBackend",
            )  # fmt: skip
        if not self._recorded:
            await self._check_pool()

    @override
    async def freezer(self, offer: DiskOffer, volume: str, name: str) -> tuple[Effect, Frozen]:
        effect = self._frozen(volume, name, self.growing.there()[volume])
        (frozen,) = self.volumes_of([effect])
        return effect, Frozen(volume, frozen.path, offer.path)

    def _frozen(self, volume: str, name: str, size_bytes: int) -> Effect:
        """Return the effect that keeps a volume as it is now."""
        path = str(self._folder() / name) if self._recorded else self._device(name)
        fill = VolumeFile(path, size_bytes, FROZEN)
        frozen = FrozenVolume(
            self.volume_group, name, fill, self.thin_pool, volume, tags=self.tags
        )  # fmt: skip
        return self._recorded_as(frozen, ()) if self._recorded else frozen

    @override
    async def frozen_before(self, effects: Sequence[Effect]) -> list[Effect]:
        found: list[Effect] = []
        for offer in self.volumes_of(effects):
            volume = Path(offer.path).name
            if self._recorded:
                names = [each.name for each in self._folder().glob(f"{volume}-g*")]
            else:
                words = ("lvs", "-o", "lv_name", "-S", f"vg_name={self.volume_group}")
                rows = (await self._report(*words)).lv
                names = [row.lv_name for row in rows]
            pattern = re.compile(re.escape(volume) + r"-g\d+-\d+")
            frozen = sorted(name for name in names if pattern.fullmatch(name))
            found += [self._frozen(volume, name, 0) for name in frozen]
        return found

    def _device(self, name: str) -> str:
        return f"/dev/{self.volume_group}/{name}"

    def _folder(self) -> Path:
        return self.live.process.work_folder / "lvm" / self.volume_group

    @override
    def offer_of(self, effect: Effect) -> DiskOffer | None:
        if isinstance(effect, GivenUpLogicalVolume):
            return None
        if isinstance(effect, LogicalVolume):
            return DiskOffer(effect.fill.role, effect.device, "block", "raw")
        if isinstance(effect, VolumeFile):
            return DiskOffer(effect.role, effect.path, "file", "raw")
        return None

    @override
    def given_up(self, offer: DiskOffer) -> Effect:
        if self._recorded:
            return super().given_up(offer)
        name, fill = Path(offer.path).name, VolumeFile(offer.path, 0, offer.role)
        return GivenUpLogicalVolume(self.volume_group, name, fill, wipe=self.wipe_on_remove)

    @override
    async def find_volumes(self, wanted: Sequence[Wanted]) -> list[DiskOffer]:
        folder = self._folder() if self._recorded else Path("/dev", self.volume_group)
        missing = [one.name for one in wanted if not (folder / one.name).exists()]
        if missing:
            raise Refused(
                f"usingExistingVolumes: there is no {', '.join(missing)} in {self.volume_group}",
                code="SF-STORE-007", where=self.path,
                hint="name them in volumeNames, or leave usingExistingVolumes out",
            )  # fmt: skip
        kind = "file" if self._recorded else "block"
        return [DiskOffer(one.role, str(folder / one.name), kind, "raw") for one in wanted]
