"""Who has a place on which host: pure, with the time as an argument."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

POLICIES = ("roundrobin", "firstfit", "spread", "random")
MOST_DECISIONS = 1000


class Demand(Struct, frozen=True):
    """What somebody asks for.

    Attributes:
        name: Complete name of the component, which is the id of its ticket.
        avoid: Hosts that will not do.
        apart: Groups no other member of which may be on the host.
        beside: Groups all members of which must be on the host.
        spread: Prefer the hosts with the fewest of the same parent.
        pinned: The host it stays on whatever the policy says; its place counts all the same.
    """

    name: str
    avoid: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    spread: bool = False
    pinned: str = ""


class Place(Struct, frozen=True):
    """A place given out: for whom, where, and until when unless it is claimed; 0: it is."""

    demand: Demand
    host: str
    expires_s: float = 0.0


class Decision(Struct, frozen=True):
    """What was decided about a demand: why not, by host, and the host chosen, or nothing."""

    name: str
    objections: tuple[tuple[str, str], ...]
    host: str

    def sentence(self) -> str:
        """Say it for people."""
        why = "; ".join(f"{host}: {text}" for host, text in self.objections if text)
        return f"{self.name}: {self.host or 'no host'}" + (f" ({why})" if why else "")


class Book:
    """The places of one scheduler. All times are in seconds of one clock."""

    def __init__(self, policy: str, limit: int, ttl_s: float, seed: str) -> None:
        """Take the policy, most places on a host (0: any), and how long one holds unclaimed."""
        self._policy = policy
        self._limit = limit
        self._ttl_s = ttl_s
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._last = -1
        self.places: dict[str, Place] = {}
        self.excluded: dict[str, float] = {}
        self.decisions: deque[Decision] = deque(maxlen=MOST_DECISIONS)

    def forget_expired(self, now_s: float) -> None:
        """Take back what nobody has claimed in time, and hosts whose exclusion is over."""
        self.places = {
            name: place
            for name, place in self.places.items()
            if not place.expires_s or place.expires_s > now_s
        }
        self.excluded = {host: until for host, until in self.excluded.items() if until > now_s}

    def next_change_s(self) -> float | None:
        """Return when the next place or host becomes free by itself."""
        times = [place.expires_s for place in self.places.values() if place.expires_s]
        return min([*times, *self.excluded.values()], default=None)

    def reserve(self, demand: Demand, hosts: Sequence[str], now_s: float) -> Decision:
        """Give a place out, or say why not; one who has a place that will do keeps it."""
        self.forget_expired(now_s)
        known = self.places.get(demand.name)
        if known is not None and known.host not in demand.avoid:
            return Decision(demand.name, (), known.host)
        self.places.pop(demand.name, None)
        offered = [demand.pinned] if demand.pinned else list(hosts)
        why = {host: self._objection(host, demand) for host in offered}
        fit = [host for host in offered if not why[host] or demand.pinned]
        host = self._chosen(fit, demand, offered) if fit else ""
        decision = Decision(demand.name, tuple(why.items()), host)
        self.decisions.append(decision)
        if host:
            self.places[demand.name] = Place(demand, host, now_s + self._ttl_s)
        return decision

    def commit(self, name: str) -> bool:
        """Let a place hold until it is given back; say whether there is such a place."""
        if name not in self.places:
            return False
        self.places[name] = replace(self.places[name], expires_s=0.0)
        return True

    def claim(self, demand: Demand, host: str) -> None:
        """Take note of a place that is in use."""
        self.places[demand.name] = Place(demand, host)

    def release(self, name: str) -> None:
        """Take a place back."""
        self.places.pop(name, None)

    def _members(self, host: str, group: str) -> bool:
        return any(
            place.host == host and group in (*place.demand.apart, *place.demand.beside)
            for place in self.places.values()
        )

    def _objection(self, host: str, demand: Demand) -> str:
        if host in demand.avoid:
            return "to be avoided"
        if host in self.excluded:
            return "excluded after a failure"
        taken = self.taken().get(host, 0)
        if self._limit and taken >= self._limit:
            return f"full with {taken}"
        for group in demand.apart:
            if self._members(host, group):
                return f"has a member of {group} already"
        for group in demand.beside:
            others = {p.host for p in self.places.values() if group in p.demand.beside}
            if others - {host}:
                return f"{group} is on {', '.join(sorted(others))}"
        return ""

    def taken(self) -> Mapping[str, int]:
        """Return the number of places by host."""
        found: dict[str, int] = {}
        for place in self.places.values():
            found[place.host] = found.get(place.host, 0) + 1
        return found

    def _chosen(self, fit: Sequence[str], demand: Demand, offered: Sequence[str]) -> str:
        taken = self.taken()
        if demand.spread:
            fit = self._fewest_siblings(fit, demand)
        match self._policy:
            case "firstfit":
                return fit[0]
            case "random":
                return self._chance.choice(list(fit))
            case "spread":
                return min(fit, key=lambda host: taken.get(host, 0))
            case _:
                later = [host for host in fit if offered.index(host) > self._last]
                host = (later or fit)[0]
                self._last = offered.index(host)
                return host

    def _fewest_siblings(self, fit: Sequence[str], demand: Demand) -> Sequence[str]:
        parent = demand.name.rpartition(":")[0]
        beside = [
            p.host for p in self.places.values() if p.demand.name.rpartition(":")[0] == parent
        ]
        least = min(beside.count(host) for host in fit)
        return [host for host in fit if beside.count(host) == least]
