"""`Domain`: a virtual machine as a component, from its definition to its staged stop.

What its description may say stands in `described`; it makes things by `making`, watches its guest by
`watching` and stops it by `stopping`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from components.domains import telling
from components.domains.acts import Acts
from components.domains.booting import check_kernel
from components.domains.channels import open_console, open_log
from components.domains.checking import check_attributes, check_capabilities, check_profile
from components.domains.chosen_log import check_log
from components.domains.console import written
from components.domains.drift import Drift
from components.domains.effects import (
    ConsoleLog,
    DefinedDomain,
    RunningDomain,
    TransientDomain,
)
from components.domains.ends import End, all_stays, end_of
from components.domains.listening import TURN_S, Listening
from components.domains.making import Making
from components.domains.prober import check_agent
from components.domains.profile import Profile
from components.domains.reshaping import Reshaping
from components.domains.rotation import rotating
from components.domains.showing import show
from components.domains.stopping import Stopping
from components.domains.updating import Updates
from components.domains.watching import Watching
from components.hosts.admission import Demand
from components.hosts.reservations import Reservations
from components.hypervisor import names
from components.hypervisor.choice import scheme_of, uri_for
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import holder_of, is_ours
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import BadDescription, Refused
from engine.core.records import Record
from engine.prim import Unwell
from engine.runtime.attributes import exposed
from engine.runtime.channels import Duplex
from engine.runtime.effects import Effect, NameTaken
from engine.runtime.live import Live
from sfdl.values import Value, Vector

AT_REST = {
    "defined": "is defined and not started", "running": "its guest runs", "blocked": "its guest runs",
    "paused": "its guest is paused", "shutoff": "its guest is off", "crashed": "its guest has crashed",
    "pmsuspended": "its guest sleeps",
}  # fmt: skip
"""What it says of itself when it does nothing, by run state."""
BOOT_S, EMULATED_BOOT_S = 120.0, 600.0
"""Seconds a guest may take to boot, where the description does not say."""


class Domain(Listening, Reshaping):
    """A virtual machine: defined and started once its storage is there, watched, stopped in stages.

    It checks and reserves in its deploy phase and makes nothing before every host of the application
    has agreed. The guest outlives the daemon; a restarted daemon takes it up again.

    Attributes:
        called: Its name at the hypervisor, once deployed.
        uri: Its hypervisor, once deployed.
        updates: Takes changes of its description.

    Events:
        drift: Somebody else has changed the machine.
        repaired: What somebody else had changed was set back.
        warning: What is wrong with the guest or its hypervisor, and what is done about it.

    Errors:
        SF-DOM-023: A folder or program of the host is missing, or does not go with something else.
        SF-DOM-025: The host has no firmware, or not the memory, that the machine is to have.
        SF-DOM-020: Limits of memory or processors contradict what it is given at boot.
        SF-DOM-021: Something else is under way with the machine.
        SF-DOM-022: The guest did not shut down in time.
        SF-DOM-015: The hypervisor refuses what was asked for.
        SF-DOM-016: Nothing of the guest is saved.
        SF-DOM-017: It cannot have so much while it runs.
        SF-DOM-019: Its hypervisor cannot do something, and it is not to be done another way.
        SF-DOM-018: A command in the guest is not done in time, or its agent is not understood.
        SF-DOM-004: A kernel or RAM disk is not there on the host.
        SF-DOM-005: The machine as described cannot be written as XML.
        SF-DOM-006: The guest has not booted in time; the message has the end of its console.
        SF-CON-001: The guest has no console, is not running, or has no console log yet.
        SF-CTX-005: The guest could not be told at once what has changed.
        SF-DOM-012: A change would need another machine, or other volumes, and that is not allowed.
        SF-DOM-011: The guest of an earlier start is there, and the volumes it runs on are not.
        SF-DOM-010: Something is wanted that needs a machine which stays defined.
        SF-DOM-013: A disk that is described is not there, or not what it is said to be.
        SF-DOM-014: A disk is that of another machine.
        SF-DOM-024: A disk or interface is none that an action changes.
        SF-DOM-009: The agent is to be asked where there is no channel to one.
    """

    at_rest: ClassVar[str] = AT_REST["running"]
    schemes: ClassVar[frozenset[str]] = frozenset()
    """Kinds of hypervisor URI it runs on, each kind of domain its own."""
    takes_any_hypervisor: ClassVar[bool] = False
    """Whether it is described for whatever its host has."""

    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfUpdatable": True, "sfDeployTimeout": 900,
        "sfReadyWhen": "signal", "sfStartTimeout": 900,
        "sfTerminateTimeout": 900,
    }  # fmt: skip

    def __init__(self) -> None:
        """Be nowhere yet."""
        self.called = ""
        self.uri = ""
        self.acts = Acts(self)
        self.stopping = Stopping(self)
        self.making = Making(self)
        self.updates = Updates(self)
        self._watching: Watching | None = None

    # -- deploy: check and reserve

    @classmethod
    def profile_of(cls, values: Mapping[str, object]) -> Profile:
        """Return the profile for attribute values; each kind of domain has its own."""
        raise NotImplementedError

    def make_profile(self) -> Profile:
        """Return how this machine is specified."""
        return self.kind.profile_of(self.bound())

    @property
    def kind(self) -> type[Domain]:
        """Return the kind of machine it is here, whose attributes count."""
        return type(self)

    def bound(self) -> Mapping[str, object]:
        """Return its attributes, with those that only its kind of machine declares."""
        return self.live.bound

    @override
    async def on_deploy(self) -> None:
        await self.take_workplace()
        await self.making.allotted.take()
        check_attributes(self)
        await self._identify()
        self.check_hypervisor(self.uri)
        await check_profile(self)
        await check_log(self)
        await self.making.bind_storage()
        await self.making.read_context()
        telling.check(
            self.making.outline, self, kernel=self.boots_directly, ip=self.ip, mac=self.mac,
            disks=self.storage_backend.given,
        )  # fmt: skip
        hypervisor = await self.hypervisor()
        looked = (*self.domain_liveness_methods, *self.ready_checks)
        check_agent(looked, hypervisor, channel=self.asks_agent, where=self.path)
        telling.check_agent(self.making.outline, self, hypervisor, channel=self.asks_agent)
        check_capabilities(self, hypervisor)
        await self._check_free(hypervisor)
        await self.service(Reservations).admit(self, hypervisor, self.demand)
        await self.making.look_for_earlier()
        await self.making.join()
        self._publish_address()
        await self.making.reserve_address()

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
    def mac_begins(self) -> str:
        """Return the first three octets of a MAC address that stands for the UUID, if not the usual."""
        return self.mac_prefix

    @override
    def doing(self) -> str:
        escapes = self.live.value("escapes")
        beyond = escapes.items if isinstance(escapes, Vector) else ()
        more = f"gets at {', '.join(map(str, beyond))} by xmlOverride" if beyond else ""
        return "; ".join(filter(None, (super().doing(), more)))

    @property
    def demand(self) -> Demand:
        """Return what it takes of its host."""
        return Demand(self.memory, self.vcpus)

    @property
    def boots_directly(self) -> bool:
        """Say whether a kernel is given, even if it is not known yet which one."""
        return bool(self.live.value("kernel"))

    async def _identify(self) -> None:
        self.called = await self.making.naming.wanted()
        self.uri = await uri_for(self, self.hypervisor_uri)
        process = self.live.process
        own = names.uuid_of(process.community, self.live.segment.application, self.path)
        self.uuid = self.given_uuid or own

    @override
    async def hypervisor(self) -> Hypervisor:
        """Return the hypervisor it is at, connecting if need be.

        Raises:
            HypervisorError: It cannot be reached.
        """
        return await self.service(HypervisorPool).get(self.uri)

    async def _check_free(self, hypervisor: Hypervisor) -> None:
        owner = self.live.owner
        for facts in (await hypervisor.by_name(self.called), await hypervisor.fact(self.uuid)):
            if facts is not None and not is_ours(facts, owner, exactly=False):
                raise NameTaken(
                    f"a domain called {facts.name} exists already ({holder_of(facts)}, "
                    f"UUID {facts.uuid}, {facts.state.value})",
                    code="SF-NAME-001", where=self.path,
                    hint="choose another domainName; the domain was not touched",
                )  # fmt: skip

    # -- start: make

    @override
    async def on_started(self) -> None:
        check_kernel(self)
        await self.making.find_accelerator()
        await self.making.define()
        self.publish("defined")
        if self.start_mode == "defined":
            self.set_ready(True)
            return
        self.updates.started()
        await self.making.start(told=True)
        await self.updates.tune(await self.hypervisor())
        self.publish("paused" if self.start_mode == "created" else "running")
        await show(self, began=True)
        watching = self.begin_watch()
        if self.start_mode == "booted" and self.making.was is None:
            with self.step("boot", "waits until its guest has booted"):
                await watching.booted()
            await show(self)
        self.set_ready(True)

    def publish(self, state: str) -> None:
        """Show a run state, and what addresses the machine has."""
        self.state = state
        self.rest(AT_REST.get(state, f"is {state}"))
        self._publish_address()

    def _publish_address(self) -> None:
        if self.ip:
            self.address = self.ip
        if self.making.uplink is not None:
            self.macAddress = self.making.uplink.mac

    # -- while it runs

    @property
    @override
    def asks_agent(self) -> bool:
        return self.make_profile().agent_channel

    @property
    def boot_limit_s(self) -> float:
        """Return how many seconds it may take to boot."""
        if self.boot_timeout is not None:
            return self.boot_timeout
        return EMULATED_BOOT_S if self.make_profile().emulated else BOOT_S

    async def power_cycle(self) -> None:
        """Stop the guest as a wished end would, and start it as it is defined now."""
        if self._watching is None:
            return
        self._watching.end()
        self.set_ready(False)
        hypervisor = await self.hypervisor()
        await self.stopping.pause_for(hypervisor, End.GRACEFUL)
        past = await self.run_blocking(written, self.consolePath)
        await self.start_again(hypervisor)
        self.publish("running")
        with self.step("boot", "waits until its guest has booted"):
            await self.begin_watch().booted(past=past)
        self.set_ready(True)

    @override
    def pending(self) -> list[str]:
        said = self.live.value("pendingChanges")
        return said.split(", ") if isinstance(said, str) and said else []

    def lacks(self, name: str, error: HypervisorError) -> None:
        """Show that something was asked for and cannot be had, or refuse to go on without it.

        Raises:
            Refused: It is not to be done another way.
        """
        if self.capability_policy == "strict":
            raise Refused(
                f"{name} cannot be had: {error.message}", code="SF-DOM-019", where=self.path,
                hint='capabilityPolicy "degrade" goes on without',
            ) from error  # fmt: skip
        self.degrade(name, f"it cannot be had while it runs: {error.message}")

    @override
    async def check_update(self, new: Mapping[str, Value]) -> bool:
        self.acts.refuse_second()
        return await self.updates.check(new)

    @override
    async def explain_update(self, new: Mapping[str, Value]) -> Mapping[str, str]:
        return await self.updates.explain(new)

    @override
    async def on_update(self, old: Mapping[str, object], new: Mapping[str, object]) -> None:
        async def work(_hypervisor: Hypervisor) -> None:
            await self.making.allotted.take_again()
            await self.updates.apply(old, new)

        await self.acts.run("update", "takes a changed description", work, wait_s=TURN_S)

    @override
    async def on_update_started(self) -> None:
        await self.making.allotted.take_again()
        await self.updates.plug()
        if self.updates.unsettled:
            await self.hear_context()

    async def start_again(self, hypervisor: Hypervisor) -> None:
        """Start a guest that has stopped, as it is described now."""
        await self.making.renew()
        if self.persistent:
            await hypervisor.start(self.uuid)
        else:
            await hypervisor.machines.create(self.making.xml)
        self.updates.started()
        await self.updates.tune(hypervisor)
        await show(self, began=True)

    def begin_watch(self) -> Watching:
        """Watch its guest from now on as its attributes say now."""
        before, self._watching = self._watching, Watching(self)
        if before is not None:
            before.end()
        else:
            self.spawn(Drift(self).run())
            self.spawn(rotating(self))
        self._watching.begin_telling()
        self._watching.hold(on=self.acts.paused is True)
        self.spawn(self._watching.run())
        return self._watching

    def watch_anew(self) -> None:
        """Watch its guest as its attributes say now; one that boots late goes on being waited for."""
        late = self._watching.late if self._watching is not None else None
        watching = self.begin_watch()
        if late is not None:
            watching.boots_late(past=late)

    def watch_no_more(self) -> None:
        """Leave the guest alone: what it does from now on is expected."""
        if self._watching is not None:
            self._watching.end()

    def hold_watch(self, *, on: bool) -> None:
        """Expect nothing of the guest as long as its processors are held."""
        if self._watching is not None:
            self._watching.hold(on=on)

    @override
    async def check(self) -> None:
        if self._watching is not None and not self.stopping.asked and not self.acts.off:
            trouble = self._watching.trouble()
            if trouble:
                raise Unwell(trouble)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self.take_workplace_again()
        for effect in effects:
            match effect:
                case ConsoleLog(path):
                    self.consolePath = path
                case DefinedDomain() | TransientDomain():
                    self.uri, self.called, self.uuid = effect.uri, effect.name, effect.uuid
                    self.making.xml = effect.xml
                case _:
                    pass
        await self.making.naming.finish()
        self.service(Reservations).hold(self, self.uri, self.demand)
        await self.making.allotted.take_again()
        await self.making.bind_storage()
        await self.making.read_context()
        await self.making.join()
        self.making.claim_address()
        await self.making.extras.adopt(self.making.xml)
        await self.making.retelling.adopted()
        self.making.accelerated = 'type="kvm"' in self.making.xml
        running = any(isinstance(effect, RunningDomain) for effect in effects)
        if running:
            self.updates.adopted()
            await self.acts.adopted()
        held = running and self.acts.paused is True
        self.publish("paused" if held else "running" if running else "defined")
        await show(self)
        if running:
            self.begin_watch()
        self.set_ready((running and not held) or self.start_mode == "defined")

    @override
    async def open_channel(self, name: str) -> Duplex:
        match name:
            case "console":
                return await open_console(self)
            case "console log":
                return await open_log(self)
            case _:
                return await super().open_channel(name)

    # -- the end

    @override
    async def on_terminate(self, record: Record) -> None:
        await self.acts.end()
        with contextlib.suppress(HypervisorError):  # what is left is for undo
            await self._end(record)
        await self.making.allotted.give_back()

    @exposed()
    async def let_go(self, of: str = "") -> None:
        """End the guest, since what it stands on is about to go; the first one to ask decides how.

        Args:
            of: Path of a network that asks. In an update, the guest only loses its interface there.
        """
        if self.live.segment.updating and self.making.extras.stands_beside(of):
            return
        await self.acts.end()
        await self._end(self._reason())

    async def _end(self, record: Record) -> None:
        if not any(isinstance(made.effect, RunningDomain) for made in self.live.effects):
            return
        end = end_of(
            record,
            stop_mode=self.stop_mode,
            on_daemon_stop=self.on_daemon_stop,
            was=self.making.was,
        )
        with self.step("stop", "stops its guest"):
            await self._stop(record, end)

    async def _stop(self, record: Record, end: End) -> None:
        if all_stays(record, end) and not self.stopping.asked:
            await self.making.retain()
        await self.stopping.stop(await self.hypervisor(), end)

    def _reason(self) -> Record:
        """Return why it ends, or what is around it; nothing ends: somebody wishes it."""
        live: Live | None = self.live
        while live is not None:
            if live.record is not None:
                return live.record
            live = live.parent
        return Record.normal()
