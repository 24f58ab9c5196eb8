"""`StoragePool`: a libvirt storage pool as a component."""

from __future__ import annotations

import contextlib
import re
from typing import ClassVar

from msgspec import Struct
from typing_extensions import override

from components.hypervisor import names
from components.hypervisor.choice import uri_for, uri_kind
from components.hypervisor.errors import HypervisorError
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import Hypervisor
from components.hypervisor.storage_protocol import PoolFacts
from components.hypervisor.xmltree import BadSpecError
from components.networks.claims import Claims
from components.reporting import Reporting
from components.storage import notes
from components.storage.keeping import AS_BEFORE, keep_kind
from components.storage.pool_effects import ActivePool, DefinedPool
from components.storage.pool_xml import NEEDS, TYPES, Access, PoolSpec, pool_xml
from components.surroundings.workplace import Workplace
from engine.core.faults import BadDescription, Refused
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, exposed, output
from engine.runtime.effects import Effect, NameTaken
from engine.runtime.handles import Link
from engine.runtime.kinds import BadValueError, Kind, bool_, int_, shown, str_, strings
from sfdl.values import Value

LOOK_EVERY_S = 2.0
"""Seconds between two looks whether the pool is active."""
_MODE = re.compile(r"0?[0-7]{3}")


def _mode(value: Value) -> str:
    if isinstance(value, str) and (not value or _MODE.fullmatch(value)):
        return value.rjust(4, "0") if value else ""
    raise BadValueError(f'must be an octal mode such as "0711" (got {shown(value)})')


mode_kind = Kind("octal mode", "String", _mode)


class Place(Struct, frozen=True):
    """Where volumes can be made, as a pool tells who asks.

    Attributes:
        uri: Hypervisor.
        uuid: Of the pool.
        name: Of the pool.
        type: Of the pool.
        access: Who may use its volumes, where it says so.
    """

    uri: str
    uuid: str
    name: str
    type: str
    access: Access = Access()


def note_path(prim: Prim, pool_uuid: str, name: str = "pool") -> str:
    """Return the file that says whose a pool, or a volume of it, is."""
    kind = "volume-" if name != "pool" else ""
    return str(prim.live.process.work_folder / "pools" / pool_uuid / f"{kind}{name}.owner.json")


def files_are_here(uri: str) -> bool:
    """Say whether the files of a hypervisor are those we see.

    Example:
        >>> files_are_here("qemu+unix:///system?socket=/run/x"), files_are_here("qemu+ssh://b/system")
        (True, False)
    """
    scheme, _, rest = uri.partition("://")
    return rest.startswith("/") and not scheme.startswith("test")


