"""Engines for tests: several processes in one, over an in-memory network with faults.

Under `virtual_time` the loop's clock jumps to the next timer whenever nothing else is to be done, so
minutes of liveness pass in milliseconds and the same way each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from typing_extensions import override

from engine.core.faults import EngineError, NotFound, TimedOut, Unreachable, raised
from engine.core.records import Record
from engine.runtime.ledger import Ledger
from engine.runtime.process import Process
from engine.runtime.verbs import Verbs
from engine.runtime.workers import InlineWorkers, ThreadWorkers
from engine.security.identity import Caller, Role
from engine.settings import Settings
from engine.wire.codec import decode, encode, flatten
from engine.wire.messages import (
    Change,
    Create,
    Gone,
    Grown,
    Op,
    Page,
    Plan,
    ReadTree,
    ReadUpdate,
    Request,
    Result,
    Set,
    Terminate,
    TreeRow,
    Update,
    Updated,
    as_tree,
)
from sfdl.values import Description, Part, PartKind, Reference, Value, Vector

T = TypeVar("T")
PEER = Caller("a process of this test", "daemon", frozenset({Role.PEER}))


def tree(attributes: Mapping[str, object]) -> Description:
    """Build a description from plain data; `lazy(...)` gives references, lists become vectors."""

    def value(item: object) -> Value:
        if isinstance(item, Mapping):
            return tree(item)
        if isinstance(item, list | tuple):
            return Vector(tuple(value(each) for each in item))
        return item  # type: ignore[return-value] # plain scalars and language values

    return Description(tuple((name, value(item)) for name, item in attributes.items()))


def lazy(path: str) -> Reference:
    """Build a LAZY reference from `a:b` or `PARENT:a`.

    Example:
        >>> lazy("PARENT:x").parts[0].kind.value
        'PARENT'
    """
    parts = []
    for index, word in enumerate(path.split(":")):
        if word in {"PARENT", "ROOT", "THIS"}:
            parts.append(Part(PartKind(word)))
        else:
            parts.append(Part(PartKind.ATTRIB if index == 0 else PartKind.HERE, word))
    return Reference(tuple(parts), lazy=True)


CRASHED: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""Loops in which a process was killed: what it was doing is still there, as nothing of it is after a
real crash."""


class Rule:
    """One fault on the network.

    Attributes:
        mode: `drop` the message, `lose` its answer, `twice` delivers it two times, `cut` drops all.
    """

    def __init__(
        self, mode: str, *, verb: str = "", to: str = "", times: int = 1, delay_s: float = 0.0
    ) -> None:
        """Take what to do, to which verb and peer, and how often."""
        self.mode = mode
        self.verb = verb
        self.to = to
        self.times = times
        self.delay_s = delay_s

    def fits(self, verb: str, to: str) -> bool:
        """Say whether the rule strikes this message, and count it."""
        if self.times == 0 or self.verb not in {"", verb} or self.to not in {"", to}:
            return False
        self.times -= 1
        return True


class MemoryNetwork:
    """Carries messages between processes in one loop, through the same encoding as the wire."""

    def __init__(self) -> None:
        """Start without processes or faults."""
        self.verbs: dict[str, Verbs] = {}
        self.rules: list[Rule] = []
        self.sent: list[tuple[str, str]] = []
        self.severed: set[tuple[str, str]] = set()
        self.spawners: dict[str, MemorySpawner] = {}

    def connector(self, origin: str) -> Callable[[str, str], MemoryLink]:
        """Return what makes links for the process at this address."""
        return lambda address, _class: MemoryLink(self, origin, address)

    def kill(self, process: Process) -> None:
        """Let a process be gone: it does nothing any more, and its ledger keeps what is written."""
        CRASHED.add(asyncio.get_running_loop())
        self.verbs.pop(process.address, None)
        tasks: list[asyncio.Task[Any]] = [
            *process._tasks,
            *process._works,
            *process.operations._tasks,
        ]
        for live in process.lives.values():
            tasks.extend(live.tasks)
            tasks.extend(live.flow.stop() if live.flow is not None else ())
        for task in tasks:
            task.cancel()
        process.ledger.close()

    def sever(self, origin: str, to: str) -> None:
        """Let nothing pass from one process to another any more; the way back is another one."""
        self.severed.add((origin, to))


