"""A hypervisor that fails on demand, for tests of everything above it.

Wrap any `protocol.Hypervisor` and say what goes wrong at which call:

    faulty = FaultyHypervisor(inner)
    faulty.fail("start", Lose(), nth=2)      # the second start takes effect, its answer is lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeVar, cast, get_args

import msgspec

from components.hypervisor.capabilities import Capabilities
from components.hypervisor.errors import HypervisorError, Kind
from components.hypervisor.faulty_machines import FaultyMachines, MachineMethod
from components.hypervisor.protocol import (
    Console,
    DhcpHost,
    DomainEvent,
    DomainFacts,
    Happenings,
    Hypervisor,
    Link,
    NetworkFacts,
    Networks,
    NodeFacts,
    PendingCall,
    Status,
    Version,
)
from components.hypervisor.storage_protocol import Storage

T = TypeVar("T")

_Method = Literal[
    "facts", "fact", "status", "by_name", "xml", "define", "start", "shutdown", "destroy", "undefine",
    "suspend", "resume", "agent", "addresses", "version", "node", "console",
    "network facts", "network fact",
    "network by_name", "network define", "network start", "network stop", "network undefine",
    "network reserve", "network unreserve", "storage pools", "storage pool",
    "storage pool_by_name", "storage define", "storage start", "storage refresh", "storage stop",
    "storage remove_target", "storage undefine", "storage volume", "storage volume_at",
    "storage create", "storage upload", "storage resize", "storage wipe", "storage remove",
    "storage user",
]  # fmt: skip
Method = _Method | MachineMethod
METHODS = (*get_args(_Method), *get_args(MachineMethod))


class Raise(msgspec.Struct, frozen=True):
    """Fail without doing anything."""

    kind: Kind = "Refused"
    code: int = -1
    message: str = "planted fault"


class Lose(msgspec.Struct, frozen=True):
    """Do it, then fail: the answer is lost."""

    kind: Kind = "Unreachable"
    message: str = "planted fault: answer lost"


class Hang(msgspec.Struct, frozen=True):
    """Do not return until `FaultyHypervisor.release`, as a stuck thread; then do it.

    Attributes:
        limit_s: The awaiting gets `Timeout` after so many seconds; none: it waits for the release.
    """

    limit_s: float | None = None


class Crash(msgspec.Struct, frozen=True):
    """Do it, then call a function, which may end the process; its answer is then given."""

    crash: Callable[[], None]


class Delay(msgspec.Struct, frozen=True):
    """Do it later."""

    seconds: float


Fault = Raise | Lose | Hang | Crash | Delay


class _Planted(msgspec.Struct, frozen=True):
    method: Method
    nth: int
    times: int
    fault: Fault

    def hits(self, method: str, count: int) -> bool:
        return method == self.method and self.nth <= count < self.nth + self.times


class _Held:
    """A call whose "thread" has not returned."""

    stuck = False

    def __init__(self, step: str, about: str, work: asyncio.Task[object]) -> None:
        self.step = step
        self.about = about
        self.work = work

    async def wait(self) -> None:
        """Wait until it has returned."""
        await asyncio.wait([self.work])


class FaultyHypervisor:
    """Passes everything on to another hypervisor, apart from the faults planted.

    Attributes:
        calls: Method and first argument of every call so far, in order.
        networks: Its networks; their methods are planted as "network start" and so on.
        storage: Its storage; its methods are planted as "storage create" and so on.
    """

    def __init__(self, inner: Hypervisor) -> None:
        self.networks = _FaultyNetworks(inner.networks, self._pass)
        self.machines = FaultyMachines(inner.machines, self._pass)
        self.storage = cast("Storage", _FaultyStorage(inner.storage, self._pass))
        self.calls: list[tuple[Method, str]] = []
        self._inner = inner
        self._planted: list[_Planted] = []
        self._drop: Callable[[DomainEvent], bool] = lambda _event: False
        self._gate = asyncio.Event()
        self._held: set[_Held] = set()

    # -- planting ---------------------------------------------------------------------------------

    def fail(self, method: Method, fault: Fault, *, nth: int = 1, times: int = 1) -> None:
        """Plant a fault.

        Args:
            method: The call it belongs to.
            fault: What happens.
            nth: At which call of that method, counted from 1 since this object was made.
            times: At how many calls from there on.

        Raises:
            ValueError: There is no such method, or a count is below 1.
        """
        if method not in METHODS or nth < 1 or times < 1:
            raise ValueError(f"no such fault: {method} at call {nth}, {times} times")
        self._planted.append(_Planted(method, nth, times, fault))

    def drop_events(self, which: Callable[[DomainEvent], bool]) -> None:
        """Let readers miss, unnoticed, every event the function is true of, from now on."""
        self._drop = which

    def release(self) -> None:
        """Let all hanging calls go on, now and later."""
        self._gate.set()

    # -- the contract -----------------------------------------------------------------------------

    @property
    def uri(self) -> str:
        """Address of the wrapped hypervisor."""
        return self._inner.uri

    @property
    def caps(self) -> Capabilities:
        """What the wrapped hypervisor can do."""
        return self._inner.caps

    @property
    def state(self) -> Link:
        """How the wrapped connection stands."""
        return self._inner.state

    async def facts(self) -> Sequence[DomainFacts]:
        """List all domains."""
        return await self._pass("facts", "", self._inner.facts)

    async def fact(self, uuid: str) -> DomainFacts | None:
        """Look at one domain."""
        return await self._pass("fact", uuid, lambda: self._inner.fact(uuid))

    async def status(self, uuid: str) -> Status | None:
        """Look at the run state of one domain."""
        return await self._pass("status", uuid, lambda: self._inner.status(uuid))

    async def by_name(self, name: str) -> DomainFacts | None:
        """Look a domain up by name."""
        return await self._pass("by_name", name, lambda: self._inner.by_name(name))

    async def xml(self, uuid: str) -> str:
        """Give the domain's present XML."""
        return await self._pass("xml", uuid, lambda: self._inner.xml(uuid))

    async def define(self, xml: str, *, validate: bool = True) -> str:
        """Make a domain known without starting it."""
        return await self._pass("define", "", lambda: self._inner.define(xml, validate=validate))

    async def start(self, uuid: str, *, paused: bool = False) -> None:
        """Start a defined domain."""
        await self._pass("start", uuid, lambda: self._inner.start(uuid, paused=paused))

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to stop."""
        await self._pass("shutdown", uuid, lambda: self._inner.shutdown(uuid))

    async def destroy(self, uuid: str, *, gentle: bool) -> None:
        """End a domain's instance at once."""
        await self._pass("destroy", uuid, lambda: self._inner.destroy(uuid, gentle=gentle))

    async def undefine(self, uuid: str) -> None:
        """Forget a domain that is not active."""
        await self._pass("undefine", uuid, lambda: self._inner.undefine(uuid))

    async def suspend(self, uuid: str) -> None:
        """Stop its CPUs."""
        await self._pass("suspend", uuid, lambda: self._inner.suspend(uuid))

    async def resume(self, uuid: str) -> None:
        """Let its CPUs go on."""
        await self._pass("resume", uuid, lambda: self._inner.resume(uuid))

    async def agent(self, uuid: str, command: str, *, limit_s: float) -> str:
        """Have the agent in a guest carry a command out."""

        def act() -> Awaitable[str]:
            return self._inner.agent(uuid, command, limit_s=limit_s)

        return await self._pass("agent", uuid, act)

    async def addresses(self, uuid: str) -> Sequence[str]:
        """Give the addresses a guest is known to have."""
        return await self._pass("addresses", uuid, lambda: self._inner.addresses(uuid))

    async def version(self) -> Version:
        """Ask who is there."""
        return await self._pass("version", "", self._inner.version)

    async def node(self) -> NodeFacts:
        """Ask what the machine has."""
        return await self._pass("node", "", self._inner.node)

    async def console(self, uuid: str) -> Console:
        """Open the console of a running domain."""
        return await self._pass("console", uuid, lambda: self._inner.console(uuid))

    def happenings(self, uuid: str = "") -> Happenings:
        """Subscribe to events, without those dropped."""
        return _Sieve(self._inner.happenings(uuid), self._is_dropped)

    def _is_dropped(self, event: DomainEvent) -> bool:
        return self._drop(event)

    def changed_s(self, uuid: str) -> float:
        """Say when a call that changes a domain was last under way at the wrapped hypervisor."""
        return self._inner.changed_s(uuid)

    def pending(self, uuid: str | None = None) -> Sequence[PendingCall]:
        """List calls that hang here, then those of the wrapped hypervisor."""
        held = [call for call in self._held if uuid is None or call.about == uuid]
        return [*held, *self._inner.pending(uuid)]

    async def close(self) -> None:
        """End what still hangs without doing it, and close the wrapped hypervisor."""
        for call in list(self._held):
            call.work.cancel()
            await call.wait()
        await self._inner.close()

    # -- carrying faults out ----------------------------------------------------------------------

    async def _pass(self, method: Method, about: str, act: Callable[[], Awaitable[T]]) -> T:
        self.calls.append((method, about))
        count = sum(name == method for name, _ in self.calls)
        hit = next((one.fault for one in self._planted if one.hits(method, count)), None)
        match hit:
            case None:
                return await act()
            case Raise(kind=kind, code=code, message=message):
                raise HypervisorError(kind, message, step=method, name=about, code=code)
            case Lose(kind=kind, message=message):
                await act()
                raise HypervisorError(kind, message, step=method, name=about)
            case Crash(crash=crash):
                answer = await act()
                crash()
                return answer
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
                return await act()
            case Hang(limit_s=limit_s):
                return await self._hang(method, about, act, limit_s)

    async def _hang(
        self, method: Method, about: str, act: Callable[[], Awaitable[T]], limit_s: float | None
    ) -> T:
        async def like_a_thread() -> T:
            await self._gate.wait()
            return await act()

        work = asyncio.get_running_loop().create_task(like_a_thread())
        held = _Held(method, about, work)
        self._held.add(held)

        def returned(task: asyncio.Task[T]) -> None:
            self._held.discard(held)
            if not task.cancelled():
                task.exception()  # seen, even when nobody awaits it any more

        work.add_done_callback(returned)
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(work)
        except TimeoutError:
            held.stuck = True
            message = f"hypervisor call stuck: {method} {about}".rstrip()
            raise HypervisorError("Timeout", message, step=method, name=about) from None


