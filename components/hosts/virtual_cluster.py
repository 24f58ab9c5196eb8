"""`VirtualCluster`: like machines by number, started, scaled, renewed and ended as one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from typing_extensions import override

from components.hosts.housing import Housing
from components.hosts.membership import START, Membership, OnFailure, Order
from components.hosts.places import Placement
from components.hosts.waves import waves_kind
from components.networks.ip_pool import IpPool
from components.reporting import Reporting
from engine.compound import Compound
from engine.core.diff import same
from engine.core.faults import (
    BadDescription,
    EngineError,
    Fault,
    HookFailed,
    NotFound,
    Refused,
)
from engine.core.flows import Asked, Flow
from engine.core.lifecycle import Phase
from engine.core.records import Record
from engine.core.supervision import Backoff, Budget
from engine.runtime.attributes import attr, exposed, link, on_change, output
from engine.runtime.effects import Effect
from engine.runtime.foresight import look_over
from engine.runtime.kinds import BadValueError, bool_, duration_s, int_, shown, str_, strings
from engine.runtime.kinds import Kind as ValueKind
from engine.runtime.phases import together
from engine.wire.messages import Change, Handle, as_tree
from sfdl.values import Description, Part, PartKind, Reference, Value, Vector

TEMPLATE = "template"
MOST_MEMBERS = 100_000
LOOK_S, LOOK_AGAIN_S = 1.0, 15.0
"""Seconds between looks at addresses, while some are not known, and once all are."""
READY_LOOK_S = 0.02
THE_CLUSTERS_POOL = Reference((Part(PartKind.PARENT), Part(PartKind.HERE, "ipPool")), lazy=True)
"""What a member without an `ipPool` of its own refers to."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\{i(:0?\d{1,2})?\}[A-Za-z0-9_-]*")


def _pattern(value: Value) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value) and not value.startswith("sf"):
        return value
    raise BadValueError(
        f'must be a name with {{i}} for the number, such as "wn{{i:03}}" (got {shown(value)})'
    )


name_pattern = ValueKind("name with {i}", "String", _pattern)
"""Names of numbered members: letters, digits, - and _, and once `{i}`, which may say how many digits."""


