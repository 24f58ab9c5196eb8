"""Where a host nobody has named is looked for: service records first, then announcements."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from engine.core.addresses import Found
from engine.core.faults import Refused
from engine.settings import Settings

NOBODY = "none"
"""Setting `domain`: no DNS server is asked."""


class Source(Protocol):
    """One way to find hosts."""

    async def find(self, name: str) -> Found | None:
        """Return where a host is, as far as this way knows."""
        ...

    async def everybody(self) -> tuple[Found, ...]:
        """Return all hosts this way knows."""
        ...

    async def close(self) -> None:
        """Stop looking."""
        ...


class Sources:
    """Several ways, in the order they are believed."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Take them."""
        self._sources = tuple(sources)

    async def find(self, name: str) -> Found | None:
        """Return where a host is by the first way that knows."""
        for source in self._sources:
            found = await source.find(name)
            if found is not None:
                return found
        return None

    async def everybody(self) -> tuple[Found, ...]:
        """Return all hosts; a place that several ways know is told of once, by the first."""
        lists = await asyncio.gather(*(source.everybody() for source in self._sources))
        found: dict[tuple[str, str], Found] = {}
        for each in (each for places in lists for each in places):
            found.setdefault((each.name, each.address), each)
        return tuple(found.values())

    async def close(self) -> None:
        """Stop looking."""
        await asyncio.gather(*(source.close() for source in self._sources))


async def begin(
    settings: Settings, hosts: Sequence[str], *, known: bool, node: str, daemon: str, address: str
) -> Sources:
    """Begin to look, as the settings want it.

    Args:
        settings: Of the daemon.
        hosts: Addresses it listens at.
        known: It has a certificate of its own, so that daemons elsewhere may believe it.
        node: Its name among hosts.
        daemon: Its id.
        address: Where it answers.

    Raises:
        Refused: Multicast is asked for and cannot be had, or without TLS.
    """
    sources: list[Source] = []
    domains = tuple(word.strip(". ") for word in settings.domain.split(",") if word.strip(". "))
    if settings.domain != NOBODY and (domains or known):
        from engine.discovery.records import ServiceRecords  # noqa: PLC0415 - only when asked for

        sources.append(ServiceRecords(domains, settings.dns_server))
    if settings.multicast:
        if settings.insecure:
            raise Refused(
                "multicast needs TLS: without it nobody who answers can be believed",
                code="SF-DAEMON-005", hint="leave out --multicast or --insecure",
            )  # fmt: skip
        from engine.discovery.announcing import Announcements  # noqa: PLC0415 - only when asked for

        told = "" if settings.root else node
        announcements = Announcements(hosts, node=told, daemon=daemon, address=address)
        await announcements.begin()
        sources.append(announcements)
    return Sources(sources)
