"""Multicast on the local link: daemons announce themselves as DNS services and hear of each other.

An announcement holds the name of the host and the address it answers at. Anybody on the link can
send one, so it is only a hint where to knock.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Sequence

import ifaddr
from zeroconf import (
    BadTypeInNameException,
    InterfaceChoice,
    IPVersion,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf import Error as ZeroconfError
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from engine.core.addresses import Found, address_of, is_address
from engine.core.faults import EngineError, Refused

TYPE = "_smartdomains._tcp.local."
ASK_MS = 3000.0
"""Milliseconds the details of an announcement may take to come."""
FIRST_S = 1.5
"""Seconds after which those who are there have been heard of."""
MOST_HEARD = 256
MOST_ASKING = 32

log = logging.getLogger("sf.discovery")


class Announcements:
    """Announces this daemon on the links it listens at, and remembers who else does."""

    def __init__(self, hosts: Sequence[str], *, node: str, daemon: str, address: str) -> None:
        """Take where we listen and what others may know: host name, id and address.

        Args:
            hosts: Addresses we listen at; one that means all of them means all links.
            node: Our name among hosts; empty: only listen.
            daemon: Our id, which makes the announcement's name unique.
            address: Where we answer, as our certificate names us.
        """
        everywhere = any(not is_address(host) or _is_any(host) for host in hosts)
        self._links: list[str] | None = None if everywhere else [host.strip("[]") for host in hosts]
        self._node = node
        self._own = f"{(node or 'listener').partition('.')[0][:40]}-{daemon[:8]}.{TYPE}"
        self._address = address
        self._heard: dict[str, Found] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._begun_s = 0.0

    async def begin(self) -> None:
        """Begin to listen and to announce; nothing is waited for.

        Raises:
            Refused: There is no multicast here.
        """
        links = self._links
        six = links is not None and all(":" in link for link in links)
        version = IPVersion.V6Only if six else IPVersion.V4Only
        chosen = [link for link in links or () if six or ":" not in link]
        try:
            self._zeroconf = AsyncZeroconf(
                interfaces=chosen if links is not None else InterfaceChoice.All, ip_version=version
            )
        except (OSError, RuntimeError) as error:
            raise Refused(
                f"no multicast on {', '.join(chosen) or 'any link'}: {error}", code="SF-DAEMON-006",
                hint="leave multicast off, and name peers or use DNS",
            ) from error  # fmt: skip
        self._begun_s = asyncio.get_running_loop().time()
        self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, TYPE, handlers=[self._changed])
        if self._node:
            self._spawn(self._announce(chosen or _own_addresses()))

    async def find(self, name: str) -> Found | None:
        """Return who announces that name; waits a moment while nobody can have been heard yet."""
        await self._settle()
        return next((found for found in self._heard.values() if found.name == name), None)

    async def everybody(self) -> tuple[Found, ...]:
        """Return all who announce themselves."""
        await self._settle()
        return tuple(self._heard.values())

    async def close(self) -> None:
        """Say goodbye and stop listening."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            with contextlib.suppress(TimeoutError, ZeroconfError, OSError):
                async with asyncio.timeout(2.0):
                    await self._zeroconf.async_unregister_all_services()
            await self._zeroconf.async_close()

    async def _settle(self) -> None:
        left_s = self._begun_s + FIRST_S - asyncio.get_running_loop().time()
        if left_s > 0:
            await asyncio.sleep(left_s)

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type] # a coroutine
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _announce(self, links: Sequence[str]) -> None:
        port = int(self._address.rpartition(":")[2])
        told = {"node": self._node, "address": self._address}
        info = AsyncServiceInfo(
            TYPE, self._own, port=port, properties=told, server=f"{self._own.removesuffix(TYPE)}local.",
            parsed_addresses=[link for link in links if is_address(link)],
        )  # fmt: skip
        try:
            if self._zeroconf is not None:
                await (await self._zeroconf.async_register_service(info))
        except (ZeroconfError, OSError) as error:
            log.warning("cannot announce %s: %s", self._own, str(error) or type(error).__name__)

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Take in that an announcement came, changed or went; called on the loop."""
        if state_change is ServiceStateChange.Removed:
            self._heard.pop(name, None)
        elif name != self._own and len(self._asking) < MOST_ASKING:
            self._spawn(self._ask(zeroconf, service_type, name))

    async def _ask(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        try:
            info = AsyncServiceInfo(service_type, name)
            there = await info.async_request(zeroconf, ASK_MS)
        except (BadTypeInNameException, ZeroconfError, OSError):
            return
        found = told_by(info.decoded_properties) if there else None
        if found is not None and (name in self._heard or len(self._heard) < MOST_HEARD):
            self._heard[name] = found


def told_by(properties: dict[str, str | None]) -> Found | None:
    """Return the place an announcement tells of, or nothing if it makes no sense.

    Example:
        >>> told_by({"node": "n7", "address": "n7:3801"})
        Found(name='n7', address='n7:3801', how='multicast')
        >>> told_by({"node": "n7", "address": "two words"}), told_by({})
        (None, None)
    """
    name, address = properties.get("node") or "", properties.get("address") or ""
    try:
        if address_of(name) and address_of(address) == address:
            return Found(name, address, "multicast")
    except EngineError:
        pass
    return None


def _own_addresses() -> list[str]:
    every = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return [ip for ip in every if isinstance(ip, str)]


def _is_any(host: str) -> bool:
    return ipaddress.ip_address(host.strip("[]")).is_unspecified
