"""Places asked for at run time: `Scheduler`, `Schedulee`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from components.workflow.places import POLICIES, Book, Decision, Demand, Place
from engine.compound import Compound
from engine.core.decoding import from_json
from engine.core.faults import BadDescription, EngineError, NotFound, Refused
from engine.core.flows import ChildEnded, Do, Finish, Flow, Happening, StartChild, StartFailed
from engine.core.lifecycle import State
from engine.core.records import LIVENESS_FAILURE, Record
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, link, output
from engine.runtime.conditions import path
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, Kind, bool_, duration_s, int_, plain, shown, str_
from engine.wire.messages import Handle
from sfdl.values import Description, Kept, Reference, Value, Vector

AUTO = "auto"
BOOK = "sfPlaces"
"""Attribute of a scheduler that keeps over a restart what it has given out."""
ROUND_S = 10.0
"""Seconds one call for a place waits at most; who waits longer asks again."""


def _names(value: Value) -> tuple[str, ...]:
    if isinstance(value, Vector) and all(isinstance(each, str) for each in value.items):
        return tuple(str(each) for each in value.items)
    raise BadValueError(f"must be a list of words (got {shown(value)})")


def _hosts(value: Value) -> tuple[str, ...]:
    if value == AUTO:
        return (AUTO,)
    found = plain(value)
    if isinstance(found, tuple) and found and all(isinstance(each, str) and each for each in found):
        return tuple(str(each) for each in found)
    raise BadValueError(f'must be a list of hosts, at least one, or "{AUTO}" (got {shown(value)})')


def _groups(value: Value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value else _names(value)


hosts_kind = Kind(f'list of hosts or "{AUTO}"', "anyClass", _hosts)
groups = Kind("word or list of words", "anyClass", _groups)


class Ticket(msgspec.Struct, frozen=True):
    """A place that is reserved: on which host, under which id it is given back, until when (seconds
    since 1970) unless it is committed.
    """  # noqa: D205 - one sentence

    host: str
    id: str
    expires_s: float


class Scheduler(Prim, type="flow.scheduler"):
    """Gives out places on hosts, one decision after the other, and can tell why it decided so.

    A place that is not committed in time is free again. What it has given out outlives a restart.

    Example:
        scheduler extends Scheduler { hosts [|"host1", "host2", "host3"|]; limit 10; }

    Errors:
        SF-SCHED-001: No host has room; the message says of each host why not.
    """

    hosts = attr(
        hosts_kind, fresh=True,
        doc='Daemons there are; a LAZY reference to such a list, or to a component with one under this '
        'name; or "auto": all that this daemon knows.',
    )  # fmt: skip
    policy = attr(
        str_, "roundrobin", choices=POLICIES,
        doc="Which of the hosts that fit: each in turn, the first, the one with fewest places, or any.",
    )  # fmt: skip
    limit = attr(int_, 0, ge=0, doc="Most places on each host; 0 is no limit.")
    ttl = attr(
        duration_s, 300, doc="Seconds a place holds that nobody commits.", called="reservationTtl"
    )
    retries = attr(int_, 2, ge=0, doc="Other hosts that are tried after a failed deployment.")
    retry_delay = attr(duration_s, 5, doc="Seconds before each of them.", called="retryDelay")
    exclude_time = attr(
        duration_s, 300, doc="Seconds a host is left out after a failure.", called="excludeTime"
    )
    queue = attr(bool_, True, doc="Those who ask to wait may wait.")
    queue_timeout = attr(duration_s, 600, doc="Seconds they wait at most.", called="queueTimeout")
    reserved_places = output(int, doc="Places given out now.")
    waiting = output(int, doc="How many wait for a place.")

    def __init__(self) -> None:
        """Have given out nothing yet."""
        self._known: Book | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def book(self) -> Book:
        """Return what has been given out."""
        if self._known is None:
            self._known = Book(self.policy, self.limit, self.ttl, self.live.id)
            kept = self.live.value(BOOK)
            if isinstance(kept, str):
                self._known.places = from_json(kept, dict[str, Place])
        return self._known

    @exposed()
    async def reserve(self, demand: Demand, wait_s: float) -> Ticket:
        """Reserve a place for a component; asking again gives the same place.

        Args:
            demand: For whom, and what is asked of the host.
            wait_s: Seconds to wait for one, at most 10 in one call; 0 does not wait.

        Raises:
            Refused: No host has room; the message says of each why not.
        """
        decision = await self._decide(demand)
        if not decision.host and wait_s > 0 and self.queue:
            await self._wait(min(wait_s, ROUND_S))
            decision = await self._decide(demand)
        if not decision.host:
            text = f"no host for {decision.sentence()}"
            raise Refused(text, code="SF-SCHED-001", where=self.path)
        return Ticket(decision.host, demand.name, self.book.places[demand.name].expires_s)

    async def _decide(self, demand: Demand) -> Decision:
        decision = self.book.reserve(demand, await self._all_hosts(), self.live.process.wall_s())
        self._changed()
        return decision

    async def _all_hosts(self) -> tuple[str, ...]:
        resolver = self.live.process.resolver
        found = await resolver.settle(self.live, self.live.value("hosts"))
        if isinstance(found, Handle):
            found = await resolver.resolve(self.live, path("hosts", "hosts"))
        try:
            hosts = hosts_kind.read(None if isinstance(found, Handle) else found)
        except BadValueError as error:
            raise BadDescription(f"hosts {error}", code="SF-ATTR-001", where=self.path) from None
        if hosts == (AUTO,):
            return tuple(sorted({self.settings.node, *self.settings.peers}))
        return hosts

    async def _wait(self, most_s: float) -> None:
        """Wait until a place is given back, becomes free by itself, or the time is over."""
        next_s = self.book.next_change_s()
        if next_s is not None:
            most_s = min(most_s, max(next_s - self.live.process.wall_s(), 0.0) + 0.01)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.waiting = len(self._waiters)
        try:
            await asyncio.wait({waiter}, timeout=most_s)
        finally:
            self._waiters.remove(waiter)
            self.waiting = len(self._waiters)

    def _changed(self) -> None:
        self.reserved_places = len(self.book.places)
        kept = msgspec.json.encode(self.book.places).decode()
        self.live.process.keep_attribute(self.live, BOOK, kept)

    @exposed()
    async def commit(self, id_: str) -> None:
        """Say that a place is in use: it holds until it is given back.

        Raises:
            NotFound: It has expired, or there never was one.
        """
        if not self.book.commit(id_):
            raise NotFound(f"{id_} has no place; reserve one", where=self.path)
        self._changed()

    @exposed()
    async def claim(self, demand: Demand, host: str) -> None:
        """Take note of a place that is in use, after a restart."""
        self.book.claim(demand, host)
        self._changed()

    @exposed()
    async def release(self, id_: str) -> None:
        """Take a place back; who waits longest is woken."""
        self.book.release(id_)
        self._changed()
        for waiter in [each for each in self._waiters if not each.done()][:1]:
            waiter.set_result(None)

    @exposed()
    async def failed(self, id_: str, host: str) -> None:
        """Take a place back because its host could not be used, and leave that out for a while.

        Returns after `retryDelay`, when another host may be asked for.
        """
        self.book.excluded[host] = self.live.process.wall_s() + self.exclude_time
        await self.release(id_)
        await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=self.retry_delay)

    @exposed()
    async def patience(self) -> list[float]:
        """Return how long one may wait, in seconds, and how often try another host."""
        return [self.queue_timeout if self.queue else 0.0, self.retries]

    @exposed()
    async def place(self, name: str, avoid: list[str]) -> str:
        """Move a component's place to another host, and return that."""
        known = self.book.places.get(name)
        demand = known.demand if known is not None else Demand(name)
        moved = msgspec.structs.replace(demand, avoid=tuple(avoid), pinned="")
        ticket = await self.reserve(moved, 0.0)
        await self.commit(ticket.id)
        return ticket.host

    @exposed(role="viewer")
    async def explain(self, name: str) -> str:
        """Say what was decided last about a component, and why."""
        found = [each for each in self.book.decisions if each.name == name]
        return found[-1].sentence() if found else f"nothing was decided about {name}"


