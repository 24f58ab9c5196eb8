"""Which address of a pool goes to whom: decisions, without I/O.

An owner gets the address it had before if that is free, else the first free one from a place that
follows from its name: so it gets the same one again wherever nobody was quicker, also from a pool that
remembers nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping

from msgspec import Struct

from engine.runtime.kinds import BadValueError


class Span(Struct, frozen=True):
    """Addresses from the first to the last, as numbers."""

    first: int
    last: int

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last


def span_of(text: str) -> Span:
    """Read an address, a subnet, or a range with a dash.

    Raises:
        BadValueError: It is none of these.

    Example:
        >>> span_of("10.0.0.4/30") == span_of("10.0.0.4-10.0.0.7")
        True
    """
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        if dash:
            span = Span(int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last)))
        else:
            network = ipaddress.IPv4Network(first)
            span = Span(int(network.network_address), int(network.broadcast_address))
    except ValueError as error:
        raise BadValueError(f"is no address, subnet or range: {error}") from error
    if span.first > span.last:
        raise BadValueError(f"the last address comes before the first (got {text})")
    return span


class Subnets(Struct, frozen=True):
    """What a pool hands out.

    Attributes:
        networks: Subnets as `a.b.c.d/n`; their own and their broadcast addresses are never handed out.
        exclude: Addresses, subnets and ranges that are not handed out.
        gateway: An address that is not handed out either; empty for none.
        reserved: Addresses by the owner they are for; nobody else gets them.
    """

    networks: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    gateway: str = ""
    reserved: tuple[tuple[str, str], ...] = ()

    def spans(self) -> list[Span]:
        """Return the addresses that hosts may have, subnet by subnet."""
        found = []
        for text in self.networks:
            network = ipaddress.IPv4Network(text)
            edge = 0 if network.prefixlen >= 31 else 1
            first, last = int(network.network_address), int(network.broadcast_address)
            found.append(Span(first + edge, last - edge))
        return found

    def left_out(self) -> list[Span]:
        """Return what is not handed out."""
        singles = [self.gateway] if self.gateway else []
        return [span_of(text) for text in (*self.exclude, *singles)]

    def network_of(self, ip: str) -> ipaddress.IPv4Network | None:
        """Return the subnet an address is in."""
        address = ipaddress.IPv4Address(ip)
        networks = (ipaddress.IPv4Network(text) for text in self.networks)
        return next((network for network in networks if address in network), None)

    def reserved_for(self, owner: str) -> str:
        """Return the address that is reserved for an owner, by its path or the end of it."""
        ends = f":{owner}"
        return next((ip for name, ip in self.reserved if ends.endswith(f":{name}")), "")

    def trouble_with(self, ip: str) -> str:
        """Say why an address is not handed out; nothing if it is.

        Example:
            >>> Subnets(("10.0.0.0/29",), gateway="10.0.0.1").trouble_with("10.0.0.1")
            'it is the gateway, or excluded'
        """
        number = int(ipaddress.IPv4Address(ip))
        if not any(number in span for span in self.spans()):
            return f"it is no machine's address in {', '.join(self.networks)}"
        if any(number in span for span in self.left_out()):
            return "it is the gateway, or excluded"
        return ""

    def candidates(self, owner: str) -> Iterator[str]:
        """Give all addresses that an owner may get, in the order they are tried."""
        spans, out = self.spans(), self.left_out()
        kept = {int(ipaddress.IPv4Address(ip)) for _, ip in self.reserved}
        total = sum(span.last - span.first + 1 for span in spans)
        digest = hashlib.sha256(owner.encode()).digest()
        begin = int.from_bytes(digest[:8]) % total if total > 0 else 0
        for step in range(total):
            number = _nth(spans, (begin + step) % total)
            if number not in kept and not any(number in span for span in out):
                yield str(ipaddress.IPv4Address(number))


def _nth(spans: list[Span], place: int) -> int:
    for span in spans:
        length = span.last - span.first + 1
        if place < length:
            return span.first + place
        place -= length
    raise IndexError(place)


class Row(Struct, frozen=True):
    """What a pool knows of one address.

    Attributes:
        owner: Who has it, or had it last.
        free_at_s: When somebody else may have it, in seconds since 1970; none: it is in use.
    """

    owner: str
    free_at_s: float | None = None


def choose(subnets: Subnets, owner: str, rows: Mapping[str, Row], now_s: float, wanted: str) -> str:
    """Choose an address for an owner; empty if there is none.

    Args:
        subnets: What there is.
        owner: Who asks.
        rows: What is known, by address.
        now_s: The time.
        wanted: The only address that will do; empty for any.

    Example:
        >>> pool = Subnets(("10.0.0.0/30",))
        >>> first = choose(pool, "a", {}, 0.0, "")
        >>> other = choose(pool, "b", {first: Row("a")}, 0.0, "")
        >>> sorted([first, other]), choose(pool, "c", {first: Row("a"), other: Row("b")}, 0.0, "")
        (['10.0.0.1', '10.0.0.2'], '')
    """

    def free(ip: str) -> bool:
        row = rows.get(ip)
        if row is None or row.owner == owner:
            return True
        return row.free_at_s is not None and row.free_at_s <= now_s

    only = wanted or subnets.reserved_for(owner)
    if only:
        return only if free(only) else ""
    had = [ip for ip, row in rows.items() if row.owner == owner and not subnets.trouble_with(ip)]
    kept = {ip for _, ip in subnets.reserved}
    # one in use first: asking again is asking how it stands
    had.sort(key=lambda ip: rows[ip].free_at_s is not None)
    for ip in had:
        if ip not in kept:
            return ip
    unknown = ""
    for ip in subnets.candidates(owner):
        if ip not in rows:
            return ip
        if not unknown and free(ip):
            unknown = ip
    return unknown