class VirtualCluster(Reporting, Compound, type="vm.cluster"):
    """A number of like machines, made from `template`, and named ones beside them.

    All members are made and have reserved what they need before the first one starts. Their number
    may be changed while it runs (`sfset HOST pool:count 5`): the newest go first. A change of the
    template by `sfupdate` renews the members in turn.

    Example:
        workers extends VirtualCluster {
            count 3; namePattern "wn{i:02}"; startOrder "waves:2"; onMemberFailure "replace";
            template extends VM { diskless true; memory 64; }
        }

    Errors:
        SF-POOL-001: no `template`, or one that is no component
        SF-POOL-002: minReady, placement or names contradict each other
        SF-POOL-003: fewer members than `minReady` could be started, or became ready in time
        SF-POOL-004: none of the `hosts` takes a member; each is listed with its reason
        SF-POOL-005: a host that answers was said to be off
    """

    creates_children = True
    reserved: ClassVar[dict[str, Value]] = {
        "sfReadyWhen": "signal", "sfDeployTimeout": 900, "sfStartTimeout": 3600,
        "sfTerminateTimeout": 900,
    }  # fmt: skip

    cluster_name = attr(str_, "", doc="Its name for people; that of the component if empty.",
                        called="clusterName")  # fmt: skip
    count = attr(
        int_, 1, ge=0, le=MOST_MEMBERS, doc="How many numbered members; may be changed any time.",
        tags=frozenset({"updatable"}),
    )  # fmt: skip
    name_pattern = attr(
        name_pattern, "wn{i:03}", called="namePattern",
        doc="What they are called: {i} is the number from 1, {i:03} writes it with three digits.",
    )  # fmt: skip
    start_order = attr(
        waves_kind, "parallel", called="startOrder",
        doc="parallel, sequential, or waves:N: the next N once those before have started.",
    )  # fmt: skip
    min_ready = attr(
        int_, None, ge=0, called="minReady",
        doc="The start succeeds when so many are ready; all of them if not given.",
    )  # fmt: skip
    ready_timeout = attr(
        duration_s, 900, doc="Seconds they have for that once all were started.",
        called="readyTimeout",
    )  # fmt: skip
    on_member_failure = attr(
        str_, "terminate", choices=tuple(each.value for each in OnFailure),
        doc="When a member has ended abnormally: end all, start it anew, or go on without it.",
        called="onMemberFailure",
    )  # fmt: skip
    replace_delay = attr(
        duration_s, 1, doc="Seconds before it is started anew; doubled each time in a row.",
        called="replaceDelay",
    )  # fmt: skip
    replace_limit = attr(
        int_, 10, ge=0, doc="Replacements within replaceWindow; one more ends the cluster.",
        called="replaceLimit",
    )  # fmt: skip
    replace_window = attr(duration_s, 600, doc="Seconds over which replacements are counted.",
                          called="replaceWindow")  # fmt: skip
    all_or_nothing = attr(
        bool_, False, doc="Fail if a single member cannot be had, whatever minReady says.",
        called="allOrNothing",
    )  # fmt: skip
    ip_pool = link(
        IpPool, required=False, called="ipPool",
        doc="Where numbered members get their addresses, unless the template says so itself.",
    )  # fmt: skip
    hosts = attr(
        strings, (), tags=frozenset({"updatable"}),
        doc="Hosts members may be on; that of the cluster if empty. Members on one that is taken "
        "off the list while it runs end and are started on another, maxUnavailable at a time.",
    )  # fmt: skip
    hosts_off = attr(
        strings, (), called="hostsOff", tags=frozenset({"updatable"}),
        doc="Hosts that somebody has made sure are off: what was on them is made elsewhere. Without "
        "this a machine that may still run where nobody answers is not made a second time.",
    )  # fmt: skip
    placement = attr(
        str_, "spread", choices=tuple(each.value for each in Placement),
        doc="Which host is tried first: with fewest members, the first, or the next in turn.",
    )  # fmt: skip
    max_unavailable = attr(
        int_, 1, ge=1, doc="Most members down at a time while they are renewed.",
        called="maxUnavailable", tags=frozenset({"updatable"}),
    )  # fmt: skip
    members = output(Vector, doc="Names of the members that are there.")
    ready = output(int, doc="How many of them are ready.")
    addresses = output(Vector, doc="Their addresses, as far as they are known.")
    hostsFile = output(str, doc="Addresses and names as lines of /etc/hosts.")

    def __init__(self) -> None:
        """Have no members yet."""
        self._bringing = False
        self._failed: dict[str, Fault] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self.housing = Housing(self)
        self._poke = asyncio.Event()
        self._known: dict[str, tuple[str, str]] = {}

    # -- who is what

    def _named(self) -> tuple[str, ...]:
        return tuple(name for name, _ in children_of(self.live.description) if name != TEMPLATE)

    def _numbered(self, count: int) -> tuple[str, ...]:
        return self.order().wanted(count)[len(self._named()) :]

    def order(self) -> Order:
        """Return how it looks after its members."""
        return Order(
            self._named(), self.name_pattern, OnFailure(self.on_member_failure),
            Budget(self.replace_limit, self.replace_window), Backoff(first_s=self.replace_delay),
            self.max_unavailable,
        )  # fmt: skip

    @property
    def _least(self) -> int:
        every = len(self._named()) + self.count
        if self.all_or_nothing or self.min_ready is None:
            return every
        return min(self.min_ready, every)

    @override
    def made_with(self) -> frozenset[str]:
        return frozenset(self._named())

    @override
    def dormant(self) -> frozenset[str]:
        return frozenset(self._numbered(self.count)) if self._bringing else frozenset()

    @override
    def optional(self) -> frozenset[str]:
        return frozenset(self.live.children)

    @override
    def make_flow(self) -> Flow[Any]:
        return Membership(self.count, self.order())

    # -- coming up

    @override
    async def on_deploy(self) -> None:
        self._check()
        self._bringing = True
        names = self._numbered(self.count)
        await self._all(names, self._deploy, 1 if self.placement == "pack" else 0)

    def _check(self) -> None:
        template = self.live.value(TEMPLATE)
        if not isinstance(template, Description) or template.get("sfClass") is None:
            raise BadDescription(
                "template must be a component description", code="SF-POOL-001", where=self.path,
                hint="write template extends VM { ... } inside it",
            )  # fmt: skip
        look_over(template, f"{self.path}:{TEMPLATE}", self.live.process.types)
        every = len(self._named()) + self.count
        if self.min_ready is not None and self.min_ready > every:
            raise BadDescription(
                f"minReady {self.min_ready} is more than the {every} members there are",
                code="SF-POOL-002", where=self.path,
            )  # fmt: skip
        if template.get("sfProcessHost") is not None and self.hosts:
            raise BadDescription(
                "template names a host, and hosts are given as well", code="SF-POOL-002",
                where=self.path, hint="leave one of them out",
            )  # fmt: skip
        for name in self._numbered(self.count):
            self._check_free(name)

    def _check_free(self, name: str) -> None:
        if name in self.live.description.names():
            raise BadDescription(
                f"{name} is a member by namePattern, and something else in the description",
                code="SF-POOL-002", where=self.path, hint="choose another namePattern",
            )  # fmt: skip

    async def _all(
        self, names: tuple[str, ...], act: Callable[[str], Awaitable[None]], at_once: int
    ) -> None:
        """Do something about members, and bear as many failures as can be borne.

        Raises:
            EngineError: As the one that was too many.
        """

        async def one(name: str) -> None:
            try:
                await act(name)
            except EngineError as error:
                self._failed[name] = error.fault
                self.last_error = f"{name}: {error.fault.message}"
                text = f"{name} is left out: {error.fault.message}"
                every = len(self._named()) + self.count
                if every - len(self._failed) < self._least:
                    raise
                self.live.process.write_fate(self.live, name, "dropped", None)
                self.note(text, "warning")

        await together([lambda name=name: one(name) for name in names], at_once)  # type: ignore[misc] # bound now

    async def _deploy(self, name: str) -> None:
        """Make a member and have it reserve what it needs, on the first host that takes it."""
        await self.housing.bring(
            name,
            lambda host: self.create_child(name, self._described(name, host), upto="deployed"),
        )

    def _described(self, name: str, host: str) -> Description:
        """Return what a member is made from."""
        if name in self._named():
            return self._description(name)
        more: list[tuple[str, Value]] = [("index", self.order().number(name))]
        if host:
            more.append(("sfProcessHost", host))
        template = self._description(TEMPLATE)
        if self.ip_pool.given and template.get("ipPool") is None:
            more.append(("ipPool", THE_CLUSTERS_POOL))
        return template.overlaid(tuple(more))

    def _description(self, name: str) -> Description:
        found = self.live.description.get(name)
        if not isinstance(found, Description):
            raise BadDescription(f"{name} is no component", where=self.path)
        return found

    @override
    async def on_started(self) -> None:
        names = tuple(name for name in self._numbered(self.count) if name in self.live.children)
        for wave in self.start_order.of(names):
            await self._all(wave, self._start, 0)
        await self._until_ready()
        self._bringing = False
        self.spawn(self._look_on())

    async def _start(self, name: str) -> None:
        await self.live.nursery.step(name, self._description(TEMPLATE), Phase.START)

    async def _until_ready(self) -> None:
        """Wait until so many members are ready as are to be.

        Raises:
            HookFailed: They are not in time, or too many have ended.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.ready_timeout
        while self._count() < self._least:
            if loop.time() >= until_s:
                raise HookFailed(
                    f"{self._count()} members are ready after {self.ready_timeout:g} s, "
                    f"and {self._least} are to be",
                    code="SF-POOL-003", where=self.path,
                    hint="sfevents shows what they wait for; readyTimeout gives them longer",
                )  # fmt: skip
            await asyncio.sleep(READY_LOOK_S)

    def _count(self) -> int:
        return sum(child.ready and not child.state.ended for child in self.live.children.values())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for name in self.live.children:
            found = self.live.value(name)
            host = found.get("sfProcessHost") if isinstance(found, Description) else None
            if isinstance(host, str):
                self.housing.where[name] = host
        self.spawn(self._look_on())

    # -- while it runs

    @on_change("count")
    async def _rescale(self, old: object, new: int) -> None:
        del old
        for number in range(1, new + 1):
            self._check_free(self.name_pattern.format(i=number))
        self.tell(Asked("count", new))

    @exposed()
    async def scale(self, count: int) -> None:
        """Have so many numbered members from now on.

        Args:
            count: How many; the newest go first.
        """
        changes = (Change("count", "replace", as_tree(count)),)
        await self.live.process.changer.change(self.live, changes)

    @on_change("hosts")
    async def _leave(self, old: object, new: tuple[str, ...]) -> None:
        del old
        where = self.housing.where
        self.tell(Asked("move", tuple(name for name, at in where.items() if at and at not in new)))

    @on_change("hostsOff")
    async def _gone(self, old: object, new: tuple[str, ...]) -> None:
        del old
        for host in new:
            await self.housing.check_off(host)
        self.tell(Asked("again"))

    @override
    async def perform(self, step: str) -> Record:
        name = step.removeprefix(START)
        try:
            async with self._turn(name):
                await self.housing.bring(
                    name,
                    lambda host: self.live.nursery.start(
                        name, self._described(name, host), fresh=True
                    ),
                )
        except EngineError as error:
            self.last_error = f"{name}: {error.fault.message}"
            raise
        finally:
            self._poke.set()
        return Record.normal()

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        async with self._turns.setdefault(name, asyncio.Lock()):
            yield

    async def _look_on(self) -> None:
        """Keep readiness and what is published up to date."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        seen: tuple[object, ...] = ()
        while True:
            now = tuple((name, child.ready) for name, child in self.live.children.items())
            if now != seen or loop.time() >= due_s:
                seen = now
                await self._publish()
                complete = len(self._known) == len(self.live.children)
                due_s = loop.time() + (LOOK_AGAIN_S if complete else LOOK_S)
            self.set_ready(self._count() >= self._least)
            self._poke.clear()
            try:
                async with asyncio.timeout(0.2):
                    await self._poke.wait()
            except TimeoutError:
                continue

    async def _publish(self) -> None:
        here = {name: child for name, child in self.live.children.items() if not child.state.ended}
        self.members = Vector(tuple(here))
        self.ready = self._count()
        self._known = {}
        for name in here:
            address = await self._read(name, "address")
            if address:
                self._known[name] = (address, await self._read(name, "hostname") or name)
        self.addresses = Vector(tuple(address for address, _ in self._known.values()))
        lines = [f"{address}\t{host}" for address, host in self._known.values()]
        self.hostsFile = "".join(f"{line}\n" for line in lines)

    async def _read(self, name: str, attribute: str) -> str:
        """Return an attribute of a member, wherever it is; nothing if it has none."""
        parts = (Part(PartKind.HERE, name), Part(PartKind.HERE, attribute))
        try:
            found: Value | Handle = await self.live.process.resolver.resolve(
                self.live, Reference(parts, lazy=True)
            )
        except (NotFound, EngineError):
            return ""
        return found if isinstance(found, str) else ""

    # -- being renewed

    @override
    async def check_update(self, new: Mapping[str, Value]) -> bool:
        names = {name for name, value in new.items() if _is_component(value)} - {TEMPLATE}
        added = sorted(names - set(self._named()))
        if added:
            raise Refused(
                f"{added[0]} would be a new member beside the template", where=self.path,
                hint="start it with sfstart --parent, or raise count",
            )  # fmt: skip
        return True

    @override
    async def on_update_started(self) -> None:
        """Renew members whose template has changed, some at a time, each ready before the next."""
        names = self._numbered(self.count)
        stale = [name for name in names if self._is_stale(name)]
        settle_s = self.live.number("sfMinReadyTime", 10.0)
        for first in range(0, len(stale), self.max_unavailable):
            batch = stale[first : first + self.max_unavailable]
            self.progress(first / len(stale), f"renewing {', '.join(batch)}")
            await together([lambda name=name: self._renew(name, settle_s) for name in batch])  # type: ignore[misc] # bound now

    def _is_stale(self, name: str) -> bool:
        now = self.live.changes.get(name)
        if name not in self.live.children or not isinstance(now, Description):
            return False
        return not same(now, self._described(name, self.housing.where.get(name, "")))

    async def _renew(self, name: str, settle_s: float) -> None:
        async with self._turn(name):
            nursery = self.live.nursery
            await nursery.end(name, Record.normal("replaced by an update"), again=True)
            self.housing.where.pop(name, None)
            await self.housing.bring(
                name,
                lambda host: nursery.start(name, self._described(name, host), settle_s=settle_s),
            )


class Pool(VirtualCluster, type="vm.pool"):
    """A `VirtualCluster` by its shorter name."""


def children_of(description: Description) -> list[tuple[str, Description]]:
    """Return the component descriptions in a description, in order."""
    return [
        (name, value)
        for name, value in description.attributes
        if isinstance(value, Description) and not value.data
    ]


def _is_component(value: Value) -> bool:
    return isinstance(value, Description) and not value.data
