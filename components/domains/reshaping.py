"""The actions that change what a machine has: sizes, disks and interfaces; described so from then on."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from components.domains import attaching
from components.domains.acting import Acting
from components.domains.further import FurtherDisk, FurtherInterface, disks_kind, interfaces_kind
from components.domains.plugging import disk_at, path_at
from components.hosts.admission import Demand
from components.hosts.reservations import Reservations
from components.hypervisor.protocol import DomainState, Hypervisor
from components.storage.declared import ON_THE_DOMAIN
from components.storage.freezing import PAUSED, Frozen
from components.storage.growing import LATER, LIVE, OFF, WAYS
from engine.core.faults import BadDescription, EngineError, Refused
from engine.runtime.attributes import exposed
from engine.runtime.kinds import BadValueError, size_bytes
from engine.wire.codec import unflatten
from engine.wire.messages import Change, Handle, as_tree
from sfdl.values import Kept, Reference, Value, Vector

if TYPE_CHECKING:
    from components.domains.updating import Updates

NOTHING = "nothing to do"
"""How an action takes effect that has been done already."""


class Reshaping(Acting):
    """A machine whose sizes and devices are changed by actions.

    Attributes:
        updates: Takes changes of its description.
    """

    updates: Updates

    @abstractmethod
    async def hypervisor(self) -> Hypervisor:
        """Return the hypervisor it is at."""

    @abstractmethod
    def pending(self) -> list[str]:
        """Return attributes that wait for a power cycle."""

    # -- memory and processors

    @exposed(role="operator")
    async def resize_memory(self, size: int | str, *, wait: float = 0.0) -> None:
        """Give it another size of memory, as `memory` is written, up to `maxMemory`."""

        async def work(hypervisor: Hypervisor) -> None:
            wanted, before = self._size("memory", size), self.memory
            self._within("maxMemory", wanted, self.max_memory or before, "bytes")
            least = self._least_memory()
            if wanted < least:
                raise Refused(
                    f"{wanted} bytes are less than its minMemory, {least}", code="SF-DOM-017",
                    where=self.path, hint="say another minMemory with sfupdate",
                )  # fmt: skip
            await self._admit(hypervisor, Demand(wanted, self.vcpus))
            try:
                if await self.acts.state(hypervisor) is not None:
                    await hypervisor.machines.memory(self.uuid, wanted)
                await self._described("memory", size)
            except BaseException:
                self._hold(Demand(before, self.vcpus))
                raise

        await self.acts.run("resizeMemory", "gets another size of memory", work, wait_s=wait)

    @exposed(role="operator")
    async def resize_vcpus(self, count: int, *, wait: float = 0.0) -> None:
        """Give it another number of processors, up to `maxVcpus`."""

        async def work(hypervisor: Hypervisor) -> None:
            wanted, before = self._size("vcpus", count), self.vcpus
            self._within("maxVcpus", wanted, self.max_vcpus or before, "processors")
            await self._admit(hypervisor, Demand(self.memory, wanted))
            try:
                if await self.acts.state(hypervisor) is not None:
                    await hypervisor.machines.vcpus(self.uuid, wanted)
                await self._described("vcpus", count)
            except BaseException:
                self._hold(Demand(self.memory, before))
                raise

        await self.acts.run("resizeVcpus", "gets another number of processors", work, wait_s=wait)

    def _size(self, name: str, value: Value) -> int:
        try:
            return int(str(type(self).declarations.attrs[name].read(value)))
        except BadValueError as error:
            raise BadDescription(
                f"{name}: {error}", code="SF-ATTR-001", where=self.path
            ) from error  # fmt: skip

    def _least_memory(self) -> int:
        """Return the least it may be given: half of what it boots with, where that is not said."""
        if self.min_memory is not None:
            return self.min_memory
        described = self.live.description.get("memory")
        literal = not isinstance(described, Reference | Kept)
        return (self._size("memory", described) if literal else self.memory) // 2

    def _within(self, name: str, wanted: int, most: int, unit: str) -> None:
        if wanted > most:
            raise Refused(
                f"{wanted} {unit} are more than its {name}, {most}", code="SF-DOM-017",
                where=self.path, hint=f"raise {name} with sfupdate; it counts from the next start on",
            )  # fmt: skip

    async def _admit(self, hypervisor: Hypervisor, demand: Demand) -> None:
        await self.service(Reservations).admit(self, hypervisor, demand)

    def _hold(self, demand: Demand) -> None:
        self.service(Reservations).hold(self, self.uri, demand)

    async def _described(self, name: str, value: Value) -> None:
        """Have an attribute be so from now on, and the definition with it."""
        await self._says(name, value)
        await self.making.rewrite()

    async def _says(self, name: str, value: Value) -> None:
        gone = value is None
        change = Change(name, "remove") if gone else Change(name, "replace", as_tree(value))
        await self.live.process.changer.change(self.live, (change,))

    # -- disks that become larger

    @exposed(role="operator")
    async def resize_disk(self, disk: str, size: int | str, *, wait: float = 0.0) -> str:
        """Make a disk larger: a volume of its storage, or a `Volume` among its `disks`.

        Args:
            disk: Its name in the guest, or `root`, or the name of a data volume; or its file.
            size: Its size to be, as `volumeSize` is written; never less than it has.
            wait: Most seconds to wait for its turn.

        Returns:
            How its guest hears of it: `live`, `at once` (it is off) or `next power cycle`.
        """

        async def work(_hypervisor: Hypervisor) -> str:
            place = path_at(disk, self.making.xml) or disk
            for found, described in zip(self.making.extras.disks, self.disks or (), strict=False):
                if place in {found.path, found.target}:
                    return await self._resize_further(found.path, described, size)
            return await self._resize_volume(Path(place).name, size)

        return await self.acts.run("resizeDisk", "makes a disk larger", work, wait_s=wait)

    # -- volumes that are frozen

    @exposed(role="operator")
    async def freeze(self, generation: int, *, wait: float = 0.0) -> list[Frozen]:
        """Have what is on its volumes stay as it is, and go on above that; its guest writes nothing.

        Args:
            generation: A number from 0; part of the names of what comes into being.
            wait: Most seconds to wait for its turn.

        Returns:
            For each volume that was frozen its name, its content as it was, and what is written to now.
        """

        async def work(_hypervisor: Hypervisor) -> list[Frozen]:
            if not self.storage_backend.given:
                raise Refused("it has no volumes", code="SF-DOM-024", where=self.path)
            backend = self.storage_backend.api
            had = {disk.path for disk in await backend.disks()}
            frozen = await backend.freeze(generation)
            made = [path for one in frozen for path in (one.content, one.top) if path not in had]
            try:
                await self.making.rewrite()
            except BaseException:
                with contextlib.suppress(EngineError):
                    await backend.thaw(made)
                raise
            return frozen

        return await self.acts.run("freeze", "has its volumes frozen", work, wait_s=wait)

    @exposed()
    async def stillness(self) -> str:
        """Say how its guest writes nothing while its volumes are frozen, or that it does.

        Raises:
            Refused: It is not this machine that has them frozen.
        """
        if self.acts.doing != "freeze":
            raise Refused(
                f"its volumes are those of {self.path}", code="SF-DOM-024", where=self.path,
                hint=f"have that frozen: sfcall HOST {self.path} freeze",
            )  # fmt: skip
        hypervisor = await self.hypervisor()
        state = await self.acts.state(hypervisor)
        if state is None:
            saved = await hypervisor.machines.is_saved(self.uuid)
            return "saved" if saved else OFF
        return PAUSED if state is DomainState.PAUSED else "running"

    async def _resize_volume(self, volume: str, size: int | str) -> str:
        if not self.storage_backend.given:
            raise Refused(
                f"it has no disk {volume} that could grow", code="SF-DOM-024", where=self.path
            )
        backend = self.storage_backend.api
        said = await backend.sized(volume, size)
        ((name, value),) = unflatten(said).attributes
        how = WAYS[await self.updates.hears_of_growth()]
        if self.live.value(name) is None:  # the backend's word counts
            await backend.take_size(said)
            return how
        before = {each: self.live.value(each) for each in ON_THE_DOMAIN}
        try:
            await backend.say(await self.making.said(before | {name: value}), False)
            await self._says(name, value)
        except BaseException:
            with contextlib.suppress(EngineError):
                await backend.say(await self.making.said(before), False)
            raise
        return how

    async def _resize_further(
        self, path: str, described: FurtherDisk, size: int | str
    ) -> str:  # fmt: skip
        """Have the component grow that a further disk is referred to by, then the guest see it."""
        reference = described.path
        volume = None
        if isinstance(reference, Reference):
            upto = Reference(reference.parts[:-1], lazy=True)
            volume = await self.live.process.resolver.resolve(self.live, upto)
        if not isinstance(volume, Handle):
            raise Refused(
                f"{path} was there before its machine, and stays as it is", code="SF-DOM-024",
                where=self.path, hint="describe a Volume, and name its volumePath in disks",
            )  # fmt: skip
        how = await self.updates.hears_of_growth()
        if described.format == "qcow2" and how != OFF:
            raise Refused(
                f"{path} is a qcow2 file that a guest has open", code="SF-STORE-018",
                where=self.path, hint="stop the guest first",
            )  # fmt: skip
        await self.live.process.calls.set(volume, "capacity", size)
        if how == LATER:
            await self.updates.see_later(["disks"])
        elif how == LIVE:
            await self.updates.grow_disk(path, size_bytes.read(size))
        return WAYS[how]

    # -- devices that come and go

    @exposed(role="operator")
    async def attach(
        self, kind: str, source: str, options: str = "", *, wait: float = 0.0
    ) -> dict[str, str]:
        """Give it a further disk or interface, as an update of `disks` or `interfaces` would.

        Args:
            kind: `disk`, `network` or `bridge`.
            source: Path of the disk, or name of the network or bridge; or a LAZY reference to what
                says which.
            options: Further attributes of it, such as `format=qcow2 readOnly=true`.
            wait: Most seconds to wait for its turn.

        Returns:
            `device`, its name in the guest or MAC address, and `effect`: `live`, `at once` (the guest is
            off), `next power cycle` or `nothing to do`.
        """
        try:
            name = attaching.KINDS[kind]
            place = self._reference(source) if source.startswith("LAZY ") else source
            item = attaching.row(kind, place, options)
            (wanted,) = (disks_kind if kind == "disk" else interfaces_kind).read(Vector((item,)))
        except KeyError:
            raise BadDescription(
                f"kind must be disk, network or bridge (got {kind})", code="SF-ATTR-001",
                where=self.path,
            ) from None  # fmt: skip
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", where=self.path) from error

        async def work(_hypervisor: Hypervisor) -> dict[str, str]:
            rows = self._rows(name)
            had = self._device_of(wanted)
            if had:
                return {"device": had, "effect": NOTHING}
            effect = await self._take_devices(name, Vector((*rows, item)))
            extras = self.making.extras
            if name == "interfaces":
                return {"device": extras.uplinks[-1].mac, "effect": effect}
            path = extras.disks[-1].path
            return {"device": disk_at(path, self.making.xml), "effect": effect}

        text = f"gets a further {kind if kind == 'disk' else 'interface'}"
        return await self.acts.run("attach", text, work, wait_s=wait)

    def _reference(self, text: str) -> Reference:
        from sfdl import parse_reference  # noqa: PLC0415 - the parser is slow to import

        return parse_reference(text)

    def _device_of(self, wanted: object) -> str:
        """Return what a device is called that it has already, where that can be told; else nothing."""
        extras = self.making.extras
        if isinstance(wanted, FurtherDisk):
            pairs = zip(self.disks or (), extras.disks, strict=False)
            names = (disk_at(there.path, self.making.xml) for one, there in pairs if one == wanted)
            return next(names, "")
        if (
            isinstance(wanted, FurtherInterface)
            and wanted.mac
            and wanted in (self.interfaces or ())
        ):
            return wanted.mac
        return ""

    @exposed(role="operator")
    async def detach(self, device: str, *, wait: float = 0.0) -> dict[str, str]:
        """Take a further disk or interface away, as an update of `disks` or `interfaces` would.

        Args:
            device: A disk's name in the guest or its file, or the MAC address of an interface.
            wait: Most seconds to wait for its turn.

        Returns:
            `device`, and `effect`: `live`, `at once` (the guest is off), `next power cycle` or `nothing
            to do`: it has none such.
        """

        async def work(_hypervisor: Hypervisor) -> dict[str, str]:
            extras, xml = self.making.extras, self.making.xml
            for index, disk in enumerate(extras.disks):
                if device in {disk.path, disk_at(disk.path, xml)}:
                    rows = self._rows("disks")
                    now = Vector((*rows[:index], *rows[index + 1 :]))
                    return {"device": device, "effect": await self._take_devices("disks", now)}
            macs = [uplink.mac for uplink in extras.uplinks]
            mac = device.lower().replace("-", ":")
            if mac in macs:
                rows = self._rows("interfaces")
                left = attaching.without(rows, self.interfaces or (), macs, macs.index(mac))
                return {"device": mac, "effect": await self._take_devices("interfaces", left)}
            first = self.making.uplink
            own = disk_at(device, xml) or (path_at(device, xml) and device)
            if own or (first is not None and first.mac == mac):
                raise Refused(
                    f"{device} is a volume of its own, or its first interface: it stays",
                    code="SF-DOM-024", where=self.path,
                    hint="only what stands in its disks and interfaces comes and goes",
                )  # fmt: skip
            return {"device": device, "effect": NOTHING}

        return await self.acts.run("detach", "gives up a further device", work, wait_s=wait)

    def _rows(self, name: str) -> tuple[Value, ...]:
        """Return the further disks or interfaces as they are described.

        Raises:
            Refused: They are described elsewhere.
        """
        said = self.live.value(name)
        if isinstance(said, Reference | Kept):
            raise Refused(
                f"its {name} are described elsewhere, by a reference", code="SF-DOM-024",
                where=self.path, hint="change them there, with sfupdate",
            )  # fmt: skip
        return said.items if isinstance(said, Vector) else ()

    async def _take_devices(self, name: str, now: Vector) -> str:
        """Have other further devices, all of it or as before; return how that takes effect."""
        try:
            disks = disks_kind.read(now) if name == "disks" else self.disks or ()
            nics = interfaces_kind.read(now) if name == "interfaces" else self.interfaces or ()
        except BadValueError as error:
            raise BadDescription(f"{name}: {error}", code="SF-ATTR-001", where=self.path) from error
        await self.making.extras.check(disks, nics)
        before = self.live.value(name)
        await self._says(name, now)
        try:
            await self.updates.plug((name,))
        except BaseException:
            with contextlib.suppress(EngineError):
                await self._says(name, before)
                await self.updates.plug((name,))
            raise
        if name in self.pending():
            return WAYS[LATER]
        return WAYS[LIVE if self.updates.runs else OFF]
