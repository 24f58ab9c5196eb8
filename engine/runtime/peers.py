"""Other processes: their names, addresses, links, and asking them things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import structs

from engine.core.addresses import Found, address_of, is_name
from engine.core.faults import EngineError, Refused, TimedOut, Unreachable, raised
from engine.core.tracing import current
from engine.wire.codec import decode, encode
from engine.wire.messages import (
    PROTOCOL,
    Answer,
    Beat,
    BeatAnswer,
    Failed,
    Hello,
    Op,
    PeerRow,
    Pulling,
    ReadAnswer,
    Reading,
    Request,
    Result,
    Welcome,
)

if TYPE_CHECKING:
    from engine.runtime.process import Process

HOP_S, READ_S = 5.0, 15.0
POLL_S = 10.0
"""Seconds of one long poll of an operation on a peer."""


class Link(Protocol):
    """Carries encoded messages to one peer; several calls may be under way at once."""

    @property
    def certificate(self) -> str:
        """Return the name in the certificate the peer showed last; empty without TLS."""
        ...

    async def call(self, verb: str, message: bytes, budget_s: float) -> bytes:
        """Send one message and return the answer.

        Raises:
            Unreachable: The peer cannot be reached, or the connection broke: the outcome is unknown.
            TimedOut: No answer within `budget_s` seconds.
        """
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


class Directory(Protocol):
    """Knows where hosts are that nobody has named."""

    async def find(self, name: str) -> Found | None:
        """Return where a host is said to be; nothing if nobody says so."""
        ...

    async def everybody(self) -> tuple[Found, ...]:
        """Return all hosts somebody tells of."""
        ...


class _Nobody:
    """The directory of a process that has none."""

    async def find(self, name: str) -> Found | None:
        """Know nobody."""

    async def everybody(self) -> tuple[Found, ...]:
        """Know nobody."""
        return ()


class Met:
    """How a peer was found last.

    Attributes:
        seen_s: When it answered last, on the loop's clock; nothing: never.
        failed_s: When it did not.
        trouble: Why not; empty once it has answered again.
    """

    __slots__ = ("failed_s", "seen_s", "trouble")

    def __init__(self) -> None:
        """Start unmet."""
        self.seen_s: float | None = None
        self.failed_s: float | None = None
        self.trouble = ""


class Peers:
    """The peers of one process, over links made on first need.

    Attributes:
        directory: Asked for hosts that are neither written as addresses nor named in the settings.
    """

    def __init__(
        self, process: Process, connect: Callable[[str, str], Link], names: Mapping[str, str]
    ) -> None:
        """Take the maker of links (address, class) and the names given to addresses."""
        self._process = process
        self._connect = connect
        self._names = dict(names)
        self._links: dict[tuple[str, str], Link] = {}
        self._known: dict[str, Welcome] = {}
        self._met: dict[str, Met] = {}
        self.directory: Directory = _Nobody()

    async def locate(self, name: str) -> str:
        """Return the address a host name stands for: written, named, or found by the directory.

        What is found is believed only when who answers there is of the community and called so.

        Raises:
            Refused: It is no host name or address.
        """
        if name in self._names:
            return self._names[name]
        written = address_of(name)
        found = await self.directory.find(name) if is_name(name) else None
        if found is None or not await self._is_so(found):
            return written
        return found.address

    async def _is_so(self, found: Found) -> bool:
        """Say whether a place is what it is said to be; a record's name stands in a certificate."""
        if found.how != "multicast":
            return True
        known = self._known.get(found.address)
        try:
            welcome = known or await self.hello(found.address)
        except EngineError as error:
            why = error.fault.message
        else:
            if welcome.name == found.name:
                return True
            why = f"it calls itself {welcome.name}"
        text = f"{found.address} is announced as {found.name} and not believed: {why}"
        self._process.events.note(None, "warning", text)
        return False

    def name_of(self, address: str) -> str:
        """Return the name a host is known by, or its address."""
        return next((name for name, known in self._names.items() if known == address), address)

    def link(self, address: str, class_: str) -> Link:
        """Return the link of a class (`control`, `poll`, `beat`) to an address."""
        key = (address, class_)
        if key not in self._links:
            self._links[key] = self._connect(address, class_)
        return self._links[key]

    async def _call(
        self, address: str, class_: str, verb: str, message: bytes, budget_s: float
    ) -> bytes:
        """Send one message, and remember how the peer was found."""
        loop = asyncio.get_running_loop()
        met = self._met.setdefault(address, Met())
        try:
            data = await self.link(address, class_).call(verb, message, budget_s)
        except EngineError as error:
            met.trouble, met.failed_s = error.fault.message, loop.time()
            raise
        met.trouble, met.seen_s = "", loop.time()
        return data

    def silent_s(self, address: str) -> float:
        """Return for how many seconds a peer that is asked has not answered; 0 if it did at last."""
        met = self._met.get(address)
        if met is None or met.seen_s is None or met.failed_s is None or met.failed_s < met.seen_s:
            return 0.0
        return asyncio.get_running_loop().time() - met.seen_s

    def met(self) -> dict[str, tuple[Met, Welcome | None]]:
        """Return how each peer talked to was found last, and what it said of itself."""
        return {address: (met, self._known.get(address)) for address, met in self._met.items()}

    async def elsewhere(self, name: str, *, where: str) -> str | None:
        """Return the address of a host, or nothing if that is this very process.

        Raises:
            Unreachable: Nothing answers there.
        """
        address = await self.locate(name)
        if address == self._process.address:
            return None
        try:
            welcome = await self.hello(address)
        except (Unreachable, TimedOut) as error:
            raise Unreachable(
                f"host {name} ({address}) does not answer", code="SF-HOST-002", where=where,
                hint=f"is a daemon running there? try: sfping {name}", causes=(error.fault,),
            ) from error  # fmt: skip
        return None if welcome.daemon == self._process.daemon_id else address

    async def hello(self, address: str) -> Welcome:
        """Greet a peer; refuse one that speaks another version."""
        message = encode(Hello(PROTOCOL, self._process.daemon_id))
        data = await self._call(address, "control", "hello", message, HOP_S)
        welcome = decode(data, Welcome | Failed)  # type: ignore[arg-type] # a union is a type to msgspec
        if isinstance(welcome, Failed):
            raise raised(welcome.fault)
        if welcome.protocol != PROTOCOL:
            raise Refused(
                f"{address} speaks protocol {welcome.protocol}, we speak {PROTOCOL}",
                code="SF-WIRE-001",
                hint="run the same version on both hosts",
            )
        self._known[address] = welcome
        return welcome

    async def survey(self) -> tuple[PeerRow, ...]:
        """Greet all peers named, met so far, or told of by the directory, at once."""
        places = [Found(name, address, "peers") for name, address in self._names.items()]
        told = await self.directory.everybody()
        for more in (told, [Found(each.name, at, "met") for at, each in self._known.items()]):
            known = {found.address for found in places}
            places += [found for found in more if found.address not in known]
        places = [found for found in places if found.address != self._process.address]
        rows = await asyncio.gather(*(self._greeted(found) for found in places))
        return tuple(sorted(rows, key=lambda row: (row.name, row.address)))

    async def _greeted(self, found: Found) -> PeerRow:
        loop = asyncio.get_running_loop()
        address, row = (
            found.address,
            PeerRow(found.name, found.address, "unreachable", how=found.how),
        )
        try:
            await self.hello(address)  # makes the connection, where there is none
            began = loop.time()
            welcome = await self.hello(address)
        except EngineError as error:
            if found.how in {"dns", "multicast"} and address not in self._known:
                self._drop(address)  # anybody may have made it up
            return structs.replace(row, problem=error.fault.message)
        took_ms = round((loop.time() - began) * 1000, 2)
        other = found.how == "multicast" and welcome.name != found.name
        return structs.replace(
            row, state=welcome.state, version=welcome.version, components=welcome.components,
            round_trip_ms=took_ms, certificate=self.link(address, "control").certificate,
            problem=f"announced so, but calls itself {welcome.name}" if other else "",
        )  # fmt: skip

    def _drop(self, address: str) -> None:
        """Let go of the links to an address nobody believes in."""
        self._met.pop(address, None)
        for key in [key for key in self._links if key[0] == address]:
            self._links.pop(key).close()

    async def read(self, address: str, question: Reading, budget_s: float = READ_S) -> ReadAnswer:
        """Ask a peer something that changes nothing.

        Raises:
            EngineError: As the peer raised it, or it cannot be reached.
        """
        data = await self._call(address, "control", "read", encode(question), budget_s)
        answer: ReadAnswer = decode(data, ReadAnswer)  # type: ignore[arg-type] # a union is a type to msgspec
        if isinstance(answer, Failed):
            raise raised(answer.fault)
        return answer

    async def beat(self, address: str, beat: Beat, budget_s: float) -> BeatAnswer:
        """Renew leases and pass notices."""
        data = await self._call(address, "beat", "beat", encode(beat), budget_s)
        answer: BeatAnswer | Failed = decode(data, BeatAnswer | Failed)  # type: ignore[arg-type] # a union is a type to msgspec
        if isinstance(answer, Failed):
            raise raised(answer.fault)
        return answer

    async def stream(self, address: str, wanted: Pulling, budget_s: float) -> ReadAnswer:
        """Pull events, or a piece of something long, from a peer; or use a channel there."""
        data = await self._call(address, "poll", "stream", encode(wanted), budget_s)
        answer: ReadAnswer = decode(data, ReadAnswer)  # type: ignore[arg-type] # a union is a type to msgspec
        if isinstance(answer, Failed):
            raise raised(answer.fault)
        return answer

    async def submit(
        self, address: str, op: Op, *, request_id: str, budget_s: float
    ) -> Result | None:
        """Have a peer carry out an operation, and wait for its end.

        A lost connection is tried again under the same request id until the budget is spent, so the
        operation is done once whatever happens on the way.

        Raises:
            Unreachable: The peer could not be reached within the budget.
            TimedOut: It did not finish in time; the outcome is unknown.
            EngineError: As the operation failed.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + budget_s
        pause_s = 0.05
        lost = 0
        while True:
            left = until - loop.time()
            wait_s = max(0.0, min(POLL_S, left - 0.5))
            request = Request(request_id, op, int(left * 950), int(wait_s * 1000), current().trace)
            try:
                answer = await self._once(address, request, wait_s)
            except (Unreachable, TimedOut):
                lost += 1
                if loop.time() + pause_s >= until or lost > 5:
                    raise
                await asyncio.sleep(pause_s)
                pause_s = min(1.0, pause_s * 2)
                continue
            lost = 0
            if answer.status == "done":
                return answer.result
            if answer.fault is not None:
                raise raised(answer.fault)
            if loop.time() >= until:
                raise TimedOut(f"{address} did not finish {type(op).__name__} in time")

    async def _once(self, address: str, request: Request, wait_s: float) -> Answer:
        data = await self._call(address, "poll", "submit", encode(request), wait_s + HOP_S)
        try:
            return decode(data, Answer)
        except msgspec.DecodeError as error:
            raise EngineError(f"{address} sent an answer we cannot read: {error}") from error

    def hang_up(self) -> None:
        """Close all links."""
        for link in self._links.values():
            link.close()
        self._links.clear()
