"""Places asked for at run time: `Scheduler`, `Schedulee`."""

from __future__ import annotations

from msgspec import Struct
from typing_extensions import override

from engine.compound import Compound
from engine.core.faults import Refused
from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, link, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import int_, strings


class Ticket(Struct, frozen=True):
    """A place that is reserved: on which host, and under which id it is given back."""

    host: str
    id: str


class Scheduler(Prim, type="flow.scheduler"):
    """Gives out places on hosts: on the one with the fewest, the first of these in the list."""

    hosts = attr(strings, doc="Hosts there are.")
    limit = attr(int_, 0, ge=0, doc="Most places on each host; 0 is no limit.")
    reserved_places = output(int, doc="Places given out now.")

    def __init__(self) -> None:
        """Have given out nothing yet."""
        self._given: dict[str, str] = {}

    @override
    async def on_deploy(self) -> None:
        if not self.hosts:
            raise Refused("hosts must name at least one host", where=self.path)

    @exposed()
    async def reserve(self, name: str, avoid: list[str]) -> Ticket:
        """Reserve a place for a component.

        Args:
            name: Its complete name, which is the id of its ticket: asking again gives the same place.
            avoid: Hosts that will not do.

        Raises:
            Refused: No host has room; the message says of each why not.
        """
        if name in self._given and self._given[name] not in avoid:
            return Ticket(self._given[name], name)
        taken = dict.fromkeys(self.hosts, 0)
        for host in self._given.values():
            taken[host] = taken.get(host, 0) + 1
        why = {host: self._objection(host, taken[host], avoid) for host in self.hosts}
        fit = [host for host in self.hosts if not why[host]]
        if not fit:
            reasons = "; ".join(f"{host}: {text}" for host, text in why.items())
            raise Refused(f"no host for {name}: {reasons}", code="SF-SCHED-001", where=self.path)
        host = min(fit, key=lambda each: taken[each])
        self._give(name, host)
        return Ticket(host, name)

    def _objection(self, host: str, taken: int, avoid: list[str]) -> str:
        if host in avoid:
            return "to be avoided"
        return f"full with {taken}" if self.limit and taken >= self.limit else ""

    def _give(self, name: str, host: str) -> None:
        self._given[name] = host
        self.reserved_places = len(self._given)

    @exposed()
    async def claim(self, name: str, host: str) -> None:
        """Take note of a place that is in use, after a restart."""
        self._give(name, host)

    @exposed()
    async def release(self, id_: str) -> None:
        """Take a place back."""
        self._given.pop(id_, None)
        self.reserved_places = len(self._given)

    @exposed()
    async def place(self, name: str, avoid: list[str]) -> str:
        """Move a component's place to another host, and return that."""
        self._given.pop(name, None)
        return (await self.reserve(name, avoid)).host


class Schedulee(Compound, type="flow.schedulee"):
    """Has its scheduler say on which host each child is made, and gives the places back at its end.

    All places are reserved, and all children created and deployed, before any of them starts. A child
    that names its own `sfProcessHost` stays there. Like any compound it shares its children's fate.
    """

    creates_children = True
    scheduler = link(Scheduler, doc="Who gives out places.")
    placements = output(str, doc="Where the children are: name=host, separated by blanks.")

    @override
    async def on_deploy(self) -> None:
        self.placements = ""
        places: dict[str, str] = {}
        children = self.live.child_descriptions()
        for name, child in children:
            if child.get("sfProcessHost") is None:
                ticket = await self.scheduler.api.reserve(f"{self.path}:{name}", [])
                places[name] = ticket.host
                self._publish(places)
        for name, child in children:
            extra = {"sfProcessHost": places[name]} if name in places else {}
            await self.create_child(name, child, extra, upto="deployed")

    def _publish(self, places: dict[str, str]) -> None:
        text = " ".join(f"{name}={host}" for name, host in places.items())
        self.live.process.keep_attribute(self.live, "placements", text)

    def _places(self) -> dict[str, str]:
        text = self.live.value("placements")
        pairs = text.split() if isinstance(text, str) else []
        return dict(pair.split("=", 1) for pair in pairs)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for name, host in self._places().items():
            await self.scheduler.api.claim(f"{self.path}:{name}", host)

    @override
    async def on_terminate(self, record: Record) -> None:
        for name in self._places():
            await self.scheduler.api.release(f"{self.path}:{name}")
