"""`IpPool`: hands out addresses, each to one machine at a time."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import msgspec
from msgspec import Struct
from typing_extensions import override

from components.coordination.book import Book
from components.coordination.kinds import USUAL, path_kind, servers_kind
from components.networks.addresses import ip_kind
from components.networks.allotting import Row, Subnets, choose, span_of
from components.networks.journal import FileJournal, Journal, MemoryJournal, SharedJournal
from components.reporting import Reporting
from engine.core.decoding import from_msgpack
from engine.core.faults import BadDescription, EngineError, Refused
from engine.core.records import Record
from engine.runtime.attributes import attr, exposed, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, Kind, bool_, duration_s, list_, shown, str_, strings
from engine.wire.messages import Handle
from sfdl.values import Value

LOOK_EVERY_S = 30.0
"""Seconds between two looks whether those who have an address are still there."""
OTHERS = 20
"""One in so many of them is also for machines of other hosts, where many share a book."""


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
        self._users: dict[str, set[str]] = {}

    def of(self, pool: IpPool) -> tuple[Journal, asyncio.Lock]:
        """Return the book of a pool, and what keeps those who write in it apart."""
        key = self._key(pool)
        if key not in self._open:
            self._open[key] = (self._journal(pool, key), asyncio.Lock())
        self._users.setdefault(key, set()).add(pool.live.id)
        return self._open[key]

    def _key(self, pool: IpPool) -> str:
        key = f"{pool.store}/{pool.pool_name or pool.path}"
        return f"{key} {pool.root} {pool.servers}" if pool.store == "zookeeper" else key

    def _journal(self, pool: IpPool, key: str) -> Journal:
        match pool.store:
            case "memory":
                return MemoryJournal()
            case "journal":
                digest = hashlib.sha256(key.encode()).hexdigest()[:16]
                return FileJournal(pool.work_folder / "addresses" / f"{digest}.sqlite")
            case _:
                return SharedJournal(Book(pool.servers, f"{pool.root}/{pool.pool_name}"))

    async def leave(self, pool: IpPool) -> None:
        """Take in that a pool ends; the last one closes the book, if that is to be closed."""
        users = self._users.get(key := self._key(pool), set())
        users.discard(pool.live.id)
        journal, _ = self._open.get(key, (None, None))
        if not users and isinstance(journal, SharedJournal):
            del self._open[key]
            await asyncio.to_thread(journal.close)

    async def close(self) -> None:
        """Close all that are to be closed."""
        for journal, _ in self._open.values():
            if isinstance(journal, SharedJournal):
                await asyncio.to_thread(journal.close)
        self._open.clear()


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
        str_, "journal", choices=("memory", "journal", "zookeeper"),
        doc="Where it is written who has which: journal is a file of the daemon; zookeeper, for pools "
        "on many hosts, an ensemble.",
    )  # fmt: skip
    pool_name = attr(
        str_, "", called="poolName",
        doc="Pools of one name on a daemon, or of one ensemble, share their addresses; alone if empty.",
    )  # fmt: skip
    servers = attr(servers_kind, USUAL, doc="Servers of the ensemble, as host:port.")
    root = attr(
        path_kind, "/smartdomains/addresses",
        doc="Node of the ensemble below which pools are, by their poolName.",
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

    def __init__(self) -> None:
        """Have looked for nobody yet."""
        super().__init__()
        self._looks = 0

    def _subnets(self) -> Subnets:
        return Subnets(self.subnets, self.exclude, self.gateway, self.reserved_addresses)

    def _who(self, owner: Handle) -> str:
        """Return what a machine is called in the book: where many hosts share it, with the host."""
        shared = self.store == "zookeeper"
        return f"{self.live.process.node_name}:{owner.name}" if shared else owner.name

    @override
    async def on_deploy(self) -> None:
        subnets = self._subnets()
        if self.store == "zookeeper" and not self.pool_name:
            raise BadDescription(
                'store "zookeeper" needs a poolName, by which pools on all hosts share their addresses',
                code="SF-NET-008", where=self.path,
            )  # fmt: skip
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

    @override
    async def on_terminate(self, record: Record) -> None:
        await self.service(Journals).leave(self)

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
        subnets, handle, who = self._subnets(), msgspec.msgpack.encode(owner), self._who(owner)
        trouble = subnets.trouble_with(wanted) if wanted else ""
        if trouble:
            raise Refused(
                f"{self.path} does not hand out {wanted}: {trouble}", code="SF-NET-009",
                where=owner.name, hint="leave ip out, or name another pool",
            )  # fmt: skip

        def chosen(rows: dict[str, Row]) -> str:
            return choose(subnets, who, rows, time.time(), wanted)

        journal, lock = self.service(Journals).of(self)
        async with lock:
            ip = await self.run_blocking(journal.allot, who, handle, chosen)
            if not ip:
                raise await self._none_left(journal, wanted, owner)
        self.inUse = await self._count()
        network = subnets.network_of(ip)
        mask = str(network.netmask) if network is not None else ""
        same = self.gateway and network == subnets.network_of(self.gateway)
        return Allotted(ip, mask, self.gateway if same else "", self.probe_address)

    async def _none_left(self, journal: Journal, wanted: str, owner: Handle) -> Refused:
        rows = await self.run_blocking(journal.rows)
        only = wanted or self._subnets().reserved_for(self._who(owner))
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
        return await self._free(self._who(owner), lambda data: _is(owner, data))

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
            who = self._who(owner)
            return await self.run_blocking(journal.keep, who, lambda data: _is(owner, data))

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
        begins = f"{self.live.process.node_name}:" if self.store == "zookeeper" else ""
        everybody, self._looks = self._looks % OTHERS == 0, self._looks + 1
        for row in (await self.run_blocking(journal.rows)).values():
            ours = everybody or row.owner.startswith(begins)
            if row.free_at_s is None and row.handle and ours:
                owner = from_msgpack(row.handle, Handle)
                if await self._has_ended(owner):
                    self.note(f"{row.owner} has ended: its address is taken back")
                    await self._free(row.owner, partial(_is, owner))

    async def _has_ended(self, owner: Handle) -> bool:
        """Say whether a machine has ended, and nothing of it is left that could use its address."""
        try:
            return await self.live.process.calls.is_over(owner)
        except EngineError:
            return False


def _is(owner: Handle, data: bytes) -> bool:
    """Tell the machine that an address was given to from an earlier one of its name."""
    return bool(data) and from_msgpack(data, Handle).ident == owner.ident
