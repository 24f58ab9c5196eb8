"""What holds a lock, for each scope: an effect, so that rollback, recovery and the reaper know it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeAlias, TypeVar

from msgspec.structs import replace
from typing_extensions import override

from components.coordination.protocol import SessionLost, Standing, Taken
from components.system.program import TOKEN, find_program, started_ticks
from engine.core.faults import EngineError, Refused, Unreachable
from engine.runtime.commands import search_path
from engine.runtime.effects import Effect, Presence, Site

if TYPE_CHECKING:
    from components.coordination.zookeeper import ZooKeeperClaim, ZooKeeperSession

T = TypeVar("T")
Service: TypeAlias = Callable[[Callable[[], T]], T]


class Held(Protocol):
    """A lock that is held.

    Attributes:
        fence: Greater for each later holder; 0 where there is no such number.
    """

    @property
    def fence(self) -> int:
        """Return a number that is greater for each later holder."""
        ...

    @property
    def held(self) -> bool:
        """Say whether it is held at this moment."""
        ...

    def told(self, listener: Callable[[bool], None]) -> None:
        """Call this when it cannot be told for sure that it is held, and when it can again."""
        ...

    async def lost(self) -> str:
        """Wait until it is lost; return why."""
        ...


# -- among the components of one process


class ProcessLocks:
    """The locks of one process: who holds each, and who waits."""

    def __init__(self) -> None:
        """Start with all free."""
        self.queues: dict[str, list[ProcessLock]] = {}
        self.changed = asyncio.Event()

    async def take(self, lock: ProcessLock) -> None:
        """Queue for a lock until it is held.

        Raises:
            Taken: Another still held it when the time was over.
        """
        queue = self.queues.setdefault(lock.name, [])
        if lock not in queue:
            queue.append(lock)
        try:
            async with asyncio.timeout(None if queue[0] == lock else lock.wait_s):
                while queue[0] != lock:
                    await self.changed.wait()
        except TimeoutError:
            holder = queue[0].holder
            self.leave(lock)
            raise taken(lock.name, holder, lock.wait_s) from None
        except BaseException:
            self.leave(lock)
            raise

    def leave(self, lock: ProcessLock) -> None:
        """Give a lock back, or wait for it no longer."""
        queue = self.queues.get(lock.name, [])
        if lock in queue:
            queue.remove(lock)
        self.changed.set()
        self.changed = asyncio.Event()

    def holds(self, lock: ProcessLock) -> bool:
        """Say whether it is this one that holds the lock."""
        return self.queues.get(lock.name, [])[:1] == [lock]


def taken(name: str, holder: str, wait_s: float) -> Taken:
    """Make the error of a lock that another holds."""
    after = f" after {wait_s:g} s" if wait_s else ""
    return Taken(
        f"the lock {name} is held by {holder or 'another'}{after}", code="SF-COORD-003",
        hint="end the holder, or give it a timeout to wait",
    )  # fmt: skip


class ProcessLock(Effect, frozen=True):
    """A lock among the components of this process; it is gone with the process."""

    survival: ClassVar[Literal["host", "process"]] = "process"

    name: str
    holder: str
    token: str
    wait_s: float

    @override
    def label(self) -> str:
        return f"lock {self.name}"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS if at.service(ProcessLocks).holds(self) else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await at.service(ProcessLocks).take(self)
        return self

    @override
    async def undo(self, at: Site) -> None:
        at.service(ProcessLocks).leave(self)

    async def hold(self, service: Service[ProcessLocks]) -> Held:
        """Return the lock as it is held."""
        return _HeldHere(service(ProcessLocks), self)


class _HeldHere:
    fence = 0

    def __init__(self, locks: ProcessLocks, lock: ProcessLock) -> None:
        self._locks, self._lock = locks, lock

    @property
    def held(self) -> bool:
        return self._locks.holds(self._lock)

    def told(self, listener: Callable[[bool], None]) -> None:
        """Have nothing to tell: it is never in doubt."""

    async def lost(self) -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never


# -- among the daemons of one host

ASLEEP_S = 2.0
"""Seconds a holder has for its last step."""
TAKE = """
while :; do
    exec 9<>"$1" || exit 73
    flock --timeout "$2" 9 || exit 75
    [ "$1" -ef /proc/self/fd/9 ] && break
