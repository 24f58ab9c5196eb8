"""Create, deploy and start: three walks over a tree, each finished everywhere before the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from engine.core.faults import (
    BadDescription,
    Ended,
    EngineError,
    Fault,
    HookFailed,
    Kind,
    WrongState,
    fault_of,
    raised,
)
from engine.core.lifecycle import Permit, Phase, State, may_enter
from engine.runtime.flows import FlowRun
from engine.runtime.kinds import BadValueError
from engine.runtime.live import Live, RemotePart, Segment
from engine.runtime.parts import Parts
from sfdl.values import Description

if TYPE_CHECKING:
    from engine.runtime.process import Process

SLICE = 256
"""Components worked on before other work on the loop gets a turn."""
LIMITS = {Phase.DEPLOY: ("sfDeployTimeout", 60.0), Phase.START: ("sfStartTimeout", 60.0)}
DEPTH, ATTRIBUTES = 128, 4096

log = logging.getLogger("sf.phases")


class Phases:
    """Brings trees to life in one process, and has the parts of others do the same."""

    def __init__(self, process: Process, parts: Parts) -> None:
        """Serve one process."""
        self._process = process
        self._parts = parts
        self._since_pause = 0

    async def _pause(self) -> None:
        self._since_pause += 1
        if self._since_pause >= SLICE:
            self._since_pause = 0
            await asyncio.sleep(0)

    # -- create

    async def create(
        self,
        segment: Segment,
        parent: Live | None,
        name: str,
        description: Description,
        incarnation: int,
    ) -> Live:
        """Create a tree: this process's components first, then the parts for others, together.

        Raises:
            EngineError: Something was refused; what exists is left for the caller to end.
        """
        away: list[tuple[Live, str, Description, str]] = []
        root = self.seat(segment, parent, name, description, incarnation)
        if parent is None:
            segment.root = root
        else:
            parent.children[name] = root
        stack = [(root, 0)]
        while stack:
            live, depth = stack.pop()
            if depth > DEPTH:
                raise BadDescription(f"deeper than {DEPTH} components", where=live.path)
            below: list[tuple[Live, int]] = []
            for child_name, child in self._children(live):
                address = await self._place(live, child)
                if address is not None:
                    away.append((live, child_name, child, address))
                    live.children[child_name] = RemotePart(
                        live, child_name, self._process.new_id(), address
                    )
                    continue
                seat = self.seat(segment, live, child_name, child, incarnation)
                live.children[child_name] = seat
                below.append((seat, depth + 1))
                await self._pause()
            stack.extend(reversed(below))
            self._enter(live, State.CREATED)
        await self._send_out(away)
        return root

    def _children(self, live: Live) -> list[tuple[str, Description]]:
        found = [
            (name, value)
            for name, value in live.description.attributes
            if isinstance(value, Description) and not value.data
        ]
        plain = len(live.description.attributes) - len(found)
        if plain > ATTRIBUTES:
            raise BadDescription(f"more than {ATTRIBUTES} attributes", where=live.path)
        if found and not hasattr(live.prim, "make_flow"):
            kind = type(live.prim).__name__
            raise BadDescription(
                f"{kind} has no children, but {found[0][0]} is a component",
                where=live.path,
                hint=f"write {found[0][0]} extends DATA ... if it is meant as data",
            )
        return found

    def seat(
        self,
        segment: Segment,
        parent: Live | None,
        name: str,
        description: Description,
        incarnation: int,
    ) -> Live:
        """Make one component, bind its plain attributes and register it; runs no hook.

        Raises:
            BadDescription: Its type is unknown or refuses an attribute.
        """
        live = Live(segment, parent, name, description, incarnation)
        live.since_s = asyncio.get_running_loop().time()
        kind = live.value("sfClass")
        if not isinstance(kind, str):
            raise BadDescription(
                "sfClass must name a component type", code="SF-TYPE-101", where=live.path,
                phase="create",
                hint="extend a prototype that has one, or write extends DATA for plain data",
            )  # fmt: skip
        cls = self._process.types.component(kind, where=live.path)
        live.prim = cls()
        live.prim.live = live
        try:
            live.lazy_names = cls.declarations.bind(live.context(), live.bound, where=live.path)
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", phase="create") from error
        make_flow = getattr(live.prim, "make_flow", None)
        if make_flow is not None:
            live.flow = FlowRun(self._process, live, make_flow)
        self._process.register(live)
        return live

    async def _place(self, live: Live, child: Description) -> str | None:
        """Return the address a child is to be made at, or nothing for this process."""
        host = child.get("sfProcessHost")
        process = child.get("sfProcessName")
        if process not in {None, "rootProcess"}:
            raise BadDescription(
                f"sfProcessName {process!r}: only rootProcess is there",
                where=live.path, hint="leave sfProcessName out",
            )  # fmt: skip
        if host is None:
            return None
        found = await self._process.resolver.settle(live, host)
        if not isinstance(found, str):
            raise BadDescription("sfProcessHost must be a host name", where=live.path)
        return await self._process.peers.elsewhere(found, where=live.path)

    async def _send_out(self, away: list[tuple[Live, str, Description, str]]) -> None:
        async def send(live: Live, name: str, child: Description) -> None:
            part = live.children[name]
            if isinstance(part, RemotePart):
                await self._parts.create(part, child)

        await together([lambda row=row: send(*row[:3]) for row in away])  # type: ignore[misc] # bound now

    # -- deploy and start

    async def enter(self, root: Live, phase: Phase) -> None:
        """Walk one tree through deploy or start.

        Raises:
            EngineError: A component failed or its time ran out; the fault names it.
        """
        permit = may_enter(phase, root.state)
        if permit is Permit.DONE:
            return
        if permit is Permit.ENDED:
            raise Ended("component has ended", where=root.path)
        if permit is Permit.WRONG_STATE:
            raise WrongState(f"cannot {phase.value} while {root.state.value}", where=root.path)
        await self._visit(root, phase)

    async def _visit(self, live: Live, phase: Phase) -> None:
        self._enter(live, phase.during)
        hook = f"on_{phase.value}"
        if phase is Phase.START and live.lazy_names:
            await self._guard(live, phase, lambda: self.bind_lazy(live))
        if hook in type(live.prim).hooks:
            await self._guard(live, phase, getattr(live.prim, hook))
        if live.children:
            await self._visit_children(live, phase)
        if phase is Phase.START and "on_started" in type(live.prim).hooks:
            await self._guard(live, phase, live.prim.on_started)
        self._enter(live, phase.after)
        if phase is Phase.START:
            self._process.started(live)
        live.segment.stepped(f"{phase.value} {live.path}")
        await self._pause()

    async def _visit_children(self, live: Live, phase: Phase) -> None:
        limit = live.value("sfConcurrency")

        async def one(child: Live | RemotePart) -> None:
            if isinstance(child, RemotePart):
                await self._parts.enter(child, phase)
                live.segment.stepped(f"{phase.value} {child.path}", child.components)
            else:
                await self._visit(child, phase)

        children = list(live.children.values())
        if not isinstance(limit, int) or isinstance(limit, bool) or limit == 1:
            for child in children:
                await one(child)
            return
        await together([lambda child=child: one(child) for child in children], limit)  # type: ignore[misc] # bound now

    async def bind_lazy(self, live: Live) -> None:
        """Resolve and check the LAZY-valued attributes of a component."""
        for name in live.lazy_names:
            live.bound[name] = await self._process.resolver.fetch(live, name)

    async def _guard(self, live: Live, phase: Phase, hook: Callable[[], Awaitable[None]]) -> None:
        name, default = LIMITS[phase]
        limit_s = live.seconds(name, default)
        bound = asyncio.timeout(limit_s)
        try:
            async with bound:
                await hook()
        except TimeoutError as error:
            text = (
                f"did not {phase.value} within {limit_s:g} s ({name})"
                if bound.expired()
                else f"time ran out in its {phase.value} hook: {error}"
            )
            raise HookFailed(
                text, code="SF-HOOK-002", where=live.path, phase=phase.value
            ) from error
        except BadDescription as error:
            raise _placed(error, live, phase) from error
        except EngineError as error:
            raise HookFailed(
                f"{phase.value} failed: {error.fault.message}", code="SF-HOOK-001",
                where=live.path, phase=phase.value, causes=(error.fault,),
            ) from error  # fmt: skip
        except Exception as error:
            log.warning("%s: %s hook failed", live.path, phase.value, exc_info=error)
            fault = fault_of(error)
            raise HookFailed(
                f"{phase.value} failed: {fault.message}", code="SF-HOOK-001", where=live.path,
                phase=phase.value, causes=(fault,),
            ) from error  # fmt: skip

    def _enter(self, live: Live, state: State) -> None:
        if live.state.ended:
            raise Ended("component has ended", where=live.path)
        live.state = state
        live.since_s = asyncio.get_running_loop().time()
        self._process.events.state(live)


def _placed(error: BadDescription, live: Live, phase: Phase) -> BadDescription:
    fault = error.fault
    return BadDescription(
        fault.message, code=fault.code, where=fault.where or live.path, hint=fault.hint,
        phase=phase.value, causes=fault.causes,
    )  # fmt: skip


async def together(work: list[Callable[[], Awaitable[None]]], limit: int = 0) -> None:
    """Run several pieces at a time, at most `limit` (0: all); the first failure cancels the rest.

    Raises:
        EngineError: The first failure, with those that came with it as further causes.
    """
    gate = asyncio.Semaphore(limit) if limit > 0 else None

    async def one(piece: Callable[[], Awaitable[None]]) -> None:
        if gate is None:
            await piece()
            return
        async with gate:
            await piece()

    try:
        async with asyncio.TaskGroup() as group:
            for piece in work:
                group.create_task(one(piece))
    except BaseExceptionGroup as failures:
        faults = [fault_of(error) for error in failures.exceptions]
        raise raised(_merged(faults)) from failures


def _merged(faults: list[Fault]) -> Fault:
    first = next((fault for fault in faults if fault.kind is not Kind.INTERNAL), faults[0])
    others = tuple(fault for fault in faults if fault is not first)
    return Fault(
        first.kind, first.message, first.code, first.where, first.hint, first.phase,
        (*first.causes, *others), first.undone, first.leftovers,
    )  # fmt: skip
