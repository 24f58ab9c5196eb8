"""`PoolStorageBackend`: the volumes of one domain in a storage pool of the hypervisor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from components.hypervisor.capabilities import Capability
from components.hypervisor.choice import is_local, scheme_of, uri_kind
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import Hypervisor
from components.images.kinds import ImageFacts
from components.storage.backend import StorageBackend
from components.storage.offers import DiskOffer
from components.storage.pool_effects import GivenUpPoolVolume, PoolVolume
from components.storage.pool_xml import IN_FILES, Access, VolumeSpec
from components.storage.sourcing import Wanted
from components.storage.storage_pool import (
    Place,
    StoragePool,
    note_path,
    place_of,
)
from components.storage.usage import VolumeUsage
from engine.core.faults import Refused
from engine.runtime.attributes import attr, link
from engine.runtime.effects import Effect
from engine.runtime.kinds import bool_


class PoolStorageBackend(StorageBackend, type="storage.poolbackend"):
    """Keeps the volumes of one domain in a storage pool of its hypervisor.

    Content is made on the daemon's host and written into the volumes by the hypervisor, so that any
    type of pool will do.
    """

    resumable: ClassVar[bool] = False

    pool = link(
        StoragePool, text=True, doc="Pool of the volumes: a component, or a name at the hypervisor."
    )
    hypervisor_uri = attr(
        uri_kind, "", called="hypervisorUri",
        doc="Hypervisor of a pool that is named; found on the host if empty.",
    )  # fmt: skip
    layered = attr(
        bool_, False,
        doc="Make the root volume a qcow2 layer over the image, which the hypervisor must see.",
    )  # fmt: skip

    def __init__(self) -> None:
        """Serve nobody yet."""
        super().__init__()
        self._place: Place | None = None

    async def _where(self) -> Place:
        if self._place is None:
            self._place = await place_of(self, self.pool, self.hypervisor_uri)
        return self._place

    async def _hypervisor(self) -> Hypervisor:
        return await self.service(HypervisorPool).get((await self._where()).uri)

    @override
    async def check_host(self) -> None:
        place = await self._where()
        storage = (await self._hypervisor()).storage
        facts = await storage.pool(place.uuid)
        if facts is not None and facts.active:
            if self.using_existing_volumes:
                await self.find_volumes(self.layout())
                return
            where = f"storage pool {place.name}"
            await self.reserve_space(where, facts.available_bytes, f"pool {place.uri} {place.uuid}")
        if self.base_image.text or not (self.base_image.given or self.using_existing_volumes):
            await self.image()

    @property
    @override
    def takes_space_at_once(self) -> bool:
        return self.preallocate != "sparse"

    @override
    async def check_growth_fits(self, more: int) -> None:
        place = await self._where()
        facts = await (await self._hypervisor()).storage.pool(place.uuid)
        free = facts.available_bytes if facts is not None else 0
        where = f"pool {place.uri} {place.uuid}"
        await self.refuse_growth(f"storage pool {place.name}", free, where, more)

    @override
    def check_image(self, image: ImageFacts) -> None:
        super().check_image(image)
        if self.layered and image.kind not in {"raw", "qcow2"}:
            raise Refused(
                f"{image.path} is a {image.kind}: a layer needs a raw or qcow2 image",
                code="SF-STORE-009", where=self.path, hint="leave layered out, or name another image",
            )  # fmt: skip

    @override
    async def volume(self, wanted: Wanted, image: ImageFacts) -> Effect:
        place = await self._where()
        if Capability.VOLUME_CONTENT not in (await self._hypervisor()).caps:
            self.note(f"{place.uri} keeps no content: {wanted.name} stays empty", "warning")
        layered = self.layered and wanted.role == "root"
        in_files = place.type in IN_FILES
        access = Access(mode="0600", owner=place.access.owner, group=place.access.group)
        spec = VolumeSpec(
            name=wanted.name, capacity_bytes=wanted.size_bytes, sparse=self.preallocate == "sparse",
            format=("qcow2" if layered else "raw") if in_files else "",
            backing=image.path if layered else "", backing_format=image.kind if layered else "",
            access=access if in_files else Access(),
        )  # fmt: skip
        scratch = str(self.work_folder / "pools" / place.uuid / f"{wanted.name}.part")
        fill = None if layered else self.file(scratch, wanted, image)
        return PoolVolume(
            place.uri, place.uuid, place.name, note_path(self, place.uuid, wanted.name), spec,
            role=wanted.role, fill=fill, wipe=self.wipe_on_remove,
        )  # fmt: skip

    @override
    def offer_of(self, effect: Effect) -> DiskOffer | None:
        if isinstance(effect, PoolVolume):
            return DiskOffer(effect.role, effect.path, effect.kind, effect.spec.format or "raw")
        return None

    @override
    async def find_volumes(self, wanted: Sequence[Wanted]) -> list[DiskOffer]:
        place = await self._where()
        storage = (await self._hypervisor()).storage
        facts = [await storage.volume(place.uuid, one.name) for one in wanted]
        missing = [one.name for one, found in zip(wanted, facts, strict=True) if found is None]
        if missing:
            raise Refused(
                f"usingExistingVolumes: there is no {', '.join(missing)} in pool {place.name}",
                code="SF-STORE-007", where=self.path,
                hint="name them in volumeNames, or leave usingExistingVolumes out",
            )  # fmt: skip
        pairs = zip(wanted, facts, strict=True)
        return [
            DiskOffer(
                one.role, found.path, "file" if found.kind == "file" else "block", found.format
            )
            for one, found in pairs
            if found is not None
        ]

    @override
    async def usage_of(self, offer: DiskOffer) -> VolumeUsage:
        place = await self._where()
        name = Path(offer.path).name
        facts = await (await self._hypervisor()).storage.volume(place.uuid, name)
        if facts is None:
            raise FileNotFoundError(f"there is no {name} in pool {place.name} any more")
        return VolumeUsage(offer.role, facts.path, facts.capacity_bytes, facts.allocation_bytes)

    @override
    def is_local(self, offer: DiskOffer) -> bool:
        place = self._place
        ours = place is not None and is_local(place.uri) and scheme_of(place.uri) != "test"
        return ours and Path(offer.path).is_absolute()

    @override
    def given_up(self, offer: DiskOffer) -> Effect:
        place = self._place
        if place is None:
            return super().given_up(offer)
        name = Path(offer.path).name
        note = note_path(self, place.uuid, name)
        return GivenUpPoolVolume(
            place.uri, place.uuid, place.name, note, name, wipe=self.wipe_on_remove
        )