class StoragePool(Workplace, Reporting, type="storage.pool"):
    """A storage pool of the hypervisor that volumes can be made in.

    It is defined, built and started with the component, and removed at its end; volumes that others
    made in it stay. All that changes one pool is done one after the other.
    """

    pool_name = attr(
        names.name_kind, "", doc="Name at the hypervisor; from the component's path if empty.",
        called="poolName",
    )  # fmt: skip
    hypervisor_uri = attr(
        uri_kind, "", doc="Hypervisor; found on the host if empty.", called="hypervisorUri"
    )
    pool_type = attr(str_, "dir", choices=TYPES, doc="What it stands on.", called="poolType")
    target = attr(
        str_,
        "",
        doc="Folder of its volumes on the hypervisor's host; a dir has one below workDir if empty.",
    )
    source_host = attr(str_, "", doc="Where the source is.", called="sourceHost")
    source_path = attr(str_, "", doc="Folder there, as an NFS export.", called="sourcePath")
    source_devices = attr(strings, (), doc="Devices of the source.", called="sourceDevices")
    source_name = attr(str_, "", doc="Name of the source, as a volume group.", called="sourceName")
    source_format = attr(str_, "", doc="Such as nfs, ext4, lvm2, gpt.", called="sourceFormat")
    autostart = attr(bool_, True, doc="Let the hypervisor start it with the host.")
    build = attr(
        bool_, True,
        doc="Make its folder; a volume group or partition table only where there is none.",
    )  # fmt: skip
    create = attr(bool_, True, doc="Start it; else it is defined only.")
    keep_pool = attr(
        keep_kind, AS_BEFORE, doc="Whether it stays at the end; statuquo removes what was made here.",
        called="keepPool",
    )  # fmt: skip
    mode = attr(
        mode_kind, "", doc='Mode of its folder, as "0711"; as the hypervisor does if empty.'
    )
    owner = attr(
        int_, None, ge=0, doc="Number of the user it belongs to; that guests run as if not given."
    )
    group = attr(int_, None, ge=0, doc="Number of the group; that guests run as if not given.")
    uuid = output(str, doc="UUID at the hypervisor, the same at each deployment.")
    folderPath = output(str, doc="Folder or device folder of its volumes.")
    active = output(bool, doc="Whether volumes can be made in it, when it was last looked at.")
    capacityBytes = output(int, doc="Its size in bytes, when it was last looked at.")
    availableBytes = output(int, doc="What is free of it, in bytes.")

    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfStartTimeout": 3600, "sfTerminateTimeout": 300,
    }  # fmt: skip

    def __init__(self) -> None:
        """Be nowhere yet."""
        self._name = ""
        self._uri = ""
        self._trouble = ""
        self._access = Access()

    async def _hypervisor(self) -> Hypervisor:
        return await self.service(HypervisorPool).get(self._uri)

    # -- deploy: check and reserve

    async def _identify(self) -> None:
        if self._name:
            return
        self._uri = await uri_for(self, self.hypervisor_uri)
        process, application = self.live.process, self.live.segment.application
        self.uuid = names.uuid_of(process.community, application, self.path, "pool")
        self._name = self.pool_name or names.name_from_path(self.path)

    @override
    async def on_deploy(self) -> None:
        await self.take_workplace()
        await self._identify()
        self._check_attributes()
        self.service(Claims).take(self, "poolName", self._uri, self._name)
        await self._check_free(await self._hypervisor())

    def _check_attributes(self) -> None:
        given = {
            "target": self.target or (self.pool_type == "dir"), "sourceHost": self.source_host,
            "sourcePath": self.source_path, "sourceDevices": self.source_devices,
            "sourceName": self.source_name,
        }  # fmt: skip
        missing = [name for name in NEEDS[self.pool_type] if not given[name]]
        if missing:
            raise BadDescription(
                f"poolType {self.pool_type} needs {' and '.join(missing)}", code="SF-STORE-019",
                where=self.path,
            )  # fmt: skip
        if self.target and not self.target.startswith("/"):
            raise BadDescription(
                f'target must be an absolute path (got "{self.target}")', code="SF-STORE-019",
                where=self.path,
            )  # fmt: skip

    async def _check_free(self, hypervisor: Hypervisor) -> None:
        facts = await hypervisor.storage.pool_by_name(self._name)
        if facts is None or facts.uuid == self.uuid:
            return
        note = await self.run_blocking(notes.read, note_path(self, facts.uuid))
        whose = note.owner.path if note is not None else "not made by smartdomains"
        state = "active" if facts.active else "inactive"
        raise NameTaken(
            f"NameTaken: a storage pool called {self._name} exists already ({whose}, UUID "
            f"{facts.uuid}, {state})",
            code="SF-NAME-001", where=self.path,
            hint="choose another poolName, or refer to that one by its name; it was not touched",
        )  # fmt: skip

    # -- start: make

    def _folder(self) -> str:
        return self.target or str(self.work_folder / "pools" / self._name)

    async def _find_access(self, hypervisor: Hypervisor) -> Access:
        user = await hypervisor.storage.user() if files_are_here(self._uri) else None
        owner, group = user or (None, None)
        return Access(
            mode=self.mode, owner=owner if self.owner is None else self.owner,
            group=group if self.group is None else self.group,
        )  # fmt: skip

    @override
    async def on_start(self) -> None:
        hypervisor = await self._hypervisor()
        self._access = await self._find_access(hypervisor)
        folder = self._folder() if self.pool_type == "dir" else self.target
        spec = PoolSpec(
            name=self._name, uuid=self.uuid, type=self.pool_type, target=folder,
            host=self.source_host, path=self.source_path, devices=self.source_devices,
            source_name=self.source_name or (self._name if self.pool_type == "logical" else ""),
            source_format=self.source_format, access=self._access,
        )  # fmt: skip
        keep = "always" if self.keep_pool is True else "never"
        made = (
            folder if self.build and self.pool_type == "dir" and files_are_here(self._uri) else ""
        )
        try:
            xml = pool_xml(spec)
        except BadSpecError as error:
            raise BadDescription(str(error), code="SF-STORE-019", where=self.path) from error
        note = note_path(self, self.uuid)
        await self.make(DefinedPool(self._uri, self.uuid, self._name, note, xml, made), keep=keep)
        if self.create:
            active = ActivePool(
                self._uri, self.uuid, self._name, note, build=self.build, autostart=self.autostart
            )
            await self.make(active, keep=keep)
        await self._look()
        if self.create:
            self.spawn(self._watch())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self.take_workplace_again()
        await self._identify()
        self.service(Claims).take(self, "poolName", self._uri, self._name)
        self._access = await self._find_access(await self._hypervisor())
        await self._look()
        if self.create:
            self.spawn(self._watch())

    @exposed()
    async def place(self) -> Place:
        """Return where volumes can be made; known before the pool is started."""
        await self._identify()
        access = Access(owner=self._access.owner, group=self._access.group)
        return Place(self._uri, self.uuid, self._name, self.pool_type, access)

    @exposed()
    async def refresh(self) -> None:
        """Look what is in it, after somebody else has changed its folder or devices."""
        await (await self._hypervisor()).storage.refresh(self.uuid)
        await self._look()

    # -- while it is there

    async def _watch(self) -> None:
        while True:
            await self.sleep(LOOK_EVERY_S)
            with contextlib.suppress(HypervisorError):  # what cannot be told is not held against it
                await self._look()

    async def _look(self) -> None:
        facts = await (await self._hypervisor()).storage.pool(self.uuid)
        if facts is None:
            self._trouble = f"storage pool {self._name} is not there any more"
        elif self.create and not facts.active:
            self._trouble = f"storage pool {self._name} is not active"
        else:
            self._trouble = ""
            self._publish(facts)
        self.active = facts is not None and facts.active

    def _publish(self, facts: PoolFacts) -> None:
        self.folderPath = facts.target
        self.capacityBytes = facts.capacity_bytes
        self.availableBytes = facts.available_bytes

    @override
    async def check(self) -> None:
        if self._trouble:
            raise Unwell(self._trouble)


