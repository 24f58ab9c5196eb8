"""`Domain`: a virtual machine as a component, from its definition to its staged stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from components.context import Context, Outline, Told
from components.context.told import hostname_from
from components.domains import telling, uplink
from components.domains.booting import Signs, check_kernel
from components.domains.effects import ConsoleLog, DefinedDomain, RunningDomain
from components.domains.liveness import GuestWatch, Looks, wanted
from components.domains.methods import methods
from components.domains.prober import Prober, check_agent
from components.domains.profile import Machine, Profile
from components.domains.reactions import Reactions
from components.domains.stopping import Stopping
from components.domains.xml import BadSpecError, domain_xml
from components.hypervisor import names
from components.hypervisor.choice import scheme_of, uri_for, uri_kind
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import holder_of, is_ours, owner_record
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import Hypervisor
from components.networks.addresses import (
    hostname_kind,
    ip_kind,
    mac_kind,
    netmask_kind,
)
from components.networks.joined import Joined
from components.storage.backend import ON_THE_DOMAIN, DiskOffer, StorageBackend
from components.system.shell import Shell
from engine.compound import Compound
from engine.core.faults import BadDescription
from engine.core.records import DEPLOYMENT_FAILURE, NORMAL, SHUTDOWN, Record
from engine.prim import Unwell
from engine.runtime.attributes import attr, exposed, link, output
from engine.runtime.effects import Effect, NameTaken, Owner
from engine.runtime.handles import Link
from engine.runtime.kinds import bool_, duration_ms, duration_s, int_, size_bytes, str_
from engine.wire.codec import flatten
from engine.wire.messages import Handle
from sfdl.values import Description, Value

DEFAULT_NETWORK = "default"
"""Network of a machine that has an address but names no network."""
AGAIN_S = 15.0
"""Seconds after which a guest is asked again to shut down; it may have been booting."""


class Domain(Compound):
    """A virtual machine: defined and started once its storage is there, watched, stopped in stages.

    It checks and reserves in its deploy phase and makes nothing before every host of the application
    has agreed. The guest outlives the daemon; a restarted daemon takes it up again.
    """

    domain_name = attr(
        names.name_kind, "", doc="Name at the hypervisor; from the component's path if empty.",
        called="domainName", unique=True,
    )  # fmt: skip
    hostname = attr(hostname_kind, "", doc="Host name; the domainName if empty.")
    ip = attr(
        ip_kind, "", unique=True,
        doc="Address of the first interface; DHCP if empty; kept for it at the network.",
    )  # fmt: skip
    netmask = attr(netmask_kind, "255.255.0.0", doc="Netmask that goes with ip.")
    gateway = attr(ip_kind, "", doc="Gateway in the subnet of ip; none if empty.")
    gateway_on_link = attr(
        bool_, False, doc="Allow a gateway outside the subnet.", called="gatewayOnLink"
    )
    mac = attr(
        mac_kind, "", unique=True, doc="MAC address; from the ip, else from the UUID, if empty."
    )
    network = link(
        Joined, required=False, text=True,
        doc="Network it is on: a component, or a name at the hypervisor; the host's defaultNetwork "
        "if neither network nor bridge is given.",
    )  # fmt: skip
    bridge = link(
        Joined, required=False, text=True,
        doc="Bridge of the host it is on: a component, or a device name.",
    )  # fmt: skip
    memory = attr(size_bytes, 512, ge=32 * 2**20, le=2**44, doc="Memory at boot.")
    vcpus = attr(int_, 1, ge=1, le=1024, doc="Virtual CPUs at boot.")
    kernel = attr(str_, "", doc="Kernel on the host to boot directly.")
    ramdisk = attr(str_, "", doc="Initial RAM disk on the host; needs a kernel.")
    extra = attr(str_, "", doc="Further words for the kernel's command line; needs a kernel.")
    storage_backend = link(
        StorageBackend, doc="Where the disks come from.", called="storageBackend", required=False
    )
    shell = link(Shell, doc="Runs host commands.", required=False)
    context = link(
        Context, required=False,
        doc="What the guest learns at boot, and how; its name and address only if not given.",
    )  # fmt: skip
    diskless = attr(bool_, False, doc="Have no disks.")
    hypervisor_uri = attr(
        uri_kind, "", doc="Hypervisor; found on the host if empty.", called="hypervisorUri"
    )
    domain_liveness_check = attr(
        bool_, True, doc="Look at the guest regularly.", called="domainLivenessCheck"
    )
    domain_liveness_delay = attr(
        duration_ms, 2000, ge=0.05, doc="Milliseconds between looks.", called="domainLivenessDelay"
    )
    domain_liveness_factor = attr(
        int_, 3, ge=1, doc="Looks in a row that must fail.", called="domainLivenessFactor"
    )
    domain_liveness_methods = attr(
        methods, ("state",),
        doc="Ways to look at it: state, agent, ping, console, tcp:PORT; all must find it well.",
        called="domainLivenessMethods",
    )  # fmt: skip
    console_quiet = attr(
        duration_s, 60, ge=1, doc="Seconds the console may be silent, where that is looked at.",
        called="consoleQuiet",
    )  # fmt: skip
    connection_grace = attr(
        duration_s, 60, doc="Seconds an unreachable hypervisor is not held against the guest.",
        called="connectionGrace",
    )  # fmt: skip
    start_mode = attr(
        str_, "running", choices=("defined", "running", "booted"),
        doc="When the start counts as done.", called="startMode",
    )  # fmt: skip
    ready_marker = attr(
        str_, "SD-READY", doc="What the console shows once booted; the agent's answer counts, too.",
        called="readyMarker",
    )  # fmt: skip
    ready_checks = attr(
        methods, (), doc="Ways to look at it that all find it well once it has booted.",
        called="readyChecks",
    )  # fmt: skip
    boot_timeout = attr(duration_s, 600, doc="Seconds until booted.", called="bootTimeout")
    on_guest_shutdown = attr(
        str_, "terminate", choices=("terminate", "restart", "ignore"),
        doc="What to do when the guest shuts down by itself, or somebody else stops it.",
        called="onGuestShutdown",
    )  # fmt: skip
    on_guest_reboot = attr(
        str_, "continue", choices=("continue", "recreate"),
        doc="What to do when the guest reboots; recreate starts it with a changed definition.",
        called="onGuestReboot",
    )  # fmt: skip
    on_guest_crash = attr(
        str_, "terminate", choices=("terminate", "restart"),
        doc="What to do when the guest crashes, or its emulator dies.", called="onGuestCrash",
    )  # fmt: skip
    restart_limit = attr(
        int_, 3, ge=0, doc="Restarts within restartWindow; one more ends it abnormally.",
        called="restartLimit",
    )  # fmt: skip
    restart_window = attr(
        duration_s, 600, doc="Seconds over which restarts are counted.", called="restartWindow"
    )
    stop_mode = attr(
        str_, "graceful", choices=("graceful", "destroy"), doc="How the guest is stopped.",
        called="stopMode",
    )  # fmt: skip
    stop_timeout = attr(
        duration_s, 60, doc="Seconds the guest has to shut down.", called="stopTimeout"
    )
    uuid = output(str, doc="UUID at the hypervisor, the same at each deployment.")
    state = output(str, doc="Run state of the guest when it was last seen.")
    macAddress = output(str, doc="MAC address of the first interface, if it has one.")
    address = output(str, doc="Address of the first interface, if it is known.")
    contextMode = output(str, doc="How the guest was told its name and address.")
    consolePath = output(str, doc="File with what the serial console shows.")

    schemes: ClassVar[frozenset[str]] = frozenset()
    """Kinds of hypervisor URI it runs on, each kind of domain its own."""

    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfReadyWhen": "signal", "sfStartTimeout": 900,
        "sfTerminateTimeout": 900,
    }  # fmt: skip

    def __init__(self) -> None:
        """Be nowhere yet."""
        self._name = ""
        self._uri = ""
        self._uplink: uplink.Uplink | None = None
        self._outline = Outline()
        self._watch: GuestWatch | None = None
        self._stopping = Stopping(self)

    # -- deploy: check and reserve

    @classmethod
    def profile_of(cls, values: Mapping[str, object]) -> Profile:
        """Return the profile for attribute values; each kind of domain has its own."""
        raise NotImplementedError

    def make_profile(self) -> Profile:
        """Return how this machine is specified."""
        return self.profile_of(self.live.bound)

    @override
    async def on_deploy(self) -> None:
        self._check_attributes()
        await self._identify()
        self.check_hypervisor(self._uri)
        await self._bind_storage()
        self._outline = await telling.outline_of(self.context)
        telling.check(
            self._outline, self, kernel=self.boots_directly, ip=self.ip, mac=self.mac,
            disks=self.storage_backend.given,
        )  # fmt: skip
        hypervisor = await self._hypervisor()
        looked = (*self.domain_liveness_methods, *self.ready_checks)
        check_agent(looked, hypervisor, channel=self.make_profile().agent_channel, where=self.path)
        await self._check_free(hypervisor)
        self._uplink = await self._find_uplink()
        self._publish_address()
        if self._uplink is not None:
            await uplink.check_source(self._uplink, self, hypervisor)
            uplink.claim(self._uplink, self, self._uri)
            await uplink.check_mac(self._uplink, self.uuid, self, hypervisor)

    def check_hypervisor(self, uri: str) -> None:
        """Refuse a hypervisor that this kind of domain does not run on.

        Raises:
            BadDescription: It does not.
        """
        if scheme_of(uri) not in self.schemes:
            kind = type(self).__name__
            raise BadDescription(
                f"WrongHypervisor: a {kind} cannot run on {uri}, only on "
                f"{', '.join(sorted(self.schemes))}",
                code="SF-DOM-007", where=self.path,
                hint="name another hypervisorUri, or use VM, which takes what the host has",
            )  # fmt: skip

    @property
    def boots_directly(self) -> bool:
        """Say whether a kernel is given, even if it is not known yet which one."""
        return bool(self.live.value("kernel"))

    def _check_attributes(self) -> None:
        given = [word for word in ("ramdisk", "extra") if self.live.value(word)]
        if given and not self.boots_directly:
            word = given[0]
            raise BadDescription(f"{word} needs a kernel", code="SF-DOM-001", where=self.path)
        if self.network.given and self.bridge.given:
            raise BadDescription(
                "give network or bridge, not both", code="SF-DOM-002", where=self.path
            )
        if self.ip:
            uplink.check_address(
                self.ip, self.netmask, "" if self.gateway_on_link else self.gateway, self.path
            )
        if not self.storage_backend.given and not self.diskless:
            raise BadDescription(
                "storageBackend must be given", code="SF-DOM-003", where=self.path,
                hint="or say diskless true",
            )  # fmt: skip
        check_kernel(self)

    async def _identify(self) -> None:
        given = self.domain_name
        if not given and self.storage_backend.given:
            given = await self.storage_backend.api.wanted_name()
        self._name = names.check_name(given or names.name_from_path(self.path), where=self.path)
        self._uri = await uri_for(self, self.hypervisor_uri)
        process = self.live.process
        self.uuid = names.uuid_of(process.community, self.live.segment.application, self.path)

    async def _bind_storage(self) -> None:
        if not self.storage_backend.given:
            return
        pairs = ((name, self.live.value(name)) for name in ON_THE_DOMAIN)
        said = Description(tuple(pair for pair in pairs if pair[1] is not None))
        shell = await self.shell.handle() if self.shell.given else None
        await self.storage_backend.api.bind(self.handle, self._name, flatten(said), shell)

    async def _hypervisor(self) -> Hypervisor:
        return await self.service(HypervisorPool).get(self._uri)

    async def _check_free(self, hypervisor: Hypervisor) -> None:
        owner = self._owner()
        for facts in (await hypervisor.by_name(self._name), await hypervisor.fact(self.uuid)):
            if facts is not None and not is_ours(facts, owner, exactly=False):
                raise NameTaken(
                    f"a domain called {facts.name} exists already ({holder_of(facts)}, "
                    f"UUID {facts.uuid}, {facts.state.value})",
                    code="SF-NAME-001", where=self.path,
                    hint="choose another domainName; the domain was not touched",
                )  # fmt: skip

    def _owner(self) -> Owner:
        return self.live.owner

    # -- start: make

    @override
    async def on_started(self) -> None:
        check_kernel(self)
        console = self._console_path()
        await self.make(ConsoleLog(console))
        self.consolePath = console
        disks = await self.storage_backend.api.disks() if self.storage_backend.given else []
        told = await self._tell(disks)
        await self._keep_address()
        xml = self._xml(console, (*disks, *told.disks), told.words)
        await self.make(DefinedDomain(self._uri, self.uuid, self._name, xml))
        self._publish("defined")
        if self.start_mode == "defined":
            self.set_ready(True)
            return
        await self.make(RunningDomain(self._uri, self.uuid, self._name))
        self._publish("running")
        self._begin_watch()
        await self._booted()
        self.set_ready(True)

    async def _keep_address(self) -> None:
        if self._uplink is None:
            return
        hostname = self.hostname or self._name
        kept = await uplink.kept_address(self._uplink, hostname, self, await self._hypervisor())
        if kept is not None:
            await self.make(kept)

    async def _tell(self, disks: list[DiskOffer]) -> telling.Telling:
        """Have the guest learn its name and address, now that its disks are there."""
        told = Told(
            uuid=self.uuid,
            hostname=self.hostname or hostname_from(self._name),
            mac=self._uplink.mac if self._uplink is not None else "",
            ip=self.ip,
            netmask=self.netmask,
            gateway=self.gateway,
            on_link=self.gateway_on_link,
            ready_marker=self.ready_marker,
            wishes=await telling.wishes_of(self.context),
        )
        root = next((disk for disk in disks if disk.role == "root"), None)
        path = self.work_folder / "context" / f"{self._name}-{self.uuid[:8]}.iso"
        done = await telling.tell(self, told, self._outline.mode, root, self.storage_backend, path)
        self.contextMode = done.mode
        return done

    def _console_path(self) -> str:
        theirs = self.make_profile().console_log(self._name)
        if theirs and scheme_of(self._uri) != "test" and Path(theirs).parent.is_dir():
            return theirs
        return str(self.work_folder / "console" / f"{self._name}-{self.uuid[:8]}.log")

    def _xml(self, console: str, disks: tuple[DiskOffer, ...], words: str) -> str:
        extra = " ".join(part for part in (self.extra, words) if part)
        machine = Machine(
            name=self._name,
            uuid=self.uuid,
            title=self.path,
            owner=owner_record(self._owner()),
            memory_bytes=self.memory,
            vcpus=self.vcpus,
            kernel=self.kernel,
            ramdisk=self.ramdisk,
            extra=extra,
            disks=disks,
            interfaces=() if self._uplink is None else (self._uplink.interface,),
            console_log=console,
        )
        try:
            return domain_xml(self.make_profile().spec(machine))
        except BadSpecError as error:
            raise BadDescription(str(error), code="SF-DOM-005", where=self.path) from error

    async def _find_uplink(self) -> uplink.Uplink | None:
        """Find which network or bridge the machine will be on, if any."""
        mac = uplink.mac_for(self.mac, self.ip, self.uuid, self._outline.mac_prefix)
        given_by: dict[uplink.Kind, Link[Joined]] = {"network": self.network, "bridge": self.bridge}
        for kind, given in given_by.items():
            if given.given:
                target = await self.get(kind)
                made = isinstance(target, Handle)
                source = await given.api.attach(self.handle, kind) if made else target
                if not isinstance(source, str):
                    raise BadDescription(
                        f"{kind} must be a component or a name", code="SF-DOM-002", where=self.path
                    )
                return uplink.Uplink(kind, source, made, mac, self.ip)
        above = await self.above("defaultNetwork")
        usual = DEFAULT_NETWORK if self.ip or self.mac else ""
        source = above if isinstance(above, str) and above else usual
        return uplink.Uplink("network", source, False, mac, self.ip) if source else None

    def _publish(self, state: str) -> None:
        self.state = state
        self._publish_address()

    def _publish_address(self) -> None:
        if self.ip:
            self.address = self.ip
        if self._uplink is not None:
            self.macAddress = self._uplink.mac

    # -- while it runs

    def _begin_watch(self) -> None:
        self._prober = Prober(
            uuid=self.uuid, ip=self.ip, console=Path(self.consolePath),
            quiet_s=self.console_quiet, limit_s=self.domain_liveness_delay,
            boot_s=self.boot_timeout,
        )  # fmt: skip
        self._signs = Signs(
            console=Path(self.consolePath), marker=self.ready_marker, checks=self.ready_checks,
            agent=self.make_profile().agent_channel,
        )  # fmt: skip
        looks = Looks(
            wanted(self.domain_liveness_methods), self.domain_liveness_delay,
            self.domain_liveness_factor, self.connection_grace, self.domain_liveness_check,
        )  # fmt: skip
        reactions = Reactions(
            self.on_guest_shutdown, self.on_guest_reboot, self.on_guest_crash,
            self.restart_limit, self.restart_window,
        )  # fmt: skip
        self._watch = GuestWatch(
            name=self._name, uuid=self.uuid, looks=looks, reactions=reactions,
            prober=self._prober, guest=self,
        )  # fmt: skip
        self.spawn(self._follow(self._watch))

    async def _booted(self) -> None:
        if self.start_mode != "booted":
            return
        self._prober.awaited = True
        await self._signs.wait(await self._hypervisor(), self._prober, self.boot_timeout)
        self._prober.awaited = False

    async def _follow(self, watch: GuestWatch) -> None:
        record = await watch.run(await self._when_it_answers())
        if not self._stopping.asked:
            await self.finish(record)

    async def restart(self) -> None:
        """Stop the guest if it runs, and start it again; for the watch."""
        self.set_ready(False)
        hypervisor = await self._hypervisor()
        if not await self._stopping.before(hypervisor):
            return
        self._prober.begin()
        self._signs.again()
        await hypervisor.start(self.uuid)
        self._publish("running")
        await self._booted()
        self.set_ready(True)

    async def _when_it_answers(self) -> Hypervisor:
        """Wait for the hypervisor: as long as nobody can tell, the guest counts as there."""
        while True:
            try:
                return await self._hypervisor()
            except HypervisorError as error:
                if error.kind not in {"Unreachable", "Timeout"}:
                    raise
                self.note(f"the hypervisor does not answer yet: {error.message}", "warning")
                await self.sleep(AGAIN_S)

    def seen(self, state: str) -> None:
        """Take in the guest's run state; for the watch."""
        self.state = state

    def say(self, text: str) -> None:
        """Tell people of something; for the watch."""
        self.note(text, "warning")

    @override
    async def check(self) -> None:
        if self._watch is not None and not self._stopping.asked:
            trouble = self._watch.trouble(asyncio.get_running_loop().time())
            if trouble:
                raise Unwell(trouble)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case ConsoleLog(path):
                    self.consolePath = path
                case DefinedDomain(uri=uri, name=name, uuid=uuid):
                    self._uri, self._name, self.uuid = uri, name, uuid
                case _:
                    pass
        await self._bind_storage()
        self._outline = await telling.outline_of(self.context)
        self._uplink = await self._find_uplink()
        if self._uplink is not None:
            uplink.claim(self._uplink, self, self._uri)
        running = any(isinstance(effect, RunningDomain) for effect in effects)
        self._publish("running" if running else "defined")
        if running:
            self._begin_watch()
        self.set_ready(True)

    # -- the end

    @override
    async def on_terminate(self, record: Record) -> None:
        if not any(isinstance(made.effect, RunningDomain) for made in self.live.effects):
            return
        wished = record.type in {NORMAL, SHUTDOWN} and self.stop_mode == "graceful"
        with contextlib.suppress(HypervisorError):  # what is left is for undo
            await self._stopping.stop(await self._hypervisor(), graceful=wished)

    @exposed()
    async def let_go(self) -> None:
        """Stop the guest, since its disks are about to go; the first one to ask decides how."""
        record = self.live.record
        graceful = record is None or record.type != DEPLOYMENT_FAILURE
        await self._stopping.stop(
            await self._hypervisor(), graceful=graceful and self.stop_mode == "graceful"
        )
