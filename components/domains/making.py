"""What a domain makes on its host, and what that is made from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from msgspec.structs import replace

from components.context import Outline, Told
from components.context.told import hostname_from
from components.domains import telling, uplink
from components.domains.allotment import Allotment
from components.domains.chosen_log import chosen
from components.domains.effects import (
    ConsoleLog,
    DefinedDomain,
    RunningDomain,
    TransientDomain,
)
from components.domains.ends import End
from components.domains.extras import Extras
from components.domains.naming import Naming
from components.domains.needs import host_arch
from components.domains.overriding import escapes, overridden
from components.domains.probing import Probes
from components.domains.profile import Machine
from components.domains.retelling import Retelling
from components.domains.shares import serves_virtiofs
from components.domains.xml import BadSpecError, InterfaceSpec, domain_xml
from components.hosts.reservations import Reservations
from components.hypervisor.choice import scheme_of
from components.hypervisor.owner import owner_record
from components.hypervisor.protocol import DomainFacts, DomainState
from components.networks.joined import Joined, Place
from components.storage.declared import ON_THE_DOMAIN
from components.storage.keeping import ALWAYS, AS_LONG_AS_MADE, AS_LONG_AS_RESUMED
from components.storage.offers import CONTEXT, DiskOffer
from engine.core.faults import BadDescription, Refused
from engine.runtime.effects import Effect
from engine.runtime.handles import Link
from engine.wire.codec import FlatTree, flatten
from engine.wire.messages import Handle
from sfdl.values import Description, Reference, Value, Vector

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


def earlier(facts: DomainFacts, *, saved: bool) -> End | None:
    """Return how a guest that is there already was set aside; nothing: it is off and boots anew."""
    if facts.active:
        return End.SUSPEND if facts.state is DomainState.PAUSED else End.LEAVE
    return End.SAVE if saved else None


class Making:
    """Reserves and makes the parts of one domain.

    Attributes:
        outline: What its context says that counts before anything is made.
        uplink: The network or bridge it is on, if any.
        xml: What the machine is, once it is prepared or taken up again.
        allotted: Its address, where that is from a pool.
        extras: Its further disks and interfaces.
        naming: Gives it its name.
        retelling: Keeps up what its guest is told.
        accelerated: Guests are known to come up accelerated on its host.
        was: How an earlier creation of the domain set its guest aside, which goes on from there.
    """

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self.outline = Outline()
        self.uplink: uplink.Uplink | None = None
        self.was: End | None = None
        self.xml = ""
        self.accelerated = False
        self.extras = Extras(domain)
        self.naming = Naming(domain)
        self.retelling = Retelling(domain)
        self.allotted = Allotment(domain)
        self._resumes = False

    # -- what it is made from

    async def bind_storage(self) -> None:
        """Tell the storage whose disks it has, and what the domain says of them."""
        domain = self._domain
        if not domain.storage_backend.given:
            return
        said = await self.said({name: domain.live.value(name) for name in ON_THE_DOMAIN})
        shell = await domain.shell.handle() if domain.shell.given else None
        await domain.storage_backend.api.bind(domain.handle, domain.called, said, shell)

    async def said(self, values: Mapping[str, Value]) -> FlatTree:
        """Return what a description of the domain says about storage, as its storage takes it.

        What it refers to is given as a value, but for the image.
        """
        pairs = [(name, await self._settled(name, values.get(name))) for name in ON_THE_DOMAIN]
        return flatten(Description(tuple((n, value) for n, value in pairs if value is not None)))

    async def _settled(self, name: str, value: Value) -> Value:
        if name == "baseImage" or not isinstance(value, Reference):
            return value
        live = self._domain.live
        found = await live.process.resolver.resolve(live, value)
        if isinstance(found, Handle):
            raise BadDescription(
                f"{name} leads to a component, not to a value", code="SF-ATTR-003", where=live.path
            )
        return found

    # -- where it is

    async def read_context(self) -> None:
        """Learn what the context says that counts before anything is made."""
        self.outline = await telling.outline_of(self._domain.context, self._domain.handle)

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
            await self.extras.reserve()
            return
        hypervisor = await domain.hypervisor()
        await uplink.check_source(self.uplink, domain, hypervisor)
        self.claim_address()
        await uplink.check_mac(self.uplink, domain.uuid, domain, hypervisor)
        await self.extras.reserve()

    def claim_address(self) -> None:
        """Reserve its addresses among the components of this host."""
        if self.uplink is not None:
            uplink.claim(self.uplink, self._domain, self._domain.uri)

    async def _find_uplink(self) -> uplink.Uplink | None:
        domain = self._domain
        mac = uplink.mac_for(
            domain.mac, domain.ip, domain.uuid, self.outline.mac_prefix,
            by_ip=domain.mac_mode == "ip", begins=domain.mac_begins,
        )  # fmt: skip
        given_by: dict[uplink.Kind, Link[Joined]] = {
            "network": domain.network, "bridge": domain.bridge,
        }  # fmt: skip
        for kind, given in given_by.items():
            if not given.given:
                continue
            target = await domain.get(kind)
            if isinstance(target, Handle):
                return self._on(await given.api.attach(domain.handle, kind), mac)
            if not isinstance(target, str):
                raise BadDescription(
                    f"{kind} must be a component or a name", code="SF-DOM-002", where=domain.path
                )
            return uplink.Uplink(kind, target, False, mac, domain.ip)
        above = await domain.above("defaultNetwork")
        usual = DEFAULT_NETWORK if domain.ip or domain.mac else ""
        source = above if isinstance(above, str) and above else usual
        return uplink.Uplink("network", source, False, mac, domain.ip) if source else None

    def _on(self, place: Place, mac: str) -> uplink.Uplink:
        """Return its interface on what a component of ours makes."""
        domain = self._domain
        if place.kind == "user" and domain.ip:
            raise BadDescription(
                f"ip: {place.name} is a user network, on which its emulator says what address it has",
                code="SF-DOM-002", where=domain.path, hint="leave ip and ipPool out",
            )  # fmt: skip
        return uplink.Uplink(place.kind, place.name, True, mac, domain.ip, forwards=place.forwards)

    async def look_for_earlier(self) -> None:
        """Find out whether an earlier creation of the domain left its guest to be gone on with.

        What could not be undone is none: that is tried again first.
        """
        domain = self._domain
        hypervisor = await domain.hypervisor()
        facts = await hypervisor.fact(domain.uuid)
        origin = domain.live.segment.origin.application
        if facts is None or domain.live.process.reaper.pending(origin, domain.live.place):
            return
        given = domain.storage_backend.given
        self._resumes = not given or await domain.storage_backend.api.resume(list(facts.disks))
        saved = await hypervisor.machines.is_saved(domain.uuid)
        if self._resumes:
            self.was = earlier(facts, saved=saved)
        elif facts.active or saved:
            raise Refused(
                f"domain {domain.called} of an earlier start is still there, and its volumes are not",
                code="SF-DOM-011", where=domain.path,
                hint=f"put them back, or end it: virsh -c {domain.uri} destroy {domain.called}",
            )  # fmt: skip

    # -- making

    async def make(self, effect: Effect) -> None:
        """Make a part of the machine, which stays at ends that leave its guest."""
        keep = AS_LONG_AS_RESUMED if self._resumes else AS_LONG_AS_MADE
        await self._domain.make(effect, keep=keep, resume=self._resumes)

    async def retain(self) -> None:
        """Leave all of the machine in place at the end, and what it stands on."""
        domain = self._domain
        for made in list(domain.live.effects):
            await domain.amend(made.effect, ALWAYS)
        if domain.storage_backend.given:
            await domain.storage_backend.api.retain()
        await self.allotted.keep()
        for kind, given in (("network", domain.network), ("bridge", domain.bridge)):
            if given.given and isinstance(await domain.get(kind), Handle):
                await given.api.retain()
        await self.extras.retain()

    async def find_accelerator(self) -> None:
        """Find out whether guests come up accelerated here, where that is to be found out."""
        domain = self._domain
        if not domain.make_profile().probes:
            return
        with domain.step("probe", "finds out whether guests come up accelerated here"):
            self.accelerated = await domain.service(Probes).accelerated(domain)
        if not self.accelerated:
            domain.degrade("kvm", "no guest comes up under it on this host, so it is emulated")

    async def define(self) -> None:
        """Have the guest told what it is to know, and define the machine, when it is its turn."""
        async with self._domain.service(_Turns).gate:
            await self._prepare()
            await self._define()

    async def _prepare(self) -> None:
        """Have the guest told what it is to know, and write down what the machine is."""
        domain = self._domain
        await self.allotted.note()
        await self.extras.settle(self.xml)
        log = chosen(domain) or ConsoleLog(self.console_path())
        await self.make(log)
        domain.consolePath = console = log.path
        given = domain.storage_backend.given
        disks = await domain.storage_backend.api.disks() if given else []
        done = await self.tell(await self.told(), self.outline.mode, disks)
        await self._keep_address()
        self.xml = self._xml(console, (*disks, *done.disks), done.words)

    async def rewrite(self) -> bool:
        """Write down anew what the machine is, now that its attributes have changed; say if it is."""
        domain = self._domain
        before = self.xml
        await self.write()
        for made in domain.live.effects:
            if isinstance(made.effect, DefinedDomain):
                defined = replace(made.effect, xml=self.xml, autostart=domain.autostart)
                await domain.live.process.keeper.renew(domain.live, made.effect, defined)
            elif isinstance(made.effect, TransientDomain):
                again = replace(made.effect, xml=self.xml)
                await domain.live.process.keeper.restate(domain.live, made.effect, again)
        return self.xml != before

    async def write(self) -> None:
        """Find out what the machine is as it is described now, without having it defined so."""
        domain = self._domain
        given = domain.storage_backend.given
        disks = await domain.storage_backend.api.disks() if given else []
        context = telling.disk_of(domain) if self.retelling.mode in telling.DISKS else None
        told = [DiskOffer(CONTEXT, context.path, "file", "raw")] if context is not None else []
        words = telling.words_of(self.outline.mode, await self.told())
        self.xml = self._xml(domain.consolePath, (*disks, *told), words)

    async def _define(self) -> None:
        """Define the machine, if it is to stay defined."""
        domain = self._domain
        if domain.persistent:
            place = domain.uri, domain.uuid, domain.called
            await self.make(DefinedDomain(*place, self.xml, domain.autostart))

    async def start(self, *, told: bool = False) -> None:
        """Start the machine, which is off.

        Args:
            told: What its guest is told has just been made.
        """
        domain = self._domain
        if not told:
            await self.renew()
        place = domain.uri, domain.uuid, domain.called
        async with domain.service(Reservations).creating(domain):
            if domain.persistent:
                await self.make(RunningDomain(*place, domain.start_mode == "created"))
            else:
                await self.make(TransientDomain(*place, xml=self.xml))

    async def renew(self) -> None:
        """Have the machine, whose guest is off, called as it is described now, and its guest told so."""
        await self.naming.renew()
        await self.retelling.renew()

    async def renew_extras(self) -> None:
        """Take the further disks and interfaces that are described now.

        Raises:
            Refused: One is not there, or another machine has it.
        """
        await self.naming.renew_addresses()
        await self.extras.renew(self.xml, self.hostname)

    @property
    def hostname(self) -> str:
        """Return its name for networks."""
        return self._domain.hostname or self._domain.called

    async def _keep_address(self) -> None:
        if self.uplink is not None:
            domain = self._domain
            hypervisor = await domain.hypervisor()
            kept = await uplink.kept_address(self.uplink, self.hostname, domain, hypervisor)
            if kept is not None:
                await self.make(kept)
        await self.extras.keep_addresses(self.hostname)

    async def tell(
        self, told: Told, mode: str, disks: list[DiskOffer] | None = None
    ) -> telling.Telling:
        """Have the guest learn its name and address, now that its disks are there.

        Args:
            told: What it is told.
            mode: How, or `auto`.
            disks: Its disks, where they are known; else they are asked for, and its guest is off.
        """
        domain = self._domain
        goes_on = self.was is not None and disks is not None
        if disks is None:
            disks = await domain.storage_backend.api.disks() if mode == "inject" else []
        root = next((disk for disk in disks if disk.role == "root"), None)
        path = domain.work_folder / "context" / f"{self._file_name()}.iso"
        done = await telling.tell(
            domain, told, mode, root, domain.storage_backend, path, goes_on=goes_on
        )
        if mode == "auto":
            telling.warn_of_lost(domain, done.mode, self.outline.given)
        self.retelling.done(done, told)
        return done

    async def told(self) -> Told:
        """Return what the guest is to be told, as it is described now.

        Raises:
            EngineError: Its context cannot be asked.
        """
        domain = self._domain
        return Told(
            uuid=domain.uuid,
            hostname=domain.hostname or hostname_from(domain.called),
            mac=self.uplink.mac if self.uplink is not None else "",
            ip=domain.ip,
            netmask=domain.netmask,
            gateway=domain.gateway,
            on_link=domain.gateway_on_link,
            ready_marker=domain.ready_marker,
            beside=self.extras.told,
            wishes=await telling.wishes_of(domain.context),
        )

    def _file_name(self) -> str:
        return f"{self._domain.called}-{self._domain.uuid[:8]}"

    def screen_file(self, suffix: str) -> Path:
        """Return where a picture of its screen is kept."""
        return self._domain.work_folder / "screens" / f"{self._file_name()}{suffix}"

    def console_path(self) -> str:
        """Return where its console would be logged, were it made now."""
        domain = self._domain
        theirs = domain.make_profile().console_log(domain.called)
        if theirs and scheme_of(domain.uri) != "test" and Path(theirs).parent.is_dir():
            return theirs
        return str(domain.work_folder / "console" / f"{self._file_name()}.log")

    def _interfaces(self) -> tuple[InterfaceSpec, ...]:
        if self.uplink is None:
            return self.extras.interfaces
        domain = self._domain
        limits = {"into_kbps": domain.bandwidth_in, "out_kbps": domain.bandwidth_out}
        return (replace(self.uplink.interface, **limits), *self.extras.interfaces)

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
            interfaces=self._interfaces(),
            further=self.extras.disks,
            console_log=console,
            max_memory_bytes=domain.max_memory,
            max_vcpus=domain.max_vcpus,
            cpu_shares=domain.cpu_shares,
            cpu_percent=domain.cpu_quota,
            cpu_pin=domain.cpu_pin,
            numa_node=domain.numa_node,
            graphics=cast('Literal["", "vnc", "spice"]', domain.graphics.replace("none", "")),
            graphics_listen=domain.graphics_listen,
            arch=domain.arch or host_arch(),
            accelerated=self.accelerated,
            virtiofs=serves_virtiofs(domain.uri),
            keeps_crashed=domain.on_guest_crash == "dump",
        )
        try:
            document = domain_xml(domain.make_profile().spec(machine))
            document, before = overridden(document, domain.xml_override), document
        except BadSpecError as error:
            raise BadDescription(str(error), code="SF-DOM-005", where=domain.path) from error
        if domain.xml_override:
            self._tell_escapes(escapes(before, document))
        return document

    def _tell_escapes(self, found: tuple[str, ...]) -> None:
        domain = self._domain
        if found and domain.live.value("escapes") != Vector(found):
            domain.note(f"by xmlOverride it gets at {', '.join(found)} of its host", "warning")
        domain.escapes = Vector(found)
