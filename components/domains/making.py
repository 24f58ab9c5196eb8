"""What a domain makes on its host, and what that is made from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from components.context import Outline, Told
from components.context.told import hostname_from
from components.domains import telling, uplink
from components.domains.effects import ConsoleLog, DefinedDomain, RunningDomain
from components.domains.profile import Machine
from components.domains.xml import BadSpecError, domain_xml
from components.hosts.reservations import Reservations
from components.hypervisor.choice import scheme_of
from components.hypervisor.owner import owner_record
from components.networks.joined import Joined
from components.storage.backend import DiskOffer
from components.storage.declared import ON_THE_DOMAIN
from engine.core.faults import BadDescription, EngineError
from engine.runtime.handles import Link
from engine.wire.codec import flatten
from engine.wire.messages import Handle
from sfdl.values import Description, Reference, Value

if TYPE_CHECKING:
    from components.domains.domain import Domain

DEFAULT_NETWORK = "default"
"""Network of a machine that has an address but names no network."""
AT_ONCE = 32
"""Machines of one process that are being defined at a time: with more, nobody else has a turn."""


class _Turns:
    """Turns at defining a machine, of one process."""

    def __init__(self) -> None:
        """Let so many at it as do not keep the process from answering."""
        self.gate = asyncio.Semaphore(AT_ONCE)


class Making:
    """Reserves and makes the parts of one domain.

    Attributes:
        outline: What its context says that counts before anything is made.
        uplink: The network or bridge it is on, if any.
    """

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self.outline = Outline()
        self.uplink: uplink.Uplink | None = None

    # -- what it is made from

    async def bind_storage(self) -> None:
        """Tell the storage whose disks it has, and what the domain says of them."""
        domain = self._domain
        if not domain.storage_backend.given:
            return
        pairs = [(name, await self._said(name)) for name in ON_THE_DOMAIN]
        said = Description(tuple((name, value) for name, value in pairs if value is not None))
        shell = await domain.shell.handle() if domain.shell.given else None
        await domain.storage_backend.api.bind(domain.handle, domain.called, flatten(said), shell)

    async def _said(self, name: str) -> Value:
        """Return what the domain says about storage; what it refers to as a value, but the image."""
        value = self._domain.live.value(name)
        if name == "baseImage" or not isinstance(value, Reference):
            return value
        live = self._domain.live
        found = await live.process.resolver.resolve(live, value)
        if isinstance(found, Handle):
            raise BadDescription(
                f"{name} leads to a component, not to a value", code="SF-ATTR-003", where=live.path
            )
        return found

    # -- its address

    async def take_address(self) -> None:
        """Have the pool say which address the machine has, if it is to come from one.

        Raises:
            Refused: There is none left, or the one that is given cannot be had.
        """
        domain = self._domain
        if domain.ip_pool.given:
            allotted = await domain.ip_pool.api.allocate(domain.handle, domain.ip)
            bound = domain.live.bound
            bound["ip"], bound["netmask"] = allotted.ip, allotted.netmask
            bound["gateway"] = domain.gateway or allotted.gateway

    async def take_address_again(self) -> None:
        """Have it said again after a restart; a pool that does not answer is no reason to end."""
        try:
            await self.take_address()
        except EngineError as error:
            self._domain.note(f"the pool of its address does not answer: {error}", "warning")

    async def give_address_back(self) -> None:
        """Tell the pool that the address is free; if it cannot be told, it finds out by itself."""
        domain = self._domain
        if domain.ip_pool.given:
            try:
                await domain.ip_pool.api.release(domain.handle)
            except EngineError as error:
                domain.log.debug("the address could not be given back: %s", error)

    async def read_context(self) -> None:
        """Learn what the context says that counts before anything is made."""
        self.outline = await telling.outline_of(self._domain.context)

    async def join(self) -> None:
        """Find which network or bridge the machine will be on, if any."""
        self.uplink = await self._find_uplink()

    async def reserve_address(self) -> None:
        """Claim its addresses, on a network that is there and where nobody else has them.

        Raises:
            Refused: The text says what is missing, or who has one.
        """
        domain = self._domain
        if self.uplink is None:
            return
        hypervisor = await domain.hypervisor()
        await uplink.check_source(self.uplink, domain, hypervisor)
        self.claim_address()
        await uplink.check_mac(self.uplink, domain.uuid, domain, hypervisor)

    def claim_address(self) -> None:
        """Reserve its addresses among the components of this host."""
        if self.uplink is not None:
            uplink.claim(self.uplink, self._domain, self._domain.uri)

    async def _find_uplink(self) -> uplink.Uplink | None:
        domain = self._domain
        mac = uplink.mac_for(domain.mac, domain.ip, domain.uuid, self.outline.mac_prefix)
        given_by: dict[uplink.Kind, Link[Joined]] = {
            "network": domain.network, "bridge": domain.bridge,
        }  # fmt: skip
        for kind, given in given_by.items():
            if given.given:
                target = await domain.get(kind)
                made = isinstance(target, Handle)
                source = await given.api.attach(domain.handle, kind) if made else target
                if not isinstance(source, str):
                    raise BadDescription(
                        f"{kind} must be a component or a name",
                        code="SF-DOM-002", where=domain.path,
                    )  # fmt: skip
                return uplink.Uplink(kind, source, made, mac, domain.ip)
        above = await domain.above("defaultNetwork")
        usual = DEFAULT_NETWORK if domain.ip or domain.mac else ""
        source = above if isinstance(above, str) and above else usual
        return uplink.Uplink("network", source, False, mac, domain.ip) if source else None

    # -- making

    async def define(self) -> None:
        """Have the guest told what it is to know, and define the machine, when it is its turn."""
        async with self._domain.service(_Turns).gate:
            await self._define()

    async def _define(self) -> None:
        domain = self._domain
        console = self._console_path()
        await domain.make(ConsoleLog(console))
        domain.consolePath = console
        given = domain.storage_backend.given
        disks = await domain.storage_backend.api.disks() if given else []
        told = await self._tell(disks)
        await self._keep_address()
        xml = self._xml(console, (*disks, *told.disks), told.words)
        await domain.make(DefinedDomain(domain.uri, domain.uuid, domain.called, xml))

    async def start(self) -> None:
        """Start the machine."""
        domain = self._domain
        async with domain.service(Reservations).creating(domain):
            await domain.make(RunningDomain(domain.uri, domain.uuid, domain.called))

    async def _keep_address(self) -> None:
        domain = self._domain
        if self.uplink is None:
            return
        hostname = domain.hostname or domain.called
        hypervisor = await domain.hypervisor()
        kept = await uplink.kept_address(self.uplink, hostname, domain, hypervisor)
        if kept is not None:
            await domain.make(kept)

    async def _tell(self, disks: list[DiskOffer]) -> telling.Telling:
        """Have the guest learn its name and address, now that its disks are there."""
        domain = self._domain
        told = Told(
            uuid=domain.uuid,
            hostname=domain.hostname or hostname_from(domain.called),
            mac=self.uplink.mac if self.uplink is not None else "",
            ip=domain.ip,
            netmask=domain.netmask,
            gateway=domain.gateway,
            on_link=domain.gateway_on_link,
            ready_marker=domain.ready_marker,
            wishes=await telling.wishes_of(domain.context),
        )
        root = next((disk for disk in disks if disk.role == "root"), None)
        path = domain.work_folder / "context" / f"{self._file_name()}.iso"
        done = await telling.tell(
            domain, told, self.outline.mode, root, domain.storage_backend, path
        )
        domain.contextMode = done.mode
        return done

    def _file_name(self) -> str:
        return f"{self._domain.called}-{self._domain.uuid[:8]}"

    def _console_path(self) -> str:
        domain = self._domain
        theirs = domain.make_profile().console_log(domain.called)
        if theirs and scheme_of(domain.uri) != "test" and Path(theirs).parent.is_dir():
            return theirs
        return str(domain.work_folder / "console" / f"{self._file_name()}.log")

    def _xml(self, console: str, disks: tuple[DiskOffer, ...], words: str) -> str:
        domain = self._domain
        extra = " ".join(part for part in (domain.extra, words) if part)
        machine = Machine(
            name=domain.called,
            uuid=domain.uuid,
            title=domain.path,
            owner=owner_record(domain.live.owner, domain.live.process.daemon_id),
            memory_bytes=domain.memory,
            vcpus=domain.vcpus,
            kernel=domain.kernel,
            ramdisk=domain.ramdisk,
            extra=extra,
            disks=disks,
            interfaces=() if self.uplink is None else (self.uplink.interface,),
            console_log=console,
        )
        try:
            return domain_xml(domain.make_profile().spec(machine))
        except BadSpecError as error:
            raise BadDescription(str(error), code="SF-DOM-005", where=domain.path) from error
