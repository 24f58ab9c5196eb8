"""What is made at a hypervisor's storage: a pool's definition, its running instance, volumes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from msgspec.structs import replace
from typing_extensions import override

from components.hypervisor.capabilities import Capability
from components.hypervisor.choice import sees_our_files
from components.hypervisor.errors import HypervisorError
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import Hypervisor
from components.hypervisor.storage_protocol import VolumeFacts
from components.storage import notes
from components.storage.filling import overwrite
from components.storage.pool_xml import VolumeSpec, volume_xml
from components.storage.using import refuse_used
from components.storage.volume_file import VolumeFile
from engine.core.faults import Refused
from engine.runtime.effects import Effect, NameTaken, Presence, Site

LOST = {"Unreachable", "Timeout"}


class _AtStorage(Effect, frozen=True):
    """Common part of what is made at a hypervisor's storage.

    Attributes:
        uri: Hypervisor.
        uuid: Of the pool.
        pool: Name of the pool.
        note: File that says whose it is.
    """

    uri: str
    uuid: str
    pool: str
    note: str

    async def _hypervisor(self, at: Site) -> Hypervisor:
        return await at.service(HypervisorPool).get(self.uri)

    @override
    async def look(self, at: Site) -> Presence:
        note = await at.blocking(notes.read, self.note)
        try:
            return await self._judge(await self._hypervisor(at), note, at)
        except HypervisorError as error:
            if error.kind in LOST:
                return Presence.UNKNOWN
            raise

    async def _judge(self, there: Hypervisor, note: notes.Note | None, at: Site) -> Presence:
        raise NotImplementedError

    async def _mine(self, at: Site) -> bool:
        """Say whether undoing may touch it: made by this very creation of the component."""
        note = await at.blocking(notes.read, self.note)
        return note is not None and note.owner == at.owner


@contextlib.contextmanager
def _threads_of(at: Site, hypervisor: Hypervisor, uuid: str) -> Iterator[None]:
    """Make undo wait for hypervisor calls that outlive the one who made them."""
    try:
        yield
    except BaseException:
        for call in hypervisor.pending(uuid):
            at.watch(asyncio.ensure_future(call.wait()))
        raise


class DefinedPool(_AtStorage, frozen=True):
    """A pool known to its hypervisor; its UUID, which comes from its owner's name, says it is ours.

    Attributes:
        xml: Its definition.
        target: Folder that is made for it, and removed with it if empty; empty: none is.
    """

    xml: str
    target: str = ""

    @override
    def label(self) -> str:
        return f"storage pool {self.pool}"

    @override
    async def _judge(self, there: Hypervisor, note: notes.Note | None, at: Site) -> Presence:
        if await there.storage.pool(self.uuid) is not None:
            ours = note is None or note.owner.same_place(at.owner)
            return Presence.OURS if ours else Presence.FOREIGN
        other = await there.storage.pool_by_name(self.pool)
        return Presence.ABSENT if other is None else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        await at.blocking(self._claim, at)
        with _threads_of(at, hypervisor, self.uuid):
            try:
                await hypervisor.storage.define(self.xml)
            except HypervisorError as error:
                if error.kind == "NameTaken":
                    await at.blocking(notes.forget, self.note)
                    raise NameTaken(error.message, code="SF-NAME-001", hint=error.hint) from error
                raise
        return self

    def _claim(self, at: Site) -> None:
        before = notes.read(self.note)
        ours = before is not None and before.target_made
        fresh = bool(self.target) and not Path(self.target).exists()
        notes.write(self.note, notes.Note(at.owner, whole=True, target_made=ours or fresh))

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        if not await self._mine(at):
            return
        storage = hypervisor.storage
        note = await at.blocking(notes.read, self.note)
        with _threads_of(at, hypervisor, self.uuid):
            if await storage.pool(self.uuid) is not None:
                await storage.stop(self.uuid)
                if note is not None and note.target_made:
                    await storage.remove_target(self.uuid)
                await storage.undefine(self.uuid)
        await at.blocking(notes.forget, self.note)


class ActivePool(_AtStorage, frozen=True):
    """The running instance of a defined pool; it outlives our process."""

    build: bool = True
    autostart: bool = True

    @override
    def label(self) -> str:
        return f"active storage pool {self.pool}"

    @override
    async def _judge(self, there: Hypervisor, note: notes.Note | None, at: Site) -> Presence:
        del note, at
        facts = await there.storage.pool(self.uuid)
        return Presence.OURS if facts is not None and facts.active else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            await hypervisor.storage.start(self.uuid, build=self.build, autostart=self.autostart)
        return self

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        if await self._mine(at):
            with _threads_of(at, hypervisor, self.uuid):
                await hypervisor.storage.stop(self.uuid)


class PoolVolume(_AtStorage, frozen=True):
    """A volume in a pool.

    Attributes:
        spec: How it is made.
        role: What a domain uses it for: `root`, `swap`, `data`.
        fill: What its content is, made as a file and written into it; none: empty.
        like: Path of a volume whose content it gets instead; empty for none.
        stays_as_it_is: One of ours that is there whole is taken as it is, and grown if it is smaller.
        wipe: Overwrite it before it is removed.
        path: File or device, once it is made.
        kind: `file` or `block`, once it is made.
    """

    spec: VolumeSpec
    role: str = "data"
    fill: VolumeFile | None = None
    like: str = ""
    stays_as_it_is: bool = False
    wipe: bool = False
    path: str = ""
    kind: str = "file"

    @override
    def label(self) -> str:
        return f"volume {self.pool}/{self.spec.name}"

    @override
    async def _judge(self, there: Hypervisor, note: notes.Note | None, at: Site) -> Presence:
        facts = await there.storage.volume(self.uuid, self.spec.name)
        if facts is None and not await self._outlived_its_pool(at, there):
            return Presence.ABSENT
        ours = note is not None and note.owner.same_place(at.owner)
        return Presence.OURS if ours else Presence.FOREIGN

    async def _outlived_its_pool(self, at: Site, there: Hypervisor) -> bool:
        """Say whether it is there, and nobody can be asked for it: its pool was given up before it."""
        if not self.path or not sees_our_files(there.uri):
            return False
        gone = await there.storage.pool(self.uuid) is None
        return gone and await at.blocking(Path(self.path).exists)

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            facts = await self._make(at, hypervisor)
        return replace(self, path=facts.path, kind="file" if facts.kind == "file" else "block")

    async def _make(self, at: Site, hypervisor: Hypervisor) -> VolumeFacts:
        storage, name = hypervisor.storage, self.spec.name
        note = await at.blocking(notes.read, self.note)
        there = await storage.volume(self.uuid, name)
        if there is not None and (note is None or not note.owner.same_place(at.owner)):
            raise NameTaken(f"{self.label()} belongs to somebody else", code="SF-NAME-001")
        if there is not None and note is not None and note.whole and self.stays_as_it_is:
            await at.blocking(notes.write, self.note, notes.Note(at.owner, whole=True))
            return await self.grown(hypervisor, there)
        await at.blocking(notes.write, self.note, notes.Note(at.owner))
        if there is not None:  # half made, or one that is made anew
            await storage.remove(self.uuid, name)
        facts = await storage.create(self.uuid, volume_xml(self.spec), like=self.like)
        if self.like:
            facts = await self.grown(hypervisor, facts)
        if self.fill is not None and Capability.VOLUME_CONTENT in hypervisor.caps:
            await self._write(at, hypervisor, self.fill)
            facts = await self.grown(hypervisor, await storage.volume(self.uuid, name) or facts)
        await at.blocking(notes.write, self.note, notes.Note(at.owner, whole=True))
        return facts

    async def _write(self, at: Site, hypervisor: Hypervisor, fill: VolumeFile) -> None:
        """Write the content, by way of a file of ours where it is no file yet."""
        ready = fill.role == "root" and fill.image_kind == self.spec.format
        if fill.role == "data" and fill.make_fs == ("none",):
            return
        if ready:
            await hypervisor.storage.upload(self.uuid, self.spec.name, fill.image)
            return
        try:
            await at.blocking(lambda: Path(fill.path).parent.mkdir(parents=True, exist_ok=True))
            await fill.write(at)
            await hypervisor.storage.upload(self.uuid, self.spec.name, fill.path)
        finally:
            await at.blocking(fill.discard)

    @property
    def capacity_bytes(self) -> int:
        """Return what a guest sees."""
        return self.spec.capacity_bytes

    def sized(self, size_bytes: int) -> Self:
        """Return the same volume, described as larger."""
        return replace(self, spec=replace(self.spec, capacity_bytes=size_bytes))

    async def enlarge(self, at: Site, size_bytes: int) -> None:
        """Make the volume larger, unless it is as large already; no guest has it open."""
        hypervisor = await self._hypervisor(at)
        facts = await hypervisor.storage.volume(self.uuid, self.spec.name)
        if facts is not None and facts.capacity_bytes < size_bytes:
            with _threads_of(at, hypervisor, self.uuid):
                await hypervisor.storage.resize(self.uuid, self.spec.name, size_bytes)

    async def grown(self, hypervisor: Hypervisor, facts: VolumeFacts) -> VolumeFacts:
        """Bring a volume to its capacity.

        Raises:
            Refused: It is larger than it should be: it would have to be cut.
        """
        wanted = self.spec.capacity_bytes
        if facts.capacity_bytes > wanted:
            raise Refused(
                f"{self.label()} has {facts.capacity_bytes} bytes, {wanted} are asked for: volumes "
                "grow, they are never cut",
                code="SF-STORE-018", hint="ask for as much as it has, or make another one",
            )  # fmt: skip
        if facts.capacity_bytes < wanted:
            await hypervisor.storage.resize(self.uuid, self.spec.name, wanted)
        return await hypervisor.storage.volume(self.uuid, self.spec.name) or facts

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        if self.fill is not None:
            await at.blocking(self.fill.discard)
        if not await self._mine(at):
            return
        if self.path:
            await refuse_used(at, self.path)
        with _threads_of(at, hypervisor, self.uuid):
            if await self._outlived_its_pool(at, hypervisor):
                await self._remove_alone(at)
            else:
                await remove(hypervisor, self.uuid, self.spec.name, wipe=self.wipe)
        await at.blocking(notes.forget, self.note)

    async def _remove_alone(self, at: Site) -> None:
        """Remove the file of a pool that is gone, and its folder if that is one of ours and empty now.

        Raises:
            Refused: It is a device, which only its pool can give up.
        """
        if self.kind != "file":
            raise Refused(f"{self.path} stays: its pool {self.pool} is gone, which could remove it")
        path = Path(self.path)
        if self.wipe:
            await at.blocking(overwrite, path)
        await at.blocking(path.unlink)
        if path.parent.parent == Path(self.note).parent.parent:
            with contextlib.suppress(OSError):  # others are there
                await at.blocking(path.parent.rmdir)


async def remove(hypervisor: Hypervisor, uuid: str, name: str, *, wipe: bool) -> None:
    """Remove a volume of a pool, overwriting it first if wished and possible."""
    storage = hypervisor.storage
    wipe = wipe and Capability.VOLUME_CONTENT in hypervisor.caps
    if wipe and await storage.volume(uuid, name) is not None:
        await storage.wipe(uuid, name)
    await storage.remove(uuid, name)


class GivenUpPoolVolume(_AtStorage, frozen=True):
    """A volume of a pool that was found and is to be removed: undoing this effect removes it."""

    name: str
    wipe: bool = False

    @override
    def label(self) -> str:
        return f"volume {self.pool}/{self.name}"

    @override
    async def _judge(self, there: Hypervisor, note: notes.Note | None, at: Site) -> Presence:
        if note is not None and not note.owner.same_place(at.owner):
            return Presence.FOREIGN
        found = await there.storage.volume(self.uuid, self.name)
        return Presence.ABSENT if found is None else Presence.OURS

    @override
    async def make(self, at: Site) -> Self:
        return self

    @override
    async def undo(self, at: Site) -> None:
        note = await at.blocking(notes.read, self.note)
        if note is not None and not note.owner.same_place(at.owner):
            raise Refused(f"{self.label()} belongs to {note.owner.path}: it stays")
        hypervisor = await self._hypervisor(at)
        found = await hypervisor.storage.volume(self.uuid, self.name)
        if found is not None:
            await refuse_used(at, found.path)
        with _threads_of(at, hypervisor, self.uuid):
            await remove(hypervisor, self.uuid, self.name, wipe=self.wipe)
        await at.blocking(notes.forget, self.note)
