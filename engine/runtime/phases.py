"""Create, deploy and start: three walks over a tree, each finished everywhere before the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from engine.core.dependencies import edges
from engine.core.faults import (
    BadDescription,
    Busy,
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
from engine.core.ordering import order
from engine.core.secrecy import secret_names
from engine.runtime.flows import FlowRun
from engine.runtime.kinds import BadValueError
from engine.runtime.ledger import put_change
from engine.runtime.live import Live, RemotePart, Segment
from engine.runtime.parts import Parts
from engine.runtime.spelling import nearest
from engine.wire.codec import encode_value
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.runtime.process import Process

SLICE = 256
"""Components worked on before other work on the loop gets a turn."""
LIMITS = {
    Phase.CREATE: ("sfDeployTimeout", 60.0),
    Phase.DEPLOY: ("sfDeployTimeout", 60.0),
    Phase.START: ("sfStartTimeout", 60.0),
}

log = logging.getLogger("sf.phases")


class Phases:
    """Brings trees to life in one process, and has the parts of others do the same."""

    def __init__(self, process: Process, parts: Parts) -> None:
        """Serve one process."""
        self._process = process
        self._parts = parts
        self._since_pause = 0

    async def _pause(self, steps: int = 1) -> None:
        self._since_pause += steps
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
            most = self._process.settings.most_depth
            if depth > most:
                raise BadDescription(f"deeper than {most} components", where=live.path)
            below: list[tuple[Live, int]] = []
            for child_name, child in await self._children(live):
                address = await self._process.subprocesses.locate(live, child)
                if address is not None:
                    away.append((live, child_name, child, address))
                    live.children[child_name] = RemotePart(
                        live, child_name, self._process.new_id(), address
                    )
                    continue
                await self._parts.clear_the_way(
                    segment.origin.application, f"{live.place}:{child_name}"
                )
                seat = self.seat(segment, live, child_name, child, incarnation)
                live.children[child_name] = seat
                below.append((seat, depth + 1))
                await self._pause()
            stack.extend(reversed(below))
            await self._pause(1 + len(below))
            self.put_in_order(live)
            self._enter(live, State.CREATED)
        await self._send_out(away)
        return root

    async def _children(self, live: Live) -> list[tuple[str, Description]]:
        found = live.child_descriptions()
        plain = len(live.description.attributes) - len(found)
        most = self._process.settings.most_attributes
        if plain > most:
            raise BadDescription(f"more than {most} attributes", where=live.path)
        if found and not hasattr(live.prim, "make_flow"):
            kind = type(live.prim).__name__
            meant = nearest(type(live.prim).declarations, found[0][0])
            guess = f"; did you mean {meant}?" if meant else ""
            raise BadDescription(
                f"{kind} has no children, but {found[0][0]} is a component{guess}",
                where=live.path,
                hint=f"write {found[0][0]} extends DATA ... if it is meant as data",
            )
        if type(live.prim).creates_children:
            ours = live.prim.made_with() | live.prim.dormant()
            found = [pair for pair in found if pair[0] in ours]
        if "place_child" not in type(live.prim).hooks:
            return found
        return [(name, await self.placed(live, name, child)) for name, child in found]

    async def placed(self, live: Live, name: str, child: Description) -> Description:
        """Let a compound say where a child belongs; what it adds is kept as a change."""
        if "place_child" not in type(live.prim).hooks:
            return child
        added: Mapping[str, Value] = {}

        async def ask() -> None:
            nonlocal added
            added = await live.prim.place_child(name, child)

        await self._guard(live, Phase.CREATE, ask)
        if not added:
            return child
        found = child.overlaid(tuple(added.items()))
        live.changes[name] = found
        change = put_change(live.segment.id, live.place, name, encode_value(found))
        self._process.ledger.lazy(change)
        return found

    def put_in_order(self, live: Live) -> None:
        """Work out in which order the children come to life, where that is not just declaration.

        Raises:
            BadDescription: `sfDependsOn` runs in a circle.
        """
        if len(live.children) < 2:
            return
        table = live.context() if live.changes else dict(live.description.attributes)
        implicit = live.inherited("sfImplicitDeps") is not False
        names = tuple(live.children)
        found = edges(table, names, live.path.split(":"), implicit=implicit)
        if not found:
            return
        try:
            live.order = order(names, found, together=_limit(live) != 1)
        except BadDescription as error:
            raise _placed(error, live, Phase.CREATE) from error
        for text in live.order.warnings:
            self._process.events.note(live, "warning", text)

    def seat(
        self,
        segment: Segment,
        parent: Live | None,
        name: str,
        description: Description,
        incarnation: int,
        changes: Mapping[str, Value] | None = None,
    ) -> Live:
        """Make one component, bind its plain attributes and register it; runs no hook.

        Args:
            segment: The part of the application it belongs to.
            parent: Its parent in this process.
            name: Its name below that.
            description: What it is made from.
            incarnation: Number of this creation.
            changes: Attributes that differ from the description, after a restart of the daemon.

        Raises:
            BadDescription: Its type is unknown or refuses an attribute.
        """
        most = self._process.settings.most_components
        if len(self._process.lives) >= most:
            raise Busy(
                f"this process holds {most} components and takes no more", code="SF-LIMIT-001",
                where=f"{segment.path if parent is None else parent.path}:{name}",
                hint="spread the tree over processes, or raise most_components",
            )  # fmt: skip
        live = Live(segment, parent, name, description, incarnation)
        live.since_s = asyncio.get_running_loop().time()
        live.changes.update(changes or {})
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
            live.lazy_names = cls.declarations.bind(
                live.context(), live.bound, where=live.path,
                secret=secret_names(live.description),
            )  # fmt: skip
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", phase="create") from error
        make_flow = getattr(live.prim, "make_flow", None)
        if make_flow is not None:
            live.flow = FlowRun(self._process, live, make_flow)
        self._process.register(live)
        return live

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
        if phase is Phase.START and live.has("sfDependsOn"):
            await self._process.readiness.dependencies(live)
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
        async def one(child: Live | RemotePart) -> None:
            if may_enter(phase, child.state) is Permit.DONE or child.state is State.STARTED:
                return  # made by its parent's hook
            if phase is Phase.START and child.name in live.prim.dormant():
                return
            if isinstance(child, RemotePart):
                await self._parts.enter(child, phase)
                live.segment.stepped(f"{phase.value} {child.path}", child.components)
            else:
                await self._visit(child, phase)

        limit = _limit(live)
        waves = live.order.waves if live.order is not None else (tuple(live.children),)
        for wave in waves:
            children = [live.children[name] for name in wave if name in live.children]
            if limit == 1:
                for child in children:
                    await one(child)
            else:
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
            kind = type(live.prim).__name__
            counted = self._process.tally.hook(live.path, kind, phase.value)
            with counted, live.prim.during(phase.value):
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


def _limit(live: Live) -> int:
    """Return how many children may be worked on at a time; 0 is no limit."""
    limit = live.value("sfConcurrency")
    return limit if isinstance(limit, int) and not isinstance(limit, bool) else 1


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
