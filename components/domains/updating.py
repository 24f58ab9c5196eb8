"""Carrying a changed description out on a running machine; what it means is decided in `altering`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from components.domains.altering import (
    GROWN,
    NAMED,
    PLUGGED,
    REMADE,
    TOLD,
    Bounds,
    Outcome,
    Way,
    outcome_of,
    shown,
    when_power,
)
from components.domains.checking import check_kind, check_together, go_without
from components.domains.hearing import Hearing
from components.domains.naming import NAME
from components.domains.needs import check_needs
from components.domains.plugging import Plugging, disk_at, plugs_between
from components.domains.replacement import Replacement
from components.hosts.reservations import Reservations
from components.hypervisor.capabilities import Capability
from components.hypervisor.errors import HypervisorError
from components.hypervisor.machines import Share
from components.hypervisor.protocol import Hypervisor
from components.storage.declared import ON_THE_DOMAIN
from components.storage.growing import LATER, OFF
from components.storage.growing import LIVE as ALIVE
from engine.core.faults import BadDescription, Refused
from engine.core.updates import AS_BEFORE
from engine.runtime.kinds import BadValueError
from engine.runtime.proposal import going_back
from sfdl.values import Value

if TYPE_CHECKING:
    from components.domains.domain import Domain
    from components.domains.further import FurtherDisk, FurtherInterface

STORAGE = frozenset(ON_THE_DOMAIN) - GROWN
"""Attributes that say what its volumes are made from."""


class Updates:
    """Takes new values of one domain's attributes."""

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._bounds: Bounds | None = None
        self._plugged: tuple[str, ...] = ()
        self._due = False
        self.hearing = Hearing(domain)

    def started(self) -> None:
        """Take in that an instance begins, with what is described now."""
        domain = self._domain
        self.adopted()
        domain.pendingChanges = ""

    def stopped(self) -> None:
        """Take in that there is no instance by wish: what changes counts from the next start on."""
        self._bounds = None
        self._domain.pendingChanges = ""

    def adopted(self) -> None:
        """Take in that an instance of an earlier process goes on."""
        domain = self._domain
        self._bounds = Bounds(domain.max_memory or domain.memory, domain.max_vcpus or domain.vcpus)

    async def explain(self, new: Mapping[str, Value]) -> dict[str, str]:
        """Say of each attribute that would change how it takes effect.

        Raises:
            BadDescription: A value does not fit.
        """
        outcome, wanted = await self._outcome(new)
        now = bool(TOLD & outcome.ways.keys()) and await self.hearing.at_once(new.get("context"))
        ways = shown(outcome, str(wanted["updateMode"]), tells_now=now)
        backend = self._domain.storage_backend
        if backend.given and outcome.ways.keys() & set(ON_THE_DOMAIN):
            said = await backend.api.explain_said(await self._domain.making.said(new))
            ways |= {name: how for name, how in said.items() if name in ways}
        return ways

    async def check(self, new: Mapping[str, Value]) -> bool:
        """Say whether the machine can take new attributes; else it is to be replaced.

        Raises:
            Refused: It would have to be replaced, and nobody has allowed that; or storage would.
        """
        outcome, wanted = await self._outcome(new)
        await self._check_storage(outcome, new)
        if PLUGGED & outcome.ways.keys():
            disks = cast("tuple[FurtherDisk, ...] | None", wanted.get("disks"))
            nics = cast("tuple[FurtherInterface, ...] | None", wanted.get("interfaces"))
            await self._domain.making.extras.check(disks or (), nics or ())
        if TOLD & outcome.ways.keys():
            await self.hearing.check(wanted)
        if NAMED & outcome.ways.keys():
            await self._domain.making.naming.check(str(wanted[NAME]))
        profile = self._domain.kind.profile_of({**self._domain.bound(), **wanted})
        check_kind(self._domain, profile, new.get)
        if outcome.of(Way.POWER):
            check_together(profile, self._domain.path)
            await check_needs(self._domain, profile.needs, wanted)
        remade = REMADE | set(ON_THE_DOMAIN)
        replaced = [name for name in outcome.of(Way.REPLACE) if name not in remade]
        if not replaced:
            return True
        if remade & outcome.ways.keys():
            raise Refused(
                f"{', '.join(replaced)}: another one needs another machine, on the same volumes, and "
                "these are to be others as well",
                code="SF-DOM-012", where=self._domain.path, hint="do one after the other",
            )  # fmt: skip
        if new.get("allowReplace") is not True:
            raise Refused(
                f"{', '.join(replaced)}: another one needs another machine, on the same volumes",
                code="SF-DOM-012", where=self._domain.path,
                hint="say allowReplace true, and it is stopped, and made and started anew",
            )  # fmt: skip
        return False

    async def _check_storage(self, outcome: Outcome, new: Mapping[str, Value]) -> None:
        """Have the storage look whether its volumes can be as the machine is to say."""
        domain, allowed = self._domain, new.get("allowReplace") is True or going_back()
        if not domain.storage_backend.given:
            return
        if outcome.ways.keys() & set(ON_THE_DOMAIN):
            said = await domain.making.said(new)
            await domain.storage_backend.api.check_said(said, allowed)
        if REMADE & outcome.ways.keys() and not allowed:
            raise Refused(
                "arch: another one needs other volumes, and what is on these would be lost",
                code="SF-DOM-012", where=domain.path,
                hint="say allowReplace true, and others are made, and it runs on them",
            )  # fmt: skip

    async def _outcome(self, new: Mapping[str, Value]) -> tuple[Outcome, dict[str, object]]:
        domain = self._domain
        declared, bound = domain.kind.declarations, domain.bound()
        wanted: dict[str, object] = {}
        try:
            declared.bind(new, wanted, where=domain.path)
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", where=domain.path) from error
        old = {name: bound.get(name) for name in wanted}
        if domain.ip_pool.given:
            wanted["netmask"] = old["netmask"]
            for name in ("ip", "gateway"):
                wanted[name] = wanted.get(name) or old[name]
        for name in (*declared.links, *ON_THE_DOMAIN):
            old[name], wanted[name] = domain.live.value(name), new.get(name)
        bounds = await self._bounds_now()
        found = outcome_of(old, wanted, bounds, storage=STORAGE)
        return found, wanted

    async def _bounds_now(self) -> Bounds:
        if self._bounds is None:
            return Bounds(0, 0, running=False)
        hypervisor = await self._domain.hypervisor()
        return replace(
            self._bounds,
            plugs=Capability.PLUG in hypervisor.caps,
            grows=Capability.GROW in hypervisor.caps,
        )

    # -- carrying out

    async def apply(self, old: Mapping[str, object], new: Mapping[str, object]) -> None:
        """Do it: first what its hypervisor changes live, then the definition.

        Raises:
            Refused: The host has no room for what it is to be.
            HypervisorError: The definition is not accepted, or the name.
        """
        domain, bounds = self._domain, await self._bounds_now()
        self._due = False
        self._plugged = tuple(name for name in new if name in PLUGGED)
        if new.keys() & (REMADE | set(ON_THE_DOMAIN)) and domain.storage_backend.given:
            said = {name: domain.live.value(name) for name in ON_THE_DOMAIN}
            anew = bool(REMADE & new.keys())
            await domain.storage_backend.api.say(await domain.making.said(said), anew)
        self.hearing.changed = tuple(name for name in new if name in TOLD)
        if NAMED & new.keys():
            await self._name(running=bounds.running)
        elsewhere = PLUGGED | TOLD | NAMED | set(ON_THE_DOMAIN)
        new = {name: value for name, value in new.items() if name not in elsewhere}
        outcome = outcome_of({name: old.get(name) for name in new}, new, bounds, storage=STORAGE)
        hypervisor = await domain.hypervisor()
        if {"memory", "vcpus"} & outcome.ways.keys():
            await domain.service(Reservations).admit(domain, hypervisor, domain.demand)
        left = await self._live(hypervisor, outcome.of(Way.LIVE)) if bounds.running else []
        redefined = outcome.redefines and await domain.making.rewrite()
        later = [*outcome.of(Way.POWER), *left] if redefined else []
        go_without(domain, domain.make_profile())
        if "autostart" in outcome.ways and domain.persistent:
            await hypervisor.machines.autostart(domain.uuid, on=domain.autostart)
        if outcome.of(Way.NOW) and bounds.running:
            domain.watch_anew()
        if later and bounds.running:
            self._wait(later)

    async def _name(self, *, running: bool) -> None:
        """Have the machine called otherwise: now if its guest is off, else as that is started again."""
        domain = self._domain
        name = await domain.making.naming.wanted()
        if name == domain.called:
            self._forget(NAMED)
        elif running:
            self._wait([NAME])
        else:
            await domain.making.naming.take(name)

    def _wait(self, names: Sequence[str]) -> None:
        """Have changes wait for a power cycle, which is due now where that is wanted."""
        domain = self._domain
        known = [name for name in domain.pending() if name not in names]
        domain.pendingChanges = ", ".join([*known, *names])
        domain.emit("pendingChanges", attributes=domain.pendingChanges)
        self._due = self._due or domain.update_mode == "reboot"

    def _forget(self, names: Collection[str]) -> None:
        """Take in that these wait for nothing any more."""
        domain = self._domain
        domain.pendingChanges = ", ".join(name for name in domain.pending() if name not in names)

    @property
    def unsettled(self) -> bool:
        """Say whether something is left to be done once all of a tree has been changed."""
        domain = self._domain
        stands = domain.context.given or domain.storage_backend.given
        return self._due or bool(self.hearing.changed) or stands

    async def replaces(self) -> bool:
        """Say whether its volumes are to be replaced."""
        backend = self._domain.storage_backend
        return backend.given and await backend.api.to_be_replaced()

    async def settle(self) -> None:
        """Take in what the guest is to be told from now on; then other volumes, or a power cycle.

        Raises:
            Refused: Something was to count at once, and could not.
        """
        domain = self._domain
        await self._hear()
        due, self._due = self._due, False
        if await self.replaces() and await self._may_replace():
            await Replacement(domain).carry_out(running=self._bounds is not None)
        elif not due:
            return
        else:
            await domain.power_cycle()
        if await domain.making.retelling.waits():
            raise Refused(
                "the guest could not be told what has changed", code="SF-CTX-005", where=domain.path,
                hint="its events say why",
            )  # fmt: skip
        if await domain.making.naming.wanted() != domain.called:
            raise Refused(
                f"it is still called {domain.called}", code="SF-DOM-015", where=domain.path,
                hint="its events say why",
            )  # fmt: skip

    async def _may_replace(self) -> bool:
        """Say whether its volumes are to be replaced now; never on the way back from an update.

        Raises:
            Refused: They may not be, or what is saved of its guest goes with them.
        """
        domain = self._domain
        if going_back():
            domain.note("its volumes stay those it has got, which are not as described", "warning")
            await domain.storage_backend.api.accept()
            return False
        if not domain.allow_replace:
            raise Refused(
                "its volumes would be replaced, and what is on them lost", code=AS_BEFORE,
                where=domain.path, hint="say allowReplace true",
            )  # fmt: skip
        if await (await domain.hypervisor()).machines.is_saved(domain.uuid):
            raise Refused(
                "its guest is saved, and goes on with the volumes it was saved with", code=AS_BEFORE,
                where=domain.path, hint="start it first, or destroy it",
            )  # fmt: skip
        return True

    async def _hear(self) -> None:
        names = await self.hearing.news()
        if self._bounds is None or not await self._domain.making.retelling.waits():
            self._forget(TOLD)
        elif names:
            self._wait(names)
            self._due = self._due or self.hearing.now(names)
        elif not TOLD & set(self._domain.pending()):
            # An interface beside has come or gone, which is no reason to stop it.
            due = self._due
            self._wait(("context",))
            self._due = due

    def hears_of_context(self, *, now: bool) -> str:
        """Say when a changed context would reach the guest, for a plan."""
        now = now or self._domain.update_mode == "reboot"
        return when_power(running=self._bounds is not None, now=now)

    @property
    def runs(self) -> bool:
        """Say whether there is an instance that changes count for."""
        return self._bounds is not None

    async def plug(self, named: tuple[str, ...] = ()) -> None:
        """Plug in and out what was changed, now that what it may refer to has started.

        Args:
            named: Attributes that were changed by something else than an update.

        Raises:
            Refused: A disk or network is not there, or another machine has it.
            HypervisorError: The definition is not accepted.
        """
        names, self._plugged = named or self._plugged, ()
        if not names:
            return
        domain, bounds, before = self._domain, await self._bounds_now(), self._domain.making.xml
        await domain.making.renew_extras()
        if not await domain.making.rewrite() or not bounds.running:
            return
        left: set[str] = set(names)
        if bounds.plugs:
            hypervisor = await domain.hypervisor()
            live = await hypervisor.xml(domain.uuid)
            plugs = plugs_between(before, domain.making.xml, live)
            left = set(await Plugging(domain, hypervisor).carry_out(plugs))
        if left:
            self._wait(sorted(left))

    async def hears_of_growth(self) -> str:
        """Say how the guest would hear that a disk grows: `off`, `live` or `later`."""
        bounds = await self._bounds_now()
        facts = await (await self._domain.hypervisor()).fact(self._domain.uuid)
        if facts is None or not facts.active:
            return OFF
        return ALIVE if bounds.grows else LATER

    async def grow_disk(self, path: str, size_bytes: int) -> None:
        """Have the guest see a disk as larger; a file becomes as large by it.

        Raises:
            HypervisorError: It cannot be.
        """
        domain = self._domain
        target = disk_at(path, domain.making.xml)
        await (await domain.hypervisor()).machines.resize_disk(domain.uuid, target, size_bytes)

    async def see_later(self, names: Sequence[str]) -> None:
        """Take in that something of its storage counts at the next power cycle."""
        self._wait(names)
        due, self._due = self._due, False
        if due:
            await self._domain.power_cycle()

    async def _live(self, hypervisor: Hypervisor, names: tuple[str, ...]) -> list[str]:
        """Change what can be while it runs; return what only counts at the next power cycle."""
        left: list[str] = []
        done: set[str] = set()
        for name in names:
            group = GROUPS.get(name, name)
            if group in done:
                continue
            done.add(group)
            try:
                await self._one(hypervisor, group)
            except HypervisorError as error:
                if error.kind in {"Unreachable", "Timeout"}:
                    raise
                self._domain.lacks(name, error)
                left += [each for each in names if GROUPS.get(each, each) == group]
        return left

    async def _one(self, hypervisor: Hypervisor, group: str) -> None:
        domain, machines = self._domain, hypervisor.machines
        match group:
            case "memory":
                await machines.memory(domain.uuid, domain.memory)
            case "vcpus":
                await machines.vcpus(domain.uuid, domain.vcpus)
            case "share":
                await machines.share(domain.uuid, self._share())
            case "cpuPin":
                await machines.pin(domain.uuid, domain.cpu_pin)
            case "bandwidth":
                limits = domain.bandwidth_in, domain.bandwidth_out
                if domain.macAddress:
                    await machines.bandwidth(domain.uuid, domain.macAddress, *limits)
            case _:
                pass

    def _share(self) -> Share:
        return Share(weight=self._domain.cpu_shares, percent=self._domain.cpu_quota)

    async def tune(self, hypervisor: Hypervisor) -> None:
        """Set what a definition cannot hold at every hypervisor."""
        if self._share() != Share():
            await self._live(hypervisor, ("cpuShares",))
        if self._domain.cpu_pin:
            await self._live(hypervisor, ("cpuPin",))
        await self._forward(hypervisor)

    async def _forward(self, hypervisor: Hypervisor) -> None:
        """Have ports of the host lead to the guest, where it is on a user network with such."""
        domain, joined = self._domain, self._domain.making.uplink
        if joined is None or not joined.forwards:
            return
        try:
            rules = [each.rule for each in joined.forwards]
            await hypervisor.machines.forward(domain.uuid, rules)
        except HypervisorError as error:
            if error.kind != "Unsupported":
                raise
            domain.lacks("forwards", error)


GROUPS = {
    "cpuShares": "share", "cpuQuota": "share", "bandwidthIn": "bandwidth",
    "bandwidthOut": "bandwidth",
}  # fmt: skip
"""Attributes that are changed by one call."""