class Replacing:
    """Shares the children's fate, but starts one anew whose host was lost."""

    def __init__(self, *, again: bool) -> None:
        """Say whether to start those anew."""
        self._again = again

    def begin(self, children: Mapping[str, State]) -> tuple[None, tuple[Do, ...]]:
        """Have nothing to do."""
        del children
        return None, ()

    def on(self, state: None, what: Happening, now_s: float) -> tuple[None, tuple[Do, ...]]:
        """Pass an end on, or start anew."""
        del now_s
        match what:
            case ChildEnded(child, record) if self._again and record.type == LIVENESS_FAILURE:
                return state, (StartChild(child),)
            case ChildEnded(_, record) | StartFailed(_, record):
                return state, (Finish(record),)
            case _:
                return state, ()


class Schedulee(Compound, type="flow.schedulee"):
    """Has its scheduler say on which host each child is made, and gives the places back at its end.

    All places are reserved, and all children created and deployed, before any of them starts. A child
    that names its own `sfProcessHost` stays there, and its place counts. Children without a name are
    called after their parent, with a number. Like any compound it shares its children's fate.

    Example:
        farm extends Schedulee {
            scheduler LAZY ATTRIB other;
            count 3;
            -- extends Compound;
        }

    Errors:
        SF-SCHED-001: No host has room for a child; the message says of each host why not.
    """

    creates_children = True
    reserved: ClassVar[dict[str, Value]] = {"sfDeployTimeout": 700}
    scheduler = link(Scheduler, doc="Who gives out places.")
    count = attr(int_, 1, ge=0, le=100_000, doc="Copies of each child without a name.")
    gang = attr(bool_, False, doc="All children find a place, or none is made.")
    spread = attr(bool_, False, doc="Prefer hosts with the fewest of these children.")
    apart = attr(
        groups, None, doc="Groups whose members are never on the same host.", called="antiAffinity"
    )
    beside = attr(groups, None, doc="Groups whose members are all on one host.", called="affinity")
    on_no_host = attr(
        str_, "fail", choices=("fail", "wait", "skip"), called="onNoHost",
        doc="What if there is no place: fail the deployment, wait for one, or leave the child out.",
    )  # fmt: skip
    reschedule = attr(bool_, True, doc="A child that is lost with its host is made elsewhere.")
    placements = output(str, doc="Where the children are: name=host, separated by blanks.")

    @override
    async def on_deploy(self) -> None:
        self._publish({})
        children = dict(self._wanted())
        places: dict[str, str] = {}
        for name, child in children.items():
            host = await self._reserved(name, child, ())
            if host:
                self._publish(places := {**places, name: host})
        if self.gang and len(places) < len(children):
            await self._give_back()
            return
        for name in places:
            await self._deployed(name, children[name])

    def _wanted(self) -> Iterator[tuple[str, Description]]:
        """Give the children to be, copies of those without a name included."""
        number = 0
        for name, child in self.live.child_descriptions():
            if not name.startswith("--"):
                yield name, child
                continue
            for _ in range(self.count):
                number += 1
                yield f"{self.name}-{number}", child

    def _demand(self, name: str, child: Description | None, avoid: tuple[str, ...]) -> Demand:
        own = child.get("sfProcessHost") if child is not None else None
        pinned = own if isinstance(own, str) else ""
        return Demand(
            f"{self.path}:{name}", avoid, self.apart or (), self.beside or (), self.spread, pinned
        )

    async def _reserved(self, name: str, child: Description, avoid: tuple[str, ...]) -> str:
        """Return the host for a child; nothing if there is none and it may be left out."""
        demand = self._demand(name, child, avoid)
        wait_s = (await self.scheduler.api.patience())[0] if self.on_no_host == "wait" else 0.0
        rounds = max(1, round(wait_s / ROUND_S))
        for attempt in range(1, rounds + 1):
            try:
                return (await self.scheduler.api.reserve(demand, wait_s)).host
            except Refused:
                if self.on_no_host == "skip":
                    self.note(f"{name} is left out: there is no host for it", "warning")
                    return ""
                if attempt == rounds:
                    raise
        return ""

    async def _deployed(self, name: str, child: Description) -> None:
        """Create and deploy a child, on another host where that fails, as often as may be."""
        retries = round((await self.scheduler.api.patience())[1])
        own = isinstance(child.get("sfProcessHost"), str | Reference | Kept)
        tried: tuple[str, ...] = ()
        for attempt in range(retries + 1):
            host = self._places()[name]
            extra = {} if own else {"sfProcessHost": host}
            try:
                await self.create_child(name, child, extra, upto="deployed")
            except EngineError as error:
                if own or attempt == retries:
                    raise
                tried = (*tried, host)
                self.note(f"{name} could not be deployed on {host}: {error}", "warning")
                await self.scheduler.api.failed(f"{self.path}:{name}", host)
                again = await self._reserved(name, child, tried)
                if not again:
                    raise
                self._publish({**self._places(), name: again})
            else:
                await self.scheduler.api.commit(f"{self.path}:{name}")
                return

    @override
    def make_flow(self) -> Flow[Any]:
        return Replacing(again=self.reschedule)

    @override
    async def place_child(self, name: str, description: Description) -> Mapping[str, Value]:
        lost = await self.lost_on(name)
        if not lost:
            return {}
        host = await self.scheduler.api.place(f"{self.path}:{name}", [lost])
        self._publish({**self._places(), name: host})
        self.note(f"{name} goes to {host}: {lost} does not answer", "warning")
        return {"sfProcessHost": host}

    def _publish(self, places: Mapping[str, str]) -> None:
        text = " ".join(f"{name}={host}" for name, host in places.items())
        self.live.process.keep_attribute(self.live, "placements", text)

    def _places(self) -> dict[str, str]:
        text = self.live.value("placements")
        pairs = text.split() if isinstance(text, str) else []
        return dict(pair.split("=", 1) for pair in pairs)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for name, host in self._places().items():
            await self.scheduler.api.claim(self._demand(name, None, ()), host)

    async def _give_back(self) -> None:
        for name in self._places():
            with contextlib.suppress(NotFound):
                await self.scheduler.api.release(f"{self.path}:{name}")
        self._publish({})

    @override
    async def on_terminate(self, record: Record) -> None:
        await self._give_back()
