"""`IpPool`: hands out addresses, each to one machine at a time."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import time
from collections.abc import Callable
from typing import ClassVar

import msgspec
from msgspec import Struct
from typing_extensions import override

from components.networks.addresses import ip_kind
from components.networks.allotting import Row, Subnets, choose, span_of
from components.networks.journal import FileJournal, Journal, MemoryJournal
from components.reporting import Reporting
from engine.core.faults import BadDescription, EngineError, Refused
from engine.runtime.attributes import attr, exposed, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, Kind, bool_, duration_s, list_, shown, str_, strings
from engine.wire.messages import Handle
from sfdl.values import Value

LOOK_EVERY_S = 30.0
"""Seconds between two looks whether those who have an address are still there."""


def _networks(value: Value) -> tuple[str, ...]:
    found: list[ipaddress.IPv4Network] = []
    for text in strings.read(value):
        try:
            network = ipaddress.IPv4Network(text)
        except ValueError as error:
            raise BadValueError(f"{text} is no subnet: {error}; write 10.30.0.0/24") from error
        if network.prefixlen < 8:
            raise BadValueError(f"{text} is larger than a /8")
        if clash := next((one for one in found if one.overlaps(network)), None):
            raise BadValueError(f"{text} overlaps {clash}")
        found.append(network)
    if not found:
        raise BadValueError("needs a subnet, such as 10.30.0.0/24")
    return tuple(str(network) for network in found)


def _spans(value: Value) -> tuple[str, ...]:
    texts = strings.read(value)
    for text in texts:
        span_of(text)
    return texts


def _reserved(value: Value) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for row in list_.read(value):
        if not (isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], str)):
            raise BadValueError(f"must be a list of [name, address] (got {shown(value)})")
        found.append((row[0], ip_kind.read(row[1])))
    addresses = [ip for _, ip in found]
    twice = next((ip for ip in addresses if addresses.count(ip) > 1), "")
    if twice:
        raise BadValueError(f"{twice} is reserved twice")
    return tuple(found)


networks_kind = Kind("list of subnets", "Vector", _networks)
spans_kind = Kind("list of addresses", "Vector", _spans)
reserved_kind = Kind("list of [name, address]", "Vector", _reserved)


class Allotted(Struct, frozen=True):
    """An address with what goes with it.

    Attributes:
        ip: The address.
        netmask: Dotted.
        gateway: In its subnet; empty for none.
        probe: Whether it is to be made sure that nobody else uses it.
    """

    ip: str
    netmask: str
    gateway: str
    probe: bool = False


class Journals:
    """The books of one process, by name: pools of one name share one."""

    def __init__(self) -> None:
        """Have none open."""
        self._open: dict[str, tuple[Journal, asyncio.Lock]] = {}

    def of(self, pool: IpPool) -> tuple[Journal, asyncio.Lock]:
        """Return the book of a pool, and what keeps those who write in it apart."""
        key = f"{pool.store}/{pool.pool_name or pool.path}"
        if key not in self._open:
            digest = hashlib.sha256(key.encode()).hexdigest()[:16]
            file = pool.work_folder / "addresses" / f"{digest}.sqlite"
            journal: Journal = FileJournal(file) if pool.store == "journal" else MemoryJournal()
            self._open[key] = (journal, asyncio.Lock())
        return self._open[key]


class IpPool(Reporting, type="net.ippool"):
    """Hands out the addresses of some subnets: no two machines have the same one.

    A machine that names it as its `ipPool` and has no `ip` gets one as it is deployed, and the same one
    again when it comes back. It may be on another host than the machines.

    Example:
        addresses extends IpPool {
            subnets [|"10.40.0.0/24"|];
            gateway "10.40.0.1";
            exclude [|"10.40.0.2-10.40.0.9"|];
        }
    """

    subnets = attr(networks_kind, doc="Subnets, as 10.30.0.0/24.")
    exclude = attr(
        spans_kind, (), doc="What is not handed out: addresses, subnets, ranges with a dash."
    )
    gateway = attr(ip_kind, "", doc="Gateway of the machines in its subnet; not handed out.")
    reserved_addresses = attr(
        reserved_kind, (), called="reserved",
        doc="Addresses for certain machines only, a list of [name, address]; a complete name or its "
        "last part.",
    )  # fmt: skip
    store = attr(
        str_, "journal", choices=("memory", "journal"),
        doc="Where it is written who has which: journal is a file of the daemon.",
    )  # fmt: skip
    pool_name = attr(
        str_, "", called="poolName",
        doc="Pools of one name on a daemon share their addresses; alone if empty.",
    )  # fmt: skip
    quarantine = attr(
        duration_s, 60, doc="Seconds before an address that was given back goes to another machine."
    )
    probe_address = attr(
        bool_, False, called="probeAddress",
        doc="Ask everybody on the machine's bridge for its address before it is started, and refuse one "
        "that somebody answers for.",
    )  # fmt: skip
    inUse = output(int, doc="How many addresses are handed out.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep"}

    def _subnets(self) -> Subnets:
        return Subnets(self.subnets, self.exclude, self.gateway, self.reserved_addresses)

    @override
    async def on_deploy(self) -> None:
        subnets = self._subnets()
        if self.gateway and subnets.network_of(self.gateway) is None:
            raise BadDescription(
                f"gateway {self.gateway} is outside {', '.join(self.subnets)}", code="SF-NET-008",
                where=self.path,
            )  # fmt: skip
        for name, ip in self.reserved_addresses:
            trouble = subnets.trouble_with(ip)
            if trouble:
                raise BadDescription(
                    f"reserved address {ip} of {name}: {trouble}",
                    code="SF-NET-008",
                    where=self.path,
                )

    @override
    async def on_start(self) -> None:
        self.inUse = await self._count()
        self.spawn(self._watch())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self.on_start()

    # -- what machines ask

    @exposed()
    async def allocate(self, owner: Handle, wanted: str = "") -> Allotted:
        """Give a machine its address; asked again, the same one.

        Args:
            owner: The machine.
            wanted: The only address that will do; empty for any.

        Raises:
            Refused: There is none left, or the one that is wanted is not to be had.
        """
        subnets, handle = self._subnets(), msgspec.msgpack.encode(owner)
        trouble = subnets.trouble_with(wanted) if wanted else ""
        if trouble:
            raise Refused(
                f"{self.path} does not hand out {wanted}: {trouble}", code="SF-NET-009",
                where=owner.name, hint="leave ip out, or name another pool",
            )  # fmt: skip

        def chosen(rows: dict[str, Row]) -> str:
            return choose(subnets, owner.name, rows, time.time(), wanted)

        journal, lock = self.service(Journals).of(self)
        async with lock:
            ip = await self.run_blocking(journal.allot, owner.name, handle, chosen)
            if not ip:
                raise await self._none_left(journal, wanted, owner)
        self.inUse = await self._count()
        network = subnets.network_of(ip)
        mask = str(network.netmask) if network is not None else ""
        same = self.gateway and network == subnets.network_of(self.gateway)
        return Allotted(ip, mask, self.gateway if same else "", self.probe_address)

    async def _none_left(self, journal: Journal, wanted: str, owner: Handle) -> Refused:
        rows = await self.run_blocking(journal.rows)
        only = wanted or self._subnets().reserved_for(owner.name)
        if only:
            text = f"{only} of {self.path} is that of {rows[only].owner}"
        else:
            waiting = sum(row.free_at_s is not None for row in rows.values())
            text = (
                f"no address is left in {self.path}: {len(rows) - waiting} are in use, {waiting} "
                f"were given back less than {self.quarantine:g} s ago or are reserved"
            )
        return Refused(
            text, code="SF-NET-009", where=owner.name, hint="give it more subnets, or end a machine"
        )

    @exposed()
    async def release(self, owner: Handle) -> str:
        """Take a machine's address back; return it, or nothing if it has none."""
        return await self._free(owner.name, lambda data: _is(owner, data))

    async def _free(self, name: str, same: Callable[[bytes], bool]) -> str:
        journal, lock = self.service(Journals).of(self)
        async with lock:
            free_at_s = time.time() + self.quarantine
            ip = await self.run_blocking(journal.free, name, free_at_s, same)
        self.inUse = await self._count()
        return ip

    @exposed()
    async def keep(self, owner: Handle) -> str:
        """Leave a machine its address after its end: its guest goes on, or is set aside.

        It has it until it is deployed again and ends, or somebody takes it back.

        Returns:
            The address, or nothing if it has none.
        """
        journal, lock = self.service(Journals).of(self)
        async with lock:
            return await self.run_blocking(journal.keep, owner.name, lambda data: _is(owner, data))

    @exposed()
    async def take_back(self, ip: str) -> str:
        """Take an address back, whoever has it; return whose it was, or nothing.

        Args:
            ip: The address. Nobody may be using it.
        """
        owner = (await self.allotments()).get(ip, "")
        if owner:
            await self._free(owner, lambda _: True)
        return owner

    @exposed(role="viewer")
    async def allotments(self) -> dict[str, str]:
        """Return the addresses in use, and the complete names of those who have them."""
        journal, _ = self.service(Journals).of(self)
        rows = await self.run_blocking(journal.rows)
        return {ip: row.owner for ip, row in rows.items() if row.free_at_s is None}

    async def _count(self) -> int:
        return len(await self.allotments())

    # -- who has gone without a word

    async def _watch(self) -> None:
        while True:
            await self.look_for_lost()
            await self.sleep(LOOK_EVERY_S)

    async def look_for_lost(self) -> None:
        """Take back what belongs to machines that have ended; one that cannot be asked keeps its own."""
        journal, _ = self.service(Journals).of(self)
        for row in (await self.run_blocking(journal.rows)).values():
            if row.free_at_s is None and row.handle:
                owner = msgspec.msgpack.decode(row.handle, type=Handle)
                if await self._has_ended(owner):
                    self.note(f"{row.owner} has ended: its address is taken back")
                    await self.release(owner)

    async def _has_ended(self, owner: Handle) -> bool:
        """Say whether a machine has ended, and nothing of it is left that could use its address."""
        try:
            return await self.live.process.calls.is_over(owner)
        except EngineError:
            return False


def _is(owner: Handle, data: bytes) -> bool:
    """Tell the machine that an address was given to from an earlier one of its name."""
    return bool(data) and msgspec.msgpack.decode(data, type=Handle).ident == owner.ident