done
: > "$1"; printf '%s\\n' "$3" >&9; echo held
exec sleep infinity > /dev/null
"""
"""Takes the lock of a file, however often that is removed by who gives it back; then waits."""


class HostLock(Effect, frozen=True):
    """A lock among all on this host: the kernel's, on a file, held by a small program of its own.

    The program outlives our process, so that what the lock protects may as well; its end frees the lock.
    """

    file: str
    holder: str
    token: str
    wait_s: float
    pid: int = 0
    started_ticks: int = 0

    @override
    def label(self) -> str:
        return f"lock {Path(self.file).name}"

    @override
    async def look(self, at: Site) -> Presence:
        found = await at.blocking(find_program, self.token)
        return Presence.ABSENT if found is None else Presence.OURS

    @override
    async def make(self, at: Site) -> Self:
        known = await at.blocking(find_program, self.token)
        if known is None:
            pid = await self._take()
            known = pid, started_ticks(pid) or 0
        return replace(self, pid=known[0], started_ticks=known[1])

    async def _take(self) -> int:
        reading, writing = os.pipe()
        words = ["sh", "-c", TAKE, "lock", self.file, f"{self.wait_s:g}", self.holder]
        environment = {**os.environ, "PATH": search_path(), TOKEN: self.token}
        try:
            actions: list[Any] = [
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
            ]
            pid = _spawn(words, environment, actions)
            os.close(writing)
            writing = -1
            try:
                said = await _read(reading)
            except BaseException:
                await _kill(pid)
                raise
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)
        if not said.startswith(b"held"):
            await _kill(pid)
            folder = Path(self.file).parent
            if not os.access(folder, os.W_OK):
                raise Refused(f"{folder} cannot be written to", code="SF-COORD-004")
            name = Path(self.file).name.removeprefix("smartdomains-").removesuffix(".lock")
            raise taken(name, _first_line(self.file), self.wait_s)
        await _asleep(pid)
        return pid

    @override
    async def undo(self, at: Site) -> None:
        found = await at.blocking(find_program, self.token)
        if found is not None:
            if _sleeps(found[0]):  # it holds the lock, so nobody else does; who waits looks again
                Path(self.file).unlink(missing_ok=True)
            await _kill(found[0])

    async def hold(self, service: Service[object]) -> Held:
        """Return the lock as it is held.

        Raises:
            SessionLost: The program that holds it has ended.
        """
        del service
        held = _HeldByProgram(self.pid, self.started_ticks)
        if not held.held:
            raise SessionLost("the program that holds it has ended", code="SF-COORD-002")
        return held


class _HeldByProgram:
    fence = 0

    def __init__(self, pid: int, ticks: int) -> None:
        self._pid, self._ticks = pid, ticks

    @property
    def held(self) -> bool:
        return started_ticks(self._pid) == self._ticks

    def told(self, listener: Callable[[bool], None]) -> None:
        """Have nothing to tell: it is never in doubt."""

    async def lost(self) -> str:
        with contextlib.suppress(ProcessLookupError):
            watch = os.pidfd_open(self._pid)
            try:
                if self.held:
                    await _readable(watch)
            finally:
                os.close(watch)
        _reap(self._pid)
        return "the program that holds it has ended"


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)


async def _read(descriptor: int) -> bytes:
    await _readable(descriptor)
    return os.read(descriptor, 100)


async def _kill(pid: int) -> None:
    """Kill a program and its group, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        watch = os.pidfd_open(pid)
        try:
            os.killpg(pid, signal.SIGKILL)
            await _readable(watch)
        finally:
            os.close(watch)
    _reap(pid)


def _reap(pid: int) -> None:
    """Take note of the end of a child of ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _spawn(words: list[str], environment: dict[str, str], actions: list[Any]) -> int:
    return os.posix_spawn("/bin/sh", words, environment, file_actions=actions, setsid=True)


async def _asleep(pid: int) -> None:
    """Wait a little until a holder has said that it holds the lock and does nothing any more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ASLEEP_S):
            while not _sleeps(pid):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.002)