class _Pass(Protocol):
    """How a call goes through the faults."""

    async def __call__(
        self, method: Method, about: str, act: Callable[[], Awaitable[T]], /
    ) -> T: ...


class _FaultyNetworks:
    """The networks of a hypervisor that fails on demand."""

    def __init__(self, inner: Networks, pass_: _Pass) -> None:
        self._inner = inner
        self._pass = pass_

    async def facts(self) -> Sequence[NetworkFacts]:
        return await self._pass("network facts", "", self._inner.facts)

    async def fact(self, uuid: str) -> NetworkFacts | None:
        return await self._pass("network fact", uuid, lambda: self._inner.fact(uuid))

    async def by_name(self, name: str) -> NetworkFacts | None:
        return await self._pass("network by_name", name, lambda: self._inner.by_name(name))

    async def define(self, xml: str) -> str:
        return await self._pass("network define", "", lambda: self._inner.define(xml))

    async def start(self, uuid: str, *, autostart: bool) -> None:
        def act() -> Awaitable[None]:
            return self._inner.start(uuid, autostart=autostart)

        await self._pass("network start", uuid, act)

    async def stop(self, uuid: str) -> None:
        await self._pass("network stop", uuid, lambda: self._inner.stop(uuid))

    async def undefine(self, uuid: str) -> None:
        await self._pass("network undefine", uuid, lambda: self._inner.undefine(uuid))

    async def reserve(self, uuid: str, host: DhcpHost) -> None:
        await self._pass("network reserve", uuid, lambda: self._inner.reserve(uuid, host))

    async def unreserve(self, uuid: str, host: DhcpHost) -> None:
        await self._pass("network unreserve", uuid, lambda: self._inner.unreserve(uuid, host))


class _FaultyStorage:
    """The storage of a hypervisor that fails on demand: each of its methods by its name."""

    def __init__(self, inner: Storage, pass_: _Pass) -> None:
        self._inner = inner
        self._pass = pass_

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        act = getattr(self._inner, name)
        method = cast("Method", f"storage {name}")

        async def call(*words: object, **options: object) -> object:
            about = str(words[0]) if words and name != "define" else ""
            return await self._pass(method, about, lambda: act(*words, **options))

        return call


class _Sieve:
    """Passes events on, apart from those to drop."""

    def __init__(self, inner: Happenings, drop: Callable[[DomainEvent], bool]) -> None:
        self._inner = inner
        self._drop = drop

    def __aiter__(self) -> _Sieve:
        return self

    async def __anext__(self) -> DomainEvent:
        while True:
            event = await self._inner.__anext__()
            if not self._drop(event):
                return event

    async def aclose(self) -> None:
        await self._inner.aclose()