class MemoryLink:
    """A link on the in-memory network."""

    certificate = ""

    def __init__(self, network: MemoryNetwork, origin: str, address: str) -> None:
        """Take the network and both ends."""
        self._network = network
        self._origin = origin
        self._address = address

    async def call(self, verb: str, message: bytes, budget_s: float) -> bytes:
        """Deliver one message, unless a rule says otherwise."""
        network = self._network
        network.sent.append((verb, self._address))
        rule = next((rule for rule in network.rules if rule.fits(verb, self._address)), None)
        try:
            async with asyncio.timeout(budget_s):
                return await self._deliver(rule, verb, message)
        except TimeoutError as error:
            raise TimedOut(f"{self._address} did not answer within {budget_s:g} s") from error

    async def _deliver(self, rule: Rule | None, verb: str, message: bytes) -> bytes:
        target = self._network.verbs.get(self._address)
        if rule is not None and rule.delay_s:
            await asyncio.sleep(rule.delay_s)
        cut = (self._origin, self._address) in self._network.severed
        if target is None or cut or (rule is not None and rule.mode in {"drop", "cut"}):
            raise Unreachable(f"{self._address} cannot be reached: connection refused")
        answer = await target.handle(verb, message, PEER)
        if rule is not None and rule.mode == "twice":
            answer = await target.handle(verb, message, PEER)
        if rule is not None and rule.mode == "lose":
            raise Unreachable(f"{self._address}: the connection broke")
        return answer

    def close(self) -> None:
        """Have nothing to close."""


class Engine:
    """One process on the in-memory network, and what tests ask of it."""

    def __init__(self, process: Process) -> None:
        """Wrap a process that has begun."""
        self.process = process

    async def submit(self, op: Op, request_id: str = "", budget_s: float = 600.0) -> Result:
        """Carry out an operation and return its result, or raise as it failed."""
        request = Request(request_id or self.process.new_id(), op, int(budget_s * 1000), 20_000)
        while True:
            answer = await self.process.operations.submit(request)
            if answer.fault is not None:
                raise raised(answer.fault)
            if answer.status == "done" and answer.result is not None:
                return answer.result

    async def deploy(self, name: str, description: Description | Mapping[str, object]) -> Grown:
        """Start an application and wait until it has started."""
        root = description if isinstance(description, Description) else tree(description)
        op = Create(self.process.new_id(), name, name, name, flatten(root), upto="started")
        result = await self.submit(op)
        if not isinstance(result, Grown):
            raise EngineError("unexpected answer")
        return result

    async def update(
        self, name: str, description: Description | Mapping[str, object], *, expect: str = ""
    ) -> Updated:  # fmt: skip
        """Change a running application as described, and wait until that is done."""
        root = description if isinstance(description, Description) else tree(description)
        result = await self.submit(Update(name, flatten(root), expect=expect), budget_s=60.0)
        if not isinstance(result, Updated):
            raise EngineError("unexpected answer")
        return result

    async def plan(self, name: str, description: Description | Mapping[str, object]) -> Plan:
        """Say what an update would do, changing nothing."""
        root = description if isinstance(description, Description) else tree(description)
        answer = await self.process.reader.read(ReadUpdate(flatten(root), name))
        if not isinstance(answer, Plan):
            raise EngineError("unexpected answer")
        return answer

    async def terminate(self, ref: str, record: Record | None = None) -> Gone:
        """End a component and wait until it is gone."""
        result = await self.submit(Terminate(record or Record.normal("test over"), ref=ref))
        if not isinstance(result, Gone):
            raise EngineError("unexpected answer")
        return result

    async def set(self, ref: str, name: str, value: Value) -> None:
        """Change an attribute of a component, as `sfset` does."""
        await self.submit(Set((Change(name, "replace", as_tree(value)),), ref=ref))

    async def call(self, path: str, method: str, *data: object, **named: object) -> object:
        """Call an exposed method of a component of this process and return its result.

        Args:
            path: Names from the application downwards, joined by `:`.
            method: Its name.
            data: Arguments.
            named: Further ones by name.
        """
        by_name = encode(named) if named else b""
        live = next((each for each in self.process.lives.values() if each.path == path), None)
        if live is None:
            raise NotFound(f"there is no {path} in this process")
        return decode(
            await self.process.calls.invoke(live.ident, method, encode(list(data)), by_name), object
        )

    async def rows(self, ref: str) -> list[TreeRow]:
        """Return the tree of a component over all processes."""
        rows: list[TreeRow] = []
        after = ""
        while True:
            page = await self.process.reader.read(ReadTree(ref=ref, after=after))
            if not isinstance(page, Page):
                raise EngineError("unexpected answer")
            rows.extend(row for row in page.rows if isinstance(row, TreeRow))
            after = page.next
            if not after:
                return rows


