"""DNS service records: `_smartdomains._tcp.DOMAIN SRV` names the hosts of a domain and their ports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

import dns.asyncresolver
import dns.exception
import dns.resolver
from dns.rdtypes.IN.SRV import SRV

from engine.core.addresses import Found, address_of, is_address
from engine.core.faults import Refused

SERVICE = "_smartdomains._tcp"
ASK_S = 2.0
"""Seconds one look-up may take."""
LEAST_S, MOST_S = 5.0, 300.0
"""Seconds an answer is kept at least and at most, whatever its time to live says; none: at least."""
MOST_DOMAINS, MOST_HOSTS = 3, 256

log = logging.getLogger("sf.discovery")


class ServiceRecords:
    """The hosts that the service records of some domains name."""

    def __init__(self, domains: Sequence[str] = (), server: str = "") -> None:
        """Take the domains, or use the search list of this machine; nothing is asked yet.

        Args:
            domains: DNS domains, without a dot at the end.
            server: `address` or `address:port` of the DNS server; empty: those of this machine.

        Raises:
            Refused: The server is not given by its address.
        """
        self._resolver = _resolver(server)
        self._domains = tuple(domains)[:MOST_DOMAINS] or _search_list(self._resolver)
        self._asking: asyncio.Task[tuple[Found, ...]] | None = None
        self._until_s = 0.0

    async def find(self, name: str) -> Found | None:
        """Return the place of a host by its full name or the first word of that."""
        for found in await self.everybody():
            host = found.address.rpartition(":")[0]
            if name.lower() in {found.name, host}:
                return found
        return None

    async def everybody(self) -> tuple[Found, ...]:
        """Return all hosts there are records of; none if nobody answers in time."""
        loop = asyncio.get_running_loop()
        if self._asking is None or (self._asking.done() and loop.time() >= self._until_s):
            self._asking = loop.create_task(self._asked(), name="service records")
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _asked(self) -> tuple[Found, ...]:
        answers = await asyncio.gather(*(self._of(domain) for domain in self._domains))
        keep_s = min((ttl_s for _, ttl_s in answers), default=0.0)
        loop = asyncio.get_running_loop()
        self._until_s = loop.time() + max(LEAST_S, min(MOST_S, keep_s))
        found = {place.name: place for places, _ in reversed(answers) for place in places}
        return tuple(found.values())

    async def _of(self, domain: str) -> tuple[list[Found], float]:
        """Return the places of one domain, and for how many seconds they are good."""
        if self._resolver is None:
            return [], MOST_S
        name = f"{SERVICE}.{domain}"
        try:
            answer = await self._resolver.resolve(name, "SRV", lifetime=ASK_S, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return [], 60.0
        except (dns.exception.DNSException, OSError) as error:
            log.info("%s: %s", name, error)
            return [], 30.0
        ttl_s = float(answer.rrset.ttl) if answer.rrset is not None else 0.0
        return places(record for record in answer if isinstance(record, SRV)), ttl_s


def places(records: Iterable[SRV]) -> list[Found]:
    """Return the places that records name, the one to prefer first where a host has several."""
    found: dict[str, Found] = {}
    for record in sorted(records, key=lambda each: (each.priority, -each.weight))[:MOST_HOSTS]:
        host = record.target.to_text(omit_final_dot=True).lower()
        if host in {"", "."} or not record.port:  # "decidedly not available"
            continue
        try:
            address = address_of(host, record.port)
        except Refused:
            continue
        name = host if is_address(host) else host.partition(".")[0]
        found.setdefault(host, Found(name, address, "dns"))
    return list(found.values())


def _resolver(server: str) -> dns.asyncresolver.Resolver | None:
    """Return what asks; nothing where this machine has no DNS servers and none was given."""
    if not server:
        try:
            return dns.asyncresolver.Resolver()
        except (dns.exception.DNSException, OSError):
            return None
    host, _, port = address_of(server, 53).rpartition(":")
    host = host.strip("[]")
    if not is_address(host):
        raise Refused(
            f"{server!r} is not the address of a DNS server", code="SF-HOST-004",
            hint="write dns_server = \"192.0.2.53\" or \"192.0.2.53:5353\"",
        )  # fmt: skip
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [host]
    resolver.port = int(port)
    return resolver


def _search_list(resolver: dns.asyncresolver.Resolver | None) -> tuple[str, ...]:
    if resolver is None:
        return ()
    words = (each.to_text(omit_final_dot=True) for each in (*resolver.search, resolver.domain))
    return tuple(dict.fromkeys(word for word in words if word not in {"", "."}))[:MOST_DOMAINS]