async def place_of(prim: Prim, pool: Link[StoragePool], uri: str) -> Place:
    """Find the pool something lies in: a component, or one called so at a hypervisor.

    Args:
        prim: What lies in it.
        pool: Its link to the pool.
        uri: Hypervisor of a pool that is named; found on the host if empty.

    Raises:
        Refused: There is none of that name, or it is not active; the text lists those there are.
    """
    if pool.text:
        return await _pool_at(prim, pool.text, await uri_for(prim, uri))
    return await pool.api.place()


async def _pool_at(prim: Prim, given: str, uri: str) -> Place:
    """Find a pool that a description names as it is called at the hypervisor.

    Raises:
        Refused: There is none, or it is not active; the text lists those there are.
    """
    hypervisor = await prim.service(HypervisorPool).get(uri)
    facts = await hypervisor.storage.pool_by_name(given)
    if facts is None:
        there = sorted(one.name for one in await hypervisor.storage.pools())
        raise Refused(
            f"there is no storage pool {given} at {uri}; pools there: {', '.join(there) or 'none'}",
            code="SF-STORE-020", where=prim.path, hint="declare a StoragePool, or name one of those",
        )  # fmt: skip
    if not facts.active:
        raise Refused(
            f"storage pool {given} is not active", code="SF-STORE-020", where=prim.path,
            hint=f"start it: virsh -c {uri} pool-start {given}",
        )  # fmt: skip
    user = await hypervisor.storage.user() if files_are_here(uri) else None
    access = Access() if user is None else Access(owner=user[0], group=user[1])
    return Place(uri, facts.uuid, facts.name, facts.type, access)