def _sleeps(pid: int) -> bool:
    """Say whether a program has come to its last step: it has the lock, and waits."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except OSError:
        return False


def _first_line(file: str) -> str:
    try:
        return Path(file).read_text("utf-8", "replace").partition("\n")[0]
    except OSError:
        return ""


# -- among all clients of an ensemble


class Sessions:
    """The sessions by which this process holds locks, by the token of each."""

    def __init__(self) -> None:
        """Start without any."""
        self.open: dict[str, ZooKeeperSession] = {}

    async def close(self) -> None:
        """Let go without ending them: the next life of this process takes them up again."""
        for session in list(self.open.values()):
            await session.abandon()
        self.open.clear()


class ZooKeeperLock(Effect, frozen=True):
    """A lock among all clients of an ensemble: a node that lives as long as its session.

    Attributes:
        path: Where those who want it queue.
        token: Marks our node in the queue.
        session, secret: What takes the session up again while it lives; 0 before it was made.
        node: Our node below the path.
    """

    servers: tuple[str, ...]
    path: str
    holder: str
    token: str
    wait_s: float
    length_s: float
    session: int = 0
    secret: bytes = b""
    node: str = ""

    @override
    def label(self) -> str:
        return f"lock {self.path}"

    @property
    def who(self) -> str:
        """Return what others see of it."""
        return f"{self.holder} {self.token}"

    @override
    async def look(self, at: Site) -> Presence:
        held = at.service(Sessions).open.get(self.token)
        if held is not None:
            lost = held.standing is Standing.LOST
            return Presence.ABSENT if lost else Presence.OURS
        if not self.session and not self.node:
            return Presence.ABSENT  # its session was never known: it ends by itself
        try:
            node = await self._found()
        except EngineError:
            return Presence.UNKNOWN
        return Presence.OURS if node else Presence.ABSENT

    async def _found(self, *, remove: bool = False) -> str:
        """Look for our node with a session of its own, and remove it if asked for."""
        from components.coordination.zookeeper import ZooKeeperSession  # noqa: PLC0415 - kazoo

        session = await ZooKeeperSession.open(self.servers, self.length_s, within_s=5.0)
        try:
            node = await session.node_of(self.path, self.who)
            if node and remove:
                await session.remove(f"{self.path}/{node}")
        finally:
            await session.close()
        return node

    @override
    async def make(self, at: Site) -> Self:
        from components.coordination.zookeeper import ZooKeeperSession  # noqa: PLC0415 - kazoo

        known = at.service(Sessions).open
        if self.token in known and known[self.token].standing is not Standing.LOST and self.node:
            return self
        session = await ZooKeeperSession.open(self.servers, self.length_s)
        known[self.token] = session
        try:
            claim = await session.claim(self.path, self.who, self.wait_s)
        except Taken as error:
            await self._end(at)
            holder = error.fault.message.rpartition(" by ")[2].split(" ")[0]
            raise taken(self.path, holder, self.wait_s) from error
        except BaseException:
            await asyncio.shield(self._end(at))
            raise
        ticket = session.ticket
        return replace(self, session=ticket.id, secret=ticket.password, node=claim.node)

    async def _end(self, at: Site) -> None:
        session = at.service(Sessions).open.pop(self.token, None)
        if session is not None:
            await session.close()

    @override
    async def undo(self, at: Site) -> None:
        held = self.token in at.service(Sessions).open
        await self._end(at)
        if not held and self.session:
            await self._found(remove=True)

    async def hold(self, service: Service[Sessions]) -> Held:
        """Return the lock as it is held, its session taken up again if it is of an earlier life.

        Raises:
            SessionLost: It is not held any more, or that cannot be told in time.
        """
        from components.coordination.line import Pass  # noqa: PLC0415
        from components.coordination.zookeeper import ZooKeeperSession  # noqa: PLC0415

        known = service(Sessions).open
        if self.token not in known:
            ticket = Pass(self.session, self.secret)
            try:
                known[self.token] = await ZooKeeperSession.open(
                    self.servers, self.length_s, ticket=ticket, within_s=self.length_s
                )
            except Unreachable as error:  # by now it is over, and others may hold the lock
                raise SessionLost(error.fault.message, code="SF-COORD-002") from error
        return _HeldBySession(await known[self.token].regained(self.path, self.node))


class _HeldBySession:
    def __init__(self, claim: ZooKeeperClaim) -> None:
        self._claim = claim
        self.fence = claim.fence

    @property
    def held(self) -> bool:
        return self._claim.held

    def told(self, listener: Callable[[bool], None]) -> None:
        self._claim.session.told(lambda standing: listener(standing is Standing.CONNECTED))

    async def lost(self) -> str:
        return await self._claim.lost()