@contextlib.asynccontextmanager
async def engines(
    folder: Path, count: int = 1, *, threads: bool = False, **settings: Any
) -> AsyncIterator[tuple[MemoryNetwork, list[Engine]]]:
    """Run `count` processes on one in-memory network, named `host1`, `host2`, ...

    Args:
        folder: Where their ledgers and work go.
        count: How many.
        threads: Use real worker threads and ledger threads instead of inline ones.
        settings: Further settings for all of them.
    """
    network = MemoryNetwork()
    addresses = {f"host{n}": f"host{n}:3800" for n in range(1, count + 1)}
    made: list[Engine] = []
    try:
        for name, address in addresses.items():
            made.append(
                await begin(
                    network, folder / name, name, address, addresses, threads=threads, **settings
                )
            )
        yield network, made
    finally:
        for engine in made:
            network.verbs.pop(engine.process.address, None)
            await engine.process.stop()


async def begin(
    network: MemoryNetwork, folder: Path, name: str, address: str, peers: Mapping[str, str], *,
    threads: bool = False,
    **settings: Any,
) -> Engine:  # fmt: skip
    """Begin one process on the network; its ledger file in `folder` may be of an earlier life."""
    known = Settings(
        node=name, state_dir=str(folder), peers=dict(peers), community="test", **settings
    )
    state = known.folder if known.root else folder
    state.mkdir(parents=True, exist_ok=True)
    process = Process(
        known,
        address=address,
        ledger=Ledger(state / "ledger.sqlite", inline=not threads),
        workers=ThreadWorkers(8) if threads else InlineWorkers(),
        connect=network.connector(address),
        spawner=None
        if known.root
        else MemorySpawner(network, folder, name, address, peers, settings),
    )
    network.verbs[address] = Verbs(process)
    await process.begin()
    return Engine(process)


class MemorySpawner:
    """Starts sub-processes as further processes on the in-memory network."""

    def __init__(
        self, network: MemoryNetwork, folder: Path, name: str, root: str,
        peers: Mapping[str, str], settings: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Take what a sub-process of this host is made from."""
        self._network = network
        self._begin = (folder, name)
        self._root = root
        self._peers = peers
        self._settings = dict(settings)
        self.children: dict[str, MemoryChild] = {}
        network.spawners[root] = self

    def check(self, config: Mapping[str, str]) -> None:
        """Find nothing wrong."""

    async def spawn(self, name: str, config: Mapping[str, str], *, clean: bool) -> MemoryChild:
        """Begin a sub-process; see `engine.runtime.subprocesses.Spawner`."""
        del config
        folder, host = self._begin
        address = f"{self._root}/{name}"
        settings = {**self._settings, "process": name, "root": self._root, "clean": clean}
        engine = await begin(self._network, folder, host, address, self._peers, **settings)
        child = MemoryChild(self._network, engine)
        self.children[name] = child
        return child


class MemoryChild:
    """A sub-process on the in-memory network."""

    def __init__(self, network: MemoryNetwork, engine: Engine) -> None:
        """Take the process that has begun."""
        self.engine = engine
        self.address = engine.process.address
        self._network = network
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stopped = asyncio.ensure_future(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self.engine.process.stopping.wait()
        await self.engine.process.stop()
        self._gone(0)

    def _gone(self, status: int) -> None:
        self._network.verbs.pop(self.address, None)
        if not self._status.done():
            self._status.set_result(status)

    async def ended(self) -> int:
        """Wait for its end and return its exit status."""
        return await asyncio.shield(self._status)

    def end(self, *, force: bool) -> None:
        """Have it let go and end; by force it is just gone."""
        if force:
            self.kill()
        else:
            self.engine.process.stopping.set()

    def kill(self) -> None:
        """Let it be gone from one moment to the next: nothing of it does anything any more."""
        self._stopped.cancel()
        self._network.kill(self.engine.process)
        self._gone(-9)


async def until(condition: Callable[[], T], *, timeout_s: float = 10.0) -> T:
    """Wait until a condition holds and return what it gave; say what it gave last if it never does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while True:
        seen = condition()
        if seen:
            return seen
        if loop.time() >= end:
            raise AssertionError(f"not within {timeout_s:g} s; last seen: {seen!r}")
        await asyncio.sleep(0.01)


MOST_TURNS = 10_000
"""Turns of a virtual loop at one moment before something is taken to spin for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: the clock jumps instead."""

    loop: VirtualLoop
    turns: int = 0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = [] if self.loop.alone else super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing left to happen: the test waits for ever")
        if not ready and timeout is not None and timeout > 0:
            self.loop.now_s += timeout
            self.turns = 0
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise RuntimeError("time stands still: something spins for ever")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else is to be done.

    Attributes:
        alone: Nothing outside the loop is waited for: no socket, no thread, no child.
    """

    alone = False

    def __init__(self) -> None:
        """Start at second 1000."""
        self.now_s = 1000.0
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self

    @override
    def time(self) -> float:
        """Return virtual seconds."""
        return self.now_s


def virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end under virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
