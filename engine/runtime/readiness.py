"""Readiness: who may be relied upon; never a reason to end, only to wait.

A component is ready once it is STARTED, its own rule (`sfReadyWhen`) holds, and all its children that
are not tagged `optional` are ready.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.core.events import ReadyChanged
from engine.core.faults import BadDescription, EngineError, HookFailed, NotFound
from engine.core.flows import ChildReady
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.runtime.conditions import judge
from engine.runtime.live import Live, RemotePart
from engine.wire.messages import Handle, Page, ReadTree, TreeRow
from sfdl.values import Kept, Reference, Value, Vector

if TYPE_CHECKING:
    from engine.runtime.process import Process

READY_S = 60.0
"""Seconds somebody waits for another's readiness where `sfReadyTimeout` is not set."""
LOOK_S = 0.25
"""Seconds between looks at a component of another process that is waited for."""
LEAST_S = 0.01
"""Least seconds between looks at a condition."""
CHECK_S = 1.0
"""Most seconds between checks of a component that becomes ready by its check."""


class Readiness:
    """Keeps the readiness of the components of one process, and lets others wait for it."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    # -- what happens

    def started(self, live: Live) -> None:
        """Take in that a component is STARTED."""
        rule = ready_rule(live)
        if live.flow is not None:
            live.unready = {
                name
                for name, child in live.children.items()
                if not child.ready and not _optional(live, name)
            }
        if rule is None or rule == "started":
            live.willing = True
        elif rule == "check":
            live.prim.spawn(self._until_checked(live))
        elif not isinstance(rule, str):
            live.prim.spawn(self.until_true(live, "sfReadyWhen", CHECK_S))
        self._settle(live)

    def adopted(self, live: Live) -> None:
        """Take in that a component runs on after a restart: ready but for children that are down.

        What it has said of itself, as it was taken up again, counts.
        """
        if live.flow is not None:
            live.unready = {
                name
                for name in _expected(live)
                if not (name in live.children and live.children[name].ready)
                and not _optional(live, name)
            }
        live.ready = live.willing and not live.unready

    def say(self, live: Live, *, ready: bool) -> None:
        """Take in what a component says of itself."""
        live.willing = ready
        if live.state is State.STARTED:
            self._settle(live)

    def child(self, live: Live, name: str, *, ready: bool) -> None:
        """Take in that the readiness of a child changed."""
        if live.unready is None:
            return
        if ready or _optional(live, name):
            live.unready.discard(name)
        else:
            live.unready.add(name)
        if live.flow is not None and live.flow.begun and name in live.children:
            live.flow.tell(ChildReady(name, ready))
        if live.state is State.STARTED:
            self._settle(live)

    def without(self, live: Live, name: str) -> None:
        """Take in that a child is no longer there, and not expected back."""
        if live.unready is not None and name in live.unready:
            live.unready.discard(name)
            if live.state is State.STARTED:
                self._settle(live)

    def part(self, part: RemotePart, *, ready: bool) -> None:
        """Take in what was heard about the readiness of a child in another process."""
        if part.ready != ready:
            part.ready = ready
            self.child(part.parent, part.name, ready=ready)

    def _settle(self, live: Live) -> None:
        ready = live.willing and not live.unready
        if live.ready == ready:
            return
        live.ready = ready
        self._process.events.publish(live, ReadyChanged(ready))
        self.wake(live)
        if live.parent is not None:
            self.child(live.parent, live.name, ready=ready)
        elif live.segment.parent is not None:
            self._process.liveness.tell_ready(live.segment, ready=ready)

    def wake(self, live: Live) -> None:
        """Let everybody look who waits for this component: it is ready, or ends."""
        for future in self._waiting.pop(live.id, ()):
            if not future.done():
                future.set_result(None)

    async def _until_checked(self, live: Live) -> None:
        """Check a component until it was well often enough in a row."""
        wanted = live.number("sfReadySuccesses", 1)
        pause_s = min(CHECK_S, live.number("sfLivenessDelay", CHECK_S) or CHECK_S)
        good = 0
        while good < wanted:
            verdict = await self._process.liveness.check(live)
            good = good + 1 if verdict.good else 0
            if good < wanted:
                await asyncio.sleep(pause_s)
        self.say(live, ready=True)

    async def until_true(
        self, live: Live, condition: str, every_s: float, within_s: float = 0.0
    ) -> None:
        """Look at a condition until it is true, and then take its component for ready.

        Args:
            live: The component.
            condition: Its attribute that holds the condition.
            every_s: Seconds between looks.
            within_s: Seconds after which the component ends abnormally; 0: never.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        verdict = await judge(self._process, live, condition)
        while not verdict.good:
            if within_s > 0 and loop.time() >= until:
                text = f"not ready within {within_s:g} s: {verdict.text}"
                self._process.finish(live, Record.abnormal(text))
                return
            await asyncio.sleep(max(every_s, LEAST_S))
            verdict = await judge(self._process, live, condition)
        self.say(live, ready=True)

    # -- waiting

    async def dependencies(self, live: Live) -> None:
        """Wait until everything a component declares in `sfDependsOn` is ready, or has done its job.

        Raises:
            BadDescription: An entry is no reference to a component.
            HookFailed: One of them is not ready in time, or has ended abnormally.
        """
        await asyncio.gather(
            *(self._wait_for(live, each) for each in _listed(live.value("sfDependsOn")))
        )

    async def settled(self, live: Live, name: str, seconds: float) -> None:
        """Wait until a child has been ready for some seconds without a break.

        Raises:
            HookFailed: It was not ready for so long within its `sfReadyTimeout` and that time.
        """
        loop = asyncio.get_running_loop()
        limit_s = live.number("sfReadyTimeout", READY_S) + seconds
        until, since = loop.time() + limit_s, loop.time()
        while loop.time() < until:
            child = live.children.get(name)
            if child is None or child.state.ended:
                break
            if not child.ready:
                since = loop.time()
            elif loop.time() - since >= seconds:
                return
            await asyncio.sleep(min(0.1, seconds))
        raise HookFailed(
            f"was not ready for {seconds:g} s within {limit_s:g} s", code="SF-READY-001",
            where=f"{live.path}:{name}", phase="start",
        )  # fmt: skip

    async def _wait_for(self, live: Live, wanted: Value) -> None:
        if not isinstance(wanted, Reference):
            raise BadDescription(
                "sfDependsOn takes LAZY references to components", code="SF-ORDER-002",
                where=live.path, hint="write sfDependsOn [LAZY database, LAZY PARENT:network]",
            )  # fmt: skip
        found = await self._process.resolver.resolve(live, wanted)
        if not isinstance(found, Handle):
            raise BadDescription(
                "an entry of sfDependsOn is a value, not a component", code="SF-ORDER-002",
                where=live.path,
            )  # fmt: skip
        limit_s = live.number("sfReadyTimeout", READY_S)
        target = self._here(found)
        if target is not None:
            limit_s = target.number("sfReadyTimeout", limit_s)
        try:
            async with asyncio.timeout(limit_s):
                record = await self._until(found, target)
        except TimeoutError as error:
            raise HookFailed(
                f"{found.name}, which it depends on, is not ready within {limit_s:g} s",
                code="SF-READY-001", where=live.path, phase="start",
                hint="sfstatus shows what it waits for; sfReadyTimeout gives it longer",
            ) from error  # fmt: skip
        if record is not None and not record.is_normal:
            raise HookFailed(
                f"{found.name}, which it depends on, has ended: {record.sentence()}",
                code="SF-READY-002", where=live.path, phase="start",
                causes=(record.cause,) if record.cause is not None else (),
            )  # fmt: skip

    def _here(self, handle: Handle) -> Live | None:
        if handle.ident.daemon != self._process.daemon_id:
            return None
        return self._process.lives.get(handle.ident.component)

    async def _until(self, handle: Handle, live: Live | None) -> Record | None:
        """Return once a component is ready, or its record once it has ended."""
        while live is not None:
            if live.ready or live.state.ended:
                return live.record
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(live.id, []).append(future)
            await future
        while True:
            row = await self._look(handle)
            if row is not None and (row.ready or row.record is not None):
                return row.record
            await asyncio.sleep(LOOK_S)

    async def _look(self, handle: Handle) -> TreeRow | None:
        question = ReadTree(ident=handle.ident, depth=0)
        try:
            page = await self._process.peers.read(handle.address, question)
        except NotFound as error:
            raise HookFailed(f"{handle.name} has ended", where=handle.name) from error
        except EngineError:
            return None
        row = page.rows[0] if isinstance(page, Page) and page.rows else None
        return row if isinstance(row, TreeRow) else None


def _listed(value: Value) -> tuple[Value, ...]:
    """Return the entries of a list, also of one that is a function because they are LAZY."""
    match value:
        case None:
            return ()
        case Vector(items):
            return items
        case Kept():
            import sfdl  # noqa: PLC0415 - slow to import, and few trees say this

            return tuple(need.at_holder for need in sfdl.needs(value))
        case _:
            return (value,)


def ready_rule(live: Live) -> Value:
    """Return what says when a component is ready, or NULL: as soon as it has started."""
    return live.value("sfReadyWhen") or type(live.prim).reserved.get("sfReadyWhen")


def _expected(live: Live) -> list[str]:
    """Return the children that are to be there: those described, or present if it makes its own."""
    if type(live.prim).creates_children:
        return list(live.children)
    return [name for name, _ in live.child_descriptions()]


def _optional(live: Live, name: str) -> bool:
    return name in live.prim.dormant() | live.prim.optional() or any(
        name == tagged and "optional" in words for tagged, words in live.description.tags
    )
