"""The sub-processes of a host: started on first need, watched by their end, cleaned up after.

Only the root process of a host starts others. A sub-process is a whole engine process with a ledger of
its own, below its root's folder, and a port it keeps over restarts. It dies with its root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import DecodeError, json

from engine.core.decoding import from_json
from engine.core.faults import BadDescription, EngineError, Refused, fault_of
from engine.core.records import LIVENESS_FAILURE, Record
from engine.folders import PASSED
from engine.runtime.ledger import Ledger, LedgerError, SegmentRow
from engine.security.files import write_whole
from engine.wire.codec import decode
from engine.wire.messages import Notice, ParentLink, Spawn, Spawned, Stop
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.runtime.live import Live
    from engine.runtime.process import Process

ROOT = "rootProcess"
CONFIG = frozenset({"nice", "memoryMax", "cpuMax", "user"})
"""What `sfProcessConfig` may say beside the environment."""
REMEMBERED = ".json"
"""Files beside the folders of sub-processes: how each was to run."""
CLEANINGS = 3
"""Attempts to clean up after a sub-process that died."""
STOP_S = 60.0
CLOSE_S = 10.0
"""Seconds a sub-process may take to let go, beside what is ending in it."""


class Child(Protocol):
    """One sub-process as its root sees it."""

    address: str

    async def ended(self) -> int:
        """Wait for its end and return its exit status; negative: killed by that signal."""
        ...

    def end(self, *, force: bool) -> None:
        """Ask it to let go of everything and end; with `force` kill it."""
        ...


class Spawner(Protocol):
    """Starts sub-processes."""

    def check(self, config: Mapping[str, str]) -> None:
        """Check whether what `sfProcessConfig` asks for can be had here, starting nothing.

        Raises:
            Refused: It cannot; the message says why.
            BadDescription: A value makes no sense.
        """
        ...

    async def spawn(self, name: str, config: Mapping[str, str], *, clean: bool) -> Child:
        """Start one and wait until it answers.

        Args:
            name: Its name on this host.
            config: What `sfProcessConfig` says: `env.NAME`, `nice`, `memoryMax`, `cpuMax`, `user`.
            clean: Undo everything an earlier life of it has left, instead of taking it up.

        Raises:
            Refused: It cannot be started; the message says why.
        """
        ...


class Subprocesses:
    """Starts, finds and ends the sub-processes of a root process."""

    def __init__(self, process: Process, spawner: Spawner | None) -> None:
        """Serve one process; only a root process has a spawner."""
        self._process = process
        self._spawner = spawner
        self._running: dict[str, Child] = {}
        self._starting: dict[str, asyncio.Future[Child]] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def addresses(self) -> dict[str, str]:
        """Return where the running ones answer, by name."""
        return {name: child.address for name, child in self._running.items()}

    # -- finding and starting

    async def locate(self, live: Live, description: Description) -> str | None:
        """Return the address a child is to be made at, or nothing for this very process.

        Raises:
            BadDescription: `sfProcessHost` or `sfProcessName` is no name.
            Unreachable: The host does not answer.
            Refused: The sub-process cannot be started.
        """
        host = await self._text(live, description, "sfProcessHost")
        name = await self._text(live, description, "sfProcessName")
        process = self._process
        if host is None and name is None:
            return None
        root = process.root_address
        if host is not None:
            root = await process.peers.elsewhere(host, where=live.path) or process.address
        address = root
        if name not in {None, ROOT}:
            value = description.get("sfProcessConfig")
            if value is None:
                value = live.inherited("sfProcessConfig")
            address = await self._address_at(root, str(name), _config(value, live.path), live)
        return None if address == process.address else address

    async def _text(self, live: Live, description: Description, attribute: str) -> str | None:
        value = description.get(attribute)
        if value is None:
            return None
        found = await self._process.resolver.settle(live, value)
        if not isinstance(found, str):
            raise BadDescription(f"{attribute} must be a name", where=live.path, phase="create")
        return found

    async def _address_at(self, root: str, name: str, config: dict[str, str], live: Live) -> str:
        limit_s = live.number("sfProcessTimeout", self._process.settings.process_timeout_s)
        if root == self._process.address:
            return (await self.ensure(name, config, limit_s)).address
        spawned = await self._process.peers.submit(
            root,
            Spawn(name, tuple(config.items()), limit_s),
            request_id=self._process.new_id(),
            budget_s=limit_s + 5.0,
        )
        if not isinstance(spawned, Spawned):
            raise EngineError(f"{root} gave another answer than asked for")
        return spawned.address

    def check(self, description: Description, where: str) -> None:
        """Check whether a description's sub-process can be had here as it asks, starting nothing.

        Raises:
            Refused: It cannot.
            BadDescription: What it asks for makes no sense.
        """
        name = description.get("sfProcessName")
        if not isinstance(name, str) or name == ROOT or self._process.settings.process != ROOT:
            return
        self._check(name)
        if self._spawner is not None and name not in self._running:
            self._spawner.check(_config(description.get("sfProcessConfig"), where))

    async def spawn(self, op: Spawn) -> Spawned:
        """Have a sub-process there, and say where it answers; asked by other processes."""
        child = await self.ensure(op.name, dict(op.config), op.limit_s)
        return Spawned(op.name, child.address)

    async def ensure(self, name: str, config: Mapping[str, str], limit_s: float) -> Child:
        """Return the sub-process of that name, starting it if need be; many may ask at a time.

        Raises:
            Refused: Sub-processes are not allowed here, or it cannot be started.
        """
        if name in self._running:
            return self._running[name]
        if name in self._starting:
            return await asyncio.shield(self._starting[name])
        self._check(name)
        return await self._start(name, config, limit_s, clean=False)

    def _check(self, name: str) -> None:
        process = self._process
        if self._spawner is None or not process.settings.subprocesses:
            raise Refused(
                f"no sub-process {name}: this process starts none", code="SF-PROC-001",
                where=process.address, hint="set subprocesses = true, or leave sfProcessName out",
            )  # fmt: skip
        if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 64:
            raise BadDescription(
                f"{name!r} is no name for a process", code="SF-PROC-002",
                hint="letters, digits, - and _, at most 64",
            )  # fmt: skip
        if process.state != "running" or self._closing:
            raise Refused(f"the daemon is {process.state}", where=process.address)

    async def _start(
        self, name: str, config: Mapping[str, str], limit_s: float, *, clean: bool
    ) -> Child:
        if self._spawner is None:
            raise Refused(f"no sub-process {name}: this process starts none", code="SF-PROC-001")
        future: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._starting[name] = future
        try:
            async with asyncio.timeout(limit_s):
                self._remember(name, config)
                child = await self._spawner.spawn(name, config, clean=clean)
        except (EngineError, OSError, TimeoutError) as error:
            fault = fault_of(error)
            text = f"sub-process {name} could not be started: {fault.message}"
            refused = Refused(
                text, code="SF-PROC-003", where=self._process.address, causes=(fault,)
            )
            future.set_exception(refused)
            future.exception()  # whoever waits sees it; nobody need wait
            raise refused from error
        else:
            self._running[name] = child
            future.set_result(child)
        finally:
            del self._starting[name]
        self._process.events.note(None, "info", f"sub-process {name} answers at {child.address}")
        self._process.relays.follow(child.address, "", inf)
        task = asyncio.get_running_loop().create_task(self._watch(name, child, config))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        return child

    @property
    def _folder(self) -> Path:
        return self._process.settings.folder / "processes"

    def _remember(self, name: str, config: Mapping[str, str]) -> None:
        """Write down how a sub-process is to run: as that, and not as us, it is taken up again."""
        self._folder.mkdir(mode=PASSED, parents=True, exist_ok=True)
        self._folder.chmod(PASSED)
        write_whole(self._folder / f"{name}{REMEMBERED}", json.encode(dict(config)), 0o600)

    def _remembered(self, name: str) -> dict[str, str]:
        try:
            return from_json((self._folder / f"{name}{REMEMBERED}").read_bytes(), dict[str, str])
        except FileNotFoundError:
            return {}

    # -- after a restart of the root

    async def take_up(self) -> None:
        """Start those again that an earlier life of this root has left with something in hand."""
        if self._spawner is None:
            return
        for each in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            if each.is_dir() and _holds_something(each):
                limit_s = self._process.settings.process_timeout_s
                try:
                    await self._start(each.name, self._remembered(each.name), limit_s, clean=False)
                except (Refused, DecodeError) as error:
                    self._process.events.note(None, "error", fault_of(error).message)

    # -- the end of one

    async def _watch(self, name: str, child: Child, config: Mapping[str, str]) -> None:
        """Wait for the end of one; what it held is dead at once, its name free, the rest undone."""
        status = await child.ended()
        self._process.relays.leave(child.address)
        if self._running.get(name) is child:
            del self._running[name]
        if self._closing:
            return
        folder = self._folder / name
        rows = _segments(folder)
        text = f"its process {name} ended with status {status}"
        self._process.events.note(
            None, "warning" if rows else "info", f"sub-process {name}: {text}"
        )
        for row in rows:
            self._report(row, Record(LIVENESS_FAILURE, text, row.path, self._process.wall_s()))
        for attempt in range(CLEANINGS):
            if self._stopping() or name in self._running or not _holds_something(folder):
                return
            try:
                await self._start(
                    name, config, self._process.settings.process_timeout_s, clean=True
                )
            except Refused as error:
                self._process.events.note(None, "error", error.fault.message)
                await asyncio.sleep(2.0**attempt)
            else:
                return

    def _stopping(self) -> bool:
        return self._closing

    def _report(self, row: SegmentRow, record: Record) -> None:
        if row.parent is None:
            return
        parent = decode(row.parent, ParentLink)
        notice = Notice(row.id, parent.ident, record)
        if parent.ident.daemon == self._process.daemon_id:
            self._process.noticed(notice)
        else:
            self._process.liveness.tell(parent.address, notice)

    # -- the end of all

    async def stop(self) -> None:
        """End all components of all sub-processes, then the sub-processes."""
        self._closing = True
        asked = [
            self._process.peers.submit(
                child.address, Stop(), request_id=self._process.new_id(), budget_s=STOP_S
            )
            for child in self._running.values()
        ]
        await asyncio.gather(*asked, return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        """Let all sub-processes go, keeping what they made; killed if they take too long."""
        self._closing = True
        children = list(self._running.values())
        for child in children:
            child.end(force=False)
        ends = [asyncio.ensure_future(child.ended()) for child in children]
        if ends:
            limit_s = self._process.settings.leave_timeout_s + CLOSE_S
            await asyncio.wait(ends, timeout=limit_s)
        for child, end in zip(children, ends, strict=True):
            if not end.done():
                child.end(force=True)
                end.cancel()
        for task in list(self._watches):
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)


def _config(value: Value, where: str) -> dict[str, str]:
    """Read `sfProcessConfig` into plain words."""
    if not isinstance(value, Description):
        return {}
    found: dict[str, str] = {}
    for name, item in value.attributes:
        if name == "environment" and isinstance(item, Description):
            found.update({f"env.{key}": str(each) for key, each in item.attributes})
        elif name in CONFIG and isinstance(item, str | int | float):
            found[name] = str(item)
        else:
            raise BadDescription(
                f"sfProcessConfig has no {name}, or not as that", code="SF-PROC-004",
                where=where, hint=f"environment (a block), {', '.join(sorted(CONFIG))}",
            )  # fmt: skip
    return found


def _segments(folder: Path) -> list[SegmentRow]:
    """Read what a sub-process that has ended held."""
    file = folder / "ledger.sqlite"
    if not file.is_file() or file.is_symlink():
        return []
    try:
        ledger = Ledger(file, inline=True)
    except LedgerError:
        return []
    try:
        return ledger.segments()
    finally:
        ledger.close()


def _holds_something(folder: Path) -> bool:
    """Say whether a sub-process that has ended left segments or effects."""
    file = folder / "ledger.sqlite"
    if not file.is_file() or file.is_symlink():
        return False
    try:
        ledger = Ledger(file, inline=True)
    except LedgerError:
        return True
    try:
        counts = ledger.counts()
    finally:
        ledger.close()
    return bool(counts["segments"] or counts["effects"])
