"""`Volume`: one volume in a storage pool as a component."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from components.hypervisor import names
from components.hypervisor.choice import uri_kind
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import Hypervisor
from components.images.base_image import BaseImage
from components.images.kinds import ImageFacts, examine
from components.networks.claims import Claims
from components.reporting import Reporting
from components.storage import notes
from components.storage.keeping import AS_BEFORE, ending_of, keep_kind, volumes_stay
from components.storage.pool_effects import PoolVolume
from components.storage.pool_xml import IN_FILES, Access, VolumeSpec
from components.storage.storage_pool import Place, StoragePool, mode_kind, note_path, place_of
from components.storage.volume_file import VolumeFile
from components.surroundings.workplace import Workplace
from engine.core.faults import BadDescription, Refused
from engine.core.records import Record
from engine.runtime.attributes import attr, exposed, link, on_change, output
from engine.runtime.effects import Effect, NameTaken
from engine.runtime.kinds import bool_, duration_s, size_bytes, str_
from sfdl.values import Value


class Volume(Workplace, Reporting, type="storage.volume"):
    """A volume in a storage pool: empty, a layer over another, or with the content of an image.

    It is made with the component. One that was kept by an earlier deployment is taken up as it is, and
    grown if a larger capacity is asked for.
    """

    pool = link(
        StoragePool, text=True, doc="Pool it is in: a component, or a name at the hypervisor."
    )
    hypervisor_uri = attr(
        uri_kind, "", called="hypervisorUri",
        doc="Hypervisor of a pool that is named; found on the host if empty.",
    )  # fmt: skip
    volume_name = attr(
        names.name_kind, "", doc="Name in the pool; from the component's path if empty.",
        called="volumeName",
    )  # fmt: skip
    capacity = attr(
        size_bytes, "1g", ge=2**20, doc="What a machine sees; it can be raised while it is there."
    )
    format = attr(str_, "raw", choices=("raw", "qcow2"), doc="Format of the volume.")
    backing = attr(
        str_, "", doc="Path of the image it is a layer of, at the hypervisor; needs format qcow2."
    )
    backing_format = attr(
        str_, "raw", choices=("raw", "qcow2"), doc="Format of that image; never guessed.",
        called="backingFormat",
    )  # fmt: skip
    source = link(
        BaseImage, required=False, text=True, called="from",
        doc="What it is filled with: an image, another volume, or a path. A volume of the same "
        "hypervisor is cloned, anything else is uploaded.",
    )  # fmt: skip
    sparse = attr(bool_, True, doc="Take space as it is written.")
    wipe_on_remove = attr(
        bool_, False, doc="Overwrite it before it is removed.", called="wipeOnRemove"
    )
    keep_volume = attr(
        keep_kind, AS_BEFORE, doc="Whether it stays at the end; statuquo removes what was made here.",
        called="keepVolume",
    )  # fmt: skip
    keep_on_failure = attr(
        duration_s, 3600, doc="Seconds it stays after a failure, to be looked at.",
        called="keepOnFailure",
    )  # fmt: skip
    mode = attr(mode_kind, "0600", doc="Mode of its file.")
    volumePath = output(str, doc="File or device at the hypervisor.")
    capacityBytes = output(int, doc="What a machine sees, in bytes.")
    allocationBytes = output(int, doc="What it takes, in bytes.")

    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfStartTimeout": 3600, "sfTerminateTimeout": 3600,
        "sfUpdatable": True,
    }  # fmt: skip

    def __init__(self) -> None:
        """Be nowhere yet."""
        self._place: Place | None = None

    @property
    def _name(self) -> str:
        return self.volume_name or names.name_from_path(self.path)

    async def _where(self) -> Place:
        if self._place is None:
            self._place = await place_of(self, self.pool, self.hypervisor_uri)
        return self._place

    async def _hypervisor(self) -> Hypervisor:
        return await self.service(HypervisorPool).get((await self._where()).uri)

    # -- deploy: check and reserve

    @override
    async def on_deploy(self) -> None:
        await self.take_workplace()
        place = await self._where()
        if self.backing and self.format != "qcow2":
            raise BadDescription(
                f'backing needs format "qcow2" (got "{self.format}")', code="SF-STORE-021",
                where=self.path,
            )  # fmt: skip
        if self.backing and self.source.given:
            raise BadDescription(
                "give backing or from, not both", code="SF-STORE-021", where=self.path
            )
        self.service(Claims).take(self, "volumeName", place.uuid, self._name)
        note = await self.run_blocking(notes.read, note_path(self, place.uuid, self._name))
        owner = self.live.owner
        if note is not None and note.owner.same_place(owner):
            return
        there = await (await self._hypervisor()).storage.volume(place.uuid, self._name)
        if there is not None:
            whose = note.owner.path if note is not None else "not made by smartdomains"
            raise NameTaken(
                f"NameTaken: {there.path} exists already ({whose})", code="SF-NAME-001",
                where=self.path, hint="choose another volumeName; it was not touched",
            )  # fmt: skip
        if self.source.text and not await self._is_volume(self.source.text):
            await self._check_image(
                await self.run_blocking(examine, Path(self.source.text).expanduser())
            )

    async def _is_volume(self, path: str) -> bool:
        return await (await self._hypervisor()).storage.volume_at(path) is not None

    async def _check_image(self, facts: ImageFacts) -> None:
        if facts.kind != self.format:
            raise Refused(
                f"{facts.path} is a {facts.kind}, the volume is {self.format}", code="SF-STORE-021",
                where=self.path, hint="a PoolStorageBackend unpacks and converts",
            )  # fmt: skip
        if facts.size_bytes > self.capacity:
            raise Refused(
                f"ImageTooBig: {facts.path} needs {facts.size_bytes} bytes, capacity is "
                f"{self.capacity}",
                code="SF-IMAGE-005", where=self.path, hint="raise capacity",
            )  # fmt: skip

    # -- start: make

    @override
    async def on_start(self) -> None:
        place = await self._where()
        in_files = place.type in IN_FILES
        access = Access(mode=self.mode, owner=place.access.owner, group=place.access.group)
        like, fill = await self._content()
        spec = VolumeSpec(
            name=self._name, capacity_bytes=self.capacity, sparse=self.sparse,
            format=self.format if in_files else "", backing=self.backing,
            backing_format=self.backing_format, access=access if in_files else Access(),
        )  # fmt: skip
        volume = PoolVolume(
            place.uri, place.uuid, place.name, note_path(self, place.uuid, self._name), spec,
            fill=fill, like=like, stays_as_it_is=True, wipe=self.wipe_on_remove,
        )  # fmt: skip
        keep = volumes_stay(self.keep_volume, found=False, ending=ending_of(Record.normal()))
        made = await self.make(volume, keep=keep)
        await self._publish(made.path)

    async def _content(self) -> tuple[str, VolumeFile | None]:
        """Return the path of the volume it is cloned from, or what is uploaded."""
        if not self.source.given:
            return "", None
        if self.source.text:
            facts = ImageFacts(self.source.text, self.format, 0)
        else:
            facts = await self.source.api.facts()
        if await self._is_volume(facts.path):
            return facts.path, None
        facts = await self.run_blocking(examine, Path(facts.path).expanduser())
        await self._check_image(facts)
        scratch = str(self.work_folder / "pools" / f"{self._name}.part")
        fill = VolumeFile(
            scratch, self.capacity, "root", image=facts.path, image_kind=facts.kind, how="copy"
        )
        return "", fill

    async def _publish(self, path: str) -> None:
        place = await self._where()
        facts = await (await self._hypervisor()).storage.volume(place.uuid, self._name)
        self.volumePath = path
        if facts is not None:
            self.capacityBytes = facts.capacity_bytes
            self.allocationBytes = facts.allocation_bytes

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self.take_workplace_again()
        for effect in effects:
            if isinstance(effect, PoolVolume):
                self._place = Place(effect.uri, effect.uuid, effect.pool, "")
                await self._publish(effect.path)

    @exposed(role="viewer")
    async def facts(self) -> ImageFacts:
        """Return what the volume is, for those who take its content."""
        return ImageFacts(self.volumePath, self.format, self.capacityBytes)

    # -- growing

    async def grow(self, capacity: int) -> None:
        """Make it larger where it is.

        Raises:
            BadDescription: A smaller capacity is asked for.
        """
        if capacity < self.capacityBytes:
            raise BadDescription(
                f"capacity cannot become {capacity}: the volume has {self.capacityBytes} bytes, and "
                "volumes grow, they are never cut",
                code="SF-STORE-018", where=self.path, hint="make another volume",
            )  # fmt: skip
        place = await self._where()
        storage = (await self._hypervisor()).storage
        await storage.resize(place.uuid, self._name, capacity)
        await self._publish(self.volumePath)

    @on_change("capacity")
    async def _capacity_changed(self, old: int, new: int) -> None:
        del old
        await self.grow(new)

    @override
    async def check_update(self, new: Mapping[str, Value]) -> bool:
        wanted = type(self).capacity.read(new.get("capacity"))
        if isinstance(wanted, int) and wanted < self.capacityBytes:
            raise Refused(
                f"capacity cannot become {wanted}: the volume has {self.capacityBytes} bytes, and "
                "volumes grow, they are never cut",
                code="SF-STORE-018", where=self.path, hint="make another volume",
            )  # fmt: skip
        return True

    # -- the end

    @override
    async def on_terminate(self, record: Record) -> None:
        stay = volumes_stay(self.keep_volume, found=False, ending=ending_of(record))
        later = f"{self.keep_on_failure:g}" if self.keep_on_failure else "never"
        for made in list(self.live.effects):
            await self.amend(made.effect, later if stay == "later" else stay)
