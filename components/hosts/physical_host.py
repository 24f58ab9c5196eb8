"""`PhysicalHost`: one host of a description, and what holds for the machines on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from typing_extensions import override

from components.hosts.admission import LIMITS, Capacity, Demand, Rules, room
from components.hosts.facts import facts_of, storage_here
from components.hosts.leftovers import Leftover, files_left, networks_left
from components.hosts.orphans import Orphan, known_to, orphans_among, remove, suspects_among
from components.hosts.reservations import Reservations
from components.hypervisor.choice import is_local, uri_for, uri_kind
from components.hypervisor.errors import HypervisorError
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import Hypervisor
from components.hypervisor.protocol import Link as Line
from components.images.image_store import ImageStore
from components.reporting import Reporting
from components.surroundings.workplace import expanded, work_dir_kind, writable
from engine.compound import Compound
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr, link, on_change, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import bool_, duration_s, float_, int_, size_bytes, str_, strings
from sfdl.values import Description, Long, Value, Vector

COUNT_S = 1.0
"""Seconds between two counts of what is reserved."""
UNREACHABLE = "unreachable"


class PhysicalHost(Reporting, Compound, type="host.physical"):
    """A compound whose children live on the host named by `sfProcessHost`.

    Its attributes are found by the machines below it. Each machine reserves its memory and CPUs in its
    deploy phase, before anything is made; the limits are those that stand above it, by name, so that
    a `Compound` can give them, too. libvirt's test driver has no memory of its own: there a limit of
    memory or CPUs holds only where its factor is given.

    Example:
        computer extends PhysicalHost {
            hypervisorUri "qemu:///system"; reservedMemory "2g"; memoryOvercommit 1.2; maxDomains 20;
        }

    Errors:
        SF-ADM-001: memory is short: asked, free, reserved and factor are named
        SF-ADM-002: CPUs are short, likewise
        SF-ADM-003: the host has `maxDomains` machines already
        SF-ADM-004: the host is in maintenance
        SF-ADM-005: powerMax is less than powerIdle
        SF-ADM-006: workDir cannot be written to
    """

    hypervisor_uri = attr(
        uri_kind, "", doc="Hypervisor of the machines below; theirs wins.", called="hypervisorUri"
    )
    default_network = attr(
        str_, "", doc="Network of machines below that name none.", called="defaultNetwork"
    )
    work_dir = attr(
        work_dir_kind, None, called="workDir",
        doc="Folder on the host for what machines and storage below keep there: volumes, console logs, "
        "context disks, dumps; the daemon's own if not given.",
    )  # fmt: skip
    image_store = link(
        ImageStore, required=False, text=True, called="imageStore",
        doc="Where images below are kept that name no store: a component, or a folder.",
    )  # fmt: skip
    reserved_memory = attr(
        size_bytes, None, called="reservedMemory",
        doc="Memory for the host itself; 512 MiB, or 5 % of a larger one, if not given.",
    )  # fmt: skip
    reserved_cpus = attr(float_, 0.0, ge=0, doc="CPUs for the host itself.", called="reservedCpus")
    memory_overcommit = attr(
        float_, None, ge=0, called="memoryOvercommit",
        doc="Factor on the memory that is left; 1 if not given, on the test driver no limit.",
    )  # fmt: skip
    cpu_overcommit = attr(
        float_, None, ge=0, called="cpuOvercommit",
        doc="Factor on the CPUs that are left; 4 if not given, on the test driver no limit.",
    )  # fmt: skip
    disk_overcommit = attr(
        float_, 1.0, ge=0, called="diskOvercommit",
        doc="Factor on the free space that volumes may be promised, as long as they have not taken it.",
    )  # fmt: skip
    max_domains = attr(
        int_,
        0,
        ge=0,
        doc="Most machines of ours at its hypervisor; 0: no limit.",
        called="maxDomains",
    )
    max_parallel_creates = attr(
        int_, 4, ge=1, doc="Most machines being started at a time.",
        called="maxParallelCreates",
    )  # fmt: skip
    max_parallel_image_writes = attr(
        int_, 2, ge=1, called="maxParallelImageWrites",
        doc="Most volumes being filled from an image, or packed into one, at a time.",
    )  # fmt: skip
    maintenance = attr(bool_, False, doc="Take no new machines; those there go on.")
    labels = attr(strings, (), doc="Words that stand for what it has, for placement.")
    zone = attr(str_, "", doc="Where it stands, in the words of the site; one of its facts.")
    power_idle = attr(
        float_,
        0.0,
        ge=0,
        doc="Watts it takes with nothing to do; 0: not known.",
        called="powerIdle",
    )
    power_max = attr(
        float_, 0.0, ge=0, doc="Watts it takes when all its CPUs are busy; 0: not known.",
        called="powerMax",
    )  # fmt: skip
    price_per_hour = attr(
        float_, 0.0, ge=0, doc="What an hour of it costs, in the site's currency.",
        called="pricePerHour",
    )  # fmt: skip
    reliability = attr(
        float_, 1.0, ge=0, le=1, doc="How likely it is to stay up, as a share of time."
    )
    orphan_policy = attr(
        str_, "report", choices=("report", "remove"), called="orphanPolicy",
        doc="What becomes of domains with our record whose component does not exist; volumes, pools "
        "and networks are told of only.",
    )  # fmt: skip
    orphan_grace = attr(
        duration_s, 3600, doc="Seconds a domain must have been one before it is removed.",
        called="orphanGrace",
    )  # fmt: skip
    look_period = attr(
        duration_s, 15, ge=0.05, doc="Seconds between looks at the hypervisor.", called="lookPeriod"
    )
    hypervisorVersion = output(
        str, doc="Driver and versions of the hypervisor, once it has been asked."
    )
    state = output(str, doc="up, degraded, maintenance or unreachable.")
    capacity = output(Description, doc="CPUs, and bytes of memory, that there are, as data.")
    reserved_now = output(
        Description,
        called="reserved",
        doc="CPUs and bytes that machines have reserved, as data; with those they may have in all.",
    )
    used = output(Description, doc="Bytes of memory in use on the host, as data.")
    domains = output(Vector, doc="Complete names of the machines of ours.")
    orphans = output(
        Vector, doc="Domains, networks, volumes and storage pools with our record whose component does "
        "not exist.",
    )  # fmt: skip
    facts = output(
        Vector, doc="What was found on the host, as name=value: arch, cpu, hypervisor, kvm, storage, "
        "network, zone.",
    )  # fmt: skip

    def __init__(self) -> None:
        """Have looked at nothing yet."""
        self._uri = ""
        self._given = False
        self._since: dict[Orphan, float] = {}

    @property
    @override
    def work_folder(self) -> Path:
        return expanded(self.work_dir) if self.work_dir else super().work_folder

    @override
    async def on_deploy(self) -> None:
        if 0 < self.power_max < self.power_idle:
            raise BadDescription(
                f"powerMax {self.power_max:g} is less than powerIdle {self.power_idle:g}",
                code="SF-ADM-005", where=self.path, hint="both are in watts",
            )  # fmt: skip
        if not await self.run_blocking(writable, self.work_folder):
            raise Refused(
                f"workDir {self.work_folder} is no folder that can be written to, or made",
                code="SF-ADM-006", where=self.path, hint="name another one, or make it",
            )  # fmt: skip
        await self._begin()

    @override
    async def on_started(self) -> None:
        self.spawn(self._look_on())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self._begin()
        self.spawn(self._look_on())

    @on_change("maintenance")
    async def maintain(self, old: object, new: bool) -> None:  # noqa: FBT001 - an attribute's value
        """Say at once that no new machines are taken, or that they are again."""
        del old, new
        self._say_state(reachable=self.state != UNREACHABLE)

    async def _begin(self) -> None:
        above = await self.above("hypervisorUri")
        self._uri = await uri_for(self, self.hypervisor_uri)
        self._given = bool(self.hypervisor_uri or above or self.settings.hypervisor_uri)
        if self._given:
            await self._look(await self.service(HypervisorPool).get(self._uri), orphans=False)
        self._say_state(reachable=True)
        await self._count()

    # -- looking on

    async def _look_on(self) -> None:
        await self.live.process.recovered.wait()
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            await self._count()
            hypervisor = self._hypervisor()
            if hypervisor is not None and loop.time() >= due_s:
                await self._look_once(hypervisor)
                due_s = loop.time() + self.look_period
            await self.sleep(min(COUNT_S, self.look_period))

    def _hypervisor(self) -> Hypervisor | None:
        """Return the hypervisor, if it was asked for yet: a host without machines may have none."""
        return self.service(HypervisorPool).hypervisors.get(self._uri)

    async def _look_once(self, hypervisor: Hypervisor) -> None:
        try:
            await self._look(hypervisor, orphans=True)
        except HypervisorError as error:
            if error.kind not in {"Unreachable", "Timeout"}:
                self.note(f"the hypervisor cannot be looked at: {error.message}", "warning")
            self._say_state(reachable=False)
        else:
            self._say_state(reachable=True)

    async def _look(self, hypervisor: Hypervisor, *, orphans: bool) -> None:
        version, node = await hypervisor.version(), await hypervisor.node()
        self.hypervisorVersion = f"{version.driver} {version.hypervisor}, libvirt {version.library}"
        known = await self.service(Reservations).capacity(hypervisor)
        self.capacity = _data(cpus=node.cpus, memory=Long(node.memory_bytes))
        if node.free_bytes is not None and not known.invented:
            self.used = _data(memory=Long(node.memory_bytes - node.free_bytes))
        networks = await hypervisor.networks.facts()
        names = sorted(one.name for one in networks if one.active)
        local = is_local(self._uri) and not known.invented
        storage = await self.run_blocking(lambda: list(storage_here())) if local else []
        self.facts = Vector(facts_of(version, node, names, storage, self.zone))
        if orphans:
            await self._look_for_orphans(hypervisor)

    async def _count(self) -> None:
        reservations = self.service(Reservations)
        held = reservations.at(self._uri)
        self.domains = Vector(tuple(sorted(held)))
        hypervisor = self._hypervisor()
        if hypervisor is None:
            return
        capacity = await reservations.capacity(hypervisor)
        self.reserved_now = reserved_of(tuple(held.values()), capacity, self._rules())

    def _rules(self) -> Rules:
        bound = self.live.bound
        return Rules(**{field: bound[name] for name, (field, _) in LIMITS.items()})  # type: ignore[arg-type] # of these kinds

    def _say_state(self, *, reachable: bool) -> None:
        hypervisor = self._hypervisor()
        if not reachable:
            self.state = UNREACHABLE
        elif self.maintenance:
            self.state = "maintenance"
        else:
            degraded = hypervisor is not None and hypervisor.state is not Line.CONNECTED
            self.state = "degraded" if degraded else "up"

    # -- orphans

    async def _look_for_orphans(self, hypervisor: Hypervisor) -> None:
        process = self.live.process
        found = await hypervisor.facts()
        suspects = suspects_among(found, process.community, process.daemon_id)
        orphans = orphans_among(found, await known_to(process, suspects))
        now_s = asyncio.get_running_loop().time()
        self._since = {each: self._since.get(each, now_s) for each in orphans}
        if self.orphan_policy == "remove":
            for orphan, since_s in list(self._since.items()):
                if now_s - since_s >= self.orphan_grace and await remove(
                    hypervisor, orphan, process
                ):
                    del self._since[orphan]
                    self.note(f"removed domain {orphan.line()}: it had no component", "warning")
        lines = [each.line() for each in self._since]
        lines += [each.line() for each in await self._leftovers(hypervisor)]
        self.orphans = Vector(tuple(lines))

    async def _leftovers(self, hypervisor: Hypervisor) -> list[Leftover]:
        process = self.live.process
        known = await known_to(process, ())
        left = list(networks_left(await hypervisor.networks.facts(), known))
        if not process.subprocesses.addresses:  # what those have made is for them to say
            for folder in {self.work_folder, process.work_folder}:
                left += await self.run_blocking(lambda at=folder: list(files_left(at, known)))
        return sorted(left, key=Leftover.line)


def reserved_of(held: tuple[Demand, ...], capacity: Capacity, rules: Rules) -> Description:
    """Return what machines have reserved, and may in all where there is a limit, as data."""
    memory, cpus = room(capacity, rules)
    limits: dict[str, Value] = {}
    if memory is not None:
        limits["memoryLimit"] = Long(round(memory))
    if cpus is not None:
        limits["cpusLimit"] = cpus
    total = Long(sum(each.memory_bytes for each in held))
    return _data(cpus=sum(each.vcpus for each in held), memory=total, **limits)


def _data(**values: Value) -> Description:
    return Description(tuple(values.items()), data=True)
