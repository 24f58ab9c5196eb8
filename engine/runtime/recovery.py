"""After a restart: what the ledger says was here is adopted where it lives on, else undone.

Each application recovers by itself. Below a durable STARTED, a component whose host effects are all in
place goes on under its old id; one that has lost something has ended, and its parent decides.
Whatever had not been started, or was ending, is undone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.core.events import Noted
from engine.core.faults import EngineError, fault_of
from engine.core.leases import Verdict
from engine.core.lifecycle import State
from engine.core.records import ABNORMAL, DEPLOYMENT_FAILURE, Record
from engine.runtime.effects import Presence
from engine.runtime.kinds import BadValueError
from engine.runtime.ledger import EffectRow, SegmentRow, drop_effect
from engine.runtime.live import Live, Made, RemotePart, Segment
from engine.runtime.parts import RemoteSegment
from engine.wire.codec import decode, decode_tree
from engine.wire.messages import ParentLink, Plain
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.runtime.process import Process

LOOK_S = 60.0
REMOTE = f"{RemoteSegment.__module__}:{RemoteSegment.__qualname__}"


class Recovery:
    """Brings one process back to what its ledger says."""

    def __init__(self, process: Process) -> None:
        """Serve one process; `run` is called once, before anything else is accepted."""
        self._process = process

    async def run(self) -> None:
        """Adopt or undo every segment in the ledger; leave a report in the events."""
        ledger = self._process.ledger
        rows = ledger.segments()
        effects: dict[str, list[EffectRow]] = {}
        for effect in ledger.effects():
            effects.setdefault(effect.segment, []).append(effect)
        for row in rows:
            mine = effects.pop(row.id, [])
            if row.state == "started" and row.recovery == "adopt":
                await self._adopt(row, mine)
            else:
                await self._undo(row, mine)
        for stray in effects.values():
            for effect in stray:
                await self._undo_effect(effect)

    # -- undoing what was half made or half gone

    async def _undo(self, row: SegmentRow, effects: list[EffectRow]) -> None:
        record = (
            decode(row.record, Record)
            if row.record is not None
            else Record(
                DEPLOYMENT_FAILURE, "the daemon was restarted before it had started", row.path
            )
        )
        left = 0
        for effect in reversed(effects):
            left += not await self._undo_effect(effect, record)
        self._process.forget_segment(row.id, row.application, row.parent is None, record)
        rest = f"; {left} left with the reaper" if left else ""
        text = f"{row.path}: was {row.state} when the daemon ended; undone{rest}"
        self._process.events.publish(None, Noted("warning", text))
        self._process.log.warning(text)

    async def _undo_effect(self, effect: EffectRow, record: Record | None = None) -> bool:
        from engine.runtime.keeper import keeps, seconds_of  # noqa: PLC0415 - used on this path only

        if effect.survival == "process" or (record is not None and keeps(effect.keep, record)):
            self._process.ledger.lazy(drop_effect(effect.id))
            return True
        try:
            made = self._process.keeper.restore(effect)
        except EngineError as error:
            text = f"an effect of {effect.path} cannot be read and is left: {error}"
            self._process.events.note(None, "error", text)
            return False
        after_s = seconds_of(effect.keep)
        wished = record is not None and record.type != DEPLOYMENT_FAILURE
        if not effect.due_ms and after_s is not None and wished:
            self._process.keeper.undo_later(made, after_s)
            return True
        wait_s = effect.due_ms / 1000 - self._process.wall_s()
        if effect.due_ms and wait_s > 0:
            self._process.reaper.add(made, wait_s)
            return True
        return await self._process.keeper.undo(made, 30.0) is None

    # -- adopting

    async def _adopt(self, row: SegmentRow, effects: list[EffectRow]) -> None:
        process = self._process
        try:
            segment = self._segment(row)
            away = {
                decode(effect.data, RemoteSegment).path
                for effect in effects
                if effect.class_ == REMOTE
            }
            rebuilt = _Rebuilt(process, segment, process.ledger.births(row.id), away)
            rebuilt.build()
        except (EngineError, BadValueError) as error:
            process.events.note(
                None, "error", f"{row.path} cannot be rebuilt: {fault_of(error).message}"
            )
            await self._undo(row, effects)
            return
        process.take_up(segment)
        lost = await self._give_back(rebuilt, effects)
        for live in segment.root.walk():
            if live.id not in lost:
                await self._take_up(live, lost)
        for live in list(segment.root.walk()):
            if live.flow is not None and not live.state.ended:
                live.flow.begin()
        kept = sum(1 for live in segment.root.walk() if live.id not in lost)
        process.events.note(
            None, "info", f"{row.path}: {kept} components adopted, {len(lost)} found gone"
        )
        process.liveness.attend(segment)
        for component, text in lost.items():
            gone = process.lives.get(component)
            if gone is not None:
                process.finish(gone, Record(ABNORMAL, text, gone.path, process.wall_s()))

    def _segment(self, row: SegmentRow) -> Segment:
        process = self._process
        description = decode_tree(row.description)
        inherited: dict[str, Value] = dict(decode(row.inherited, dict[str, Plain]))
        segment = Segment(
            process,
            id_=row.id,
            application=row.application,
            path=row.path,
            name=row.name,
            parent=decode(row.parent, ParentLink) if row.parent is not None else None,
            description=description,
            incarnation=row.incarnation,
            inherited=inherited,
        )
        segment.state = "started"
        return segment

    async def _give_back(self, rebuilt: _Rebuilt, effects: list[EffectRow]) -> dict[str, str]:
        """Look at every host effect; give each to its component; return who lost something."""
        process = self._process
        lost: dict[str, str] = {}
        looks: list[tuple[Live, Made]] = []
        for row in effects:
            live = rebuilt.find(row.path, row.incarnation)
            if row.survival == "process":
                process.ledger.lazy(drop_effect(row.id))
                continue
            made = process.keeper.restore(row)
            if isinstance(made.effect, RemoteSegment):
                self._attach(rebuilt, made, made.effect)
            elif live is None or row.state in {"undoing", "doubt"}:
                await self._undo_effect(row)
            else:
                looks.append((live, made))
        for live, made in looks:
            process.keeper.adopt(live, [made])
            presence = await self._look(made)
            if presence is Presence.UNKNOWN:
                live.health = Verdict(None, f"cannot tell whether {made.effect.label()} is there")
            elif presence is not Presence.OURS:
                lost[live.id] = f"{made.effect.label()} was gone when the daemon came back"
        return lost

    async def _look(self, made: Made) -> Presence:
        try:
            async with asyncio.timeout(LOOK_S):
                return await made.effect.look(made.site)
        except (EngineError, OSError, TimeoutError):
            return Presence.UNKNOWN

    def _attach(self, rebuilt: _Rebuilt, made: Made, effect: RemoteSegment) -> None:
        part = rebuilt.part(effect.path)
        if part is None:
            self._process.reaper.add(made)
            return
        part.segment = effect.segment
        part.address = effect.address
        part.made = made
        part.root = effect.root
        part.state = State.STARTED
        self._process.parts.resume(part)

    async def _take_up(self, live: Live, lost: dict[str, str]) -> None:
        prim = live.prim
        try:
            if live.lazy_names:
                await self._process.phases.bind_lazy(live)
            if "on_adopt" in type(prim).hooks:
                async with asyncio.timeout(live.seconds("sfStartTimeout", 60.0)):
                    await prim.on_adopt(tuple(made.effect for made in live.effects))
        except Exception as error:  # noqa: BLE001 - boundary: an author's code
            lost[live.id] = f"could not be taken up again: {fault_of(error).message}"


class _Rebuilt:
    """The tree of one segment, made again from its description."""

    def __init__(
        self, process: Process, segment: Segment, births: dict[str, int], away: set[str]
    ) -> None:
        self._process = process
        self._segment = segment
        self._births = births
        self._away = away
        self._by_path: dict[str, Live] = {}
        self._parts: dict[str, RemotePart] = {}

    def build(self) -> None:
        """Make all components, STARTED, without running any hook."""
        segment = self._segment
        segment.root = self._seat(None, segment.name, segment.description)
        stack = [segment.root]
        while stack:
            live = stack.pop()
            for name, value in live.description.attributes:
                if not isinstance(value, Description) or value.data:
                    continue
                if f"{live.path}:{name}" in self._away:
                    part = RemotePart(live, name, "", "")
                    live.children[name] = part
                    self._parts[part.path] = part
                    continue
                child = self._seat(live, name, value)
                live.children[name] = child
                stack.append(child)

    def _seat(self, parent: Live | None, name: str, description: Description) -> Live:
        path = f"{parent.path}:{name}" if parent is not None else self._segment.path
        number = self._births.get(path, self._segment.incarnation)
        live = self._process.phases.seat(self._segment, parent, name, description, number)
        live.state = State.STARTED
        live.ready = True
        self._by_path[path] = live
        return live

    def find(self, path: str, incarnation: int) -> Live | None:
        """Return the component an effect belongs to, if that creation is the present one."""
        live = self._by_path.get(path)
        return live if live is not None and live.incarnation == incarnation else None

    def part(self, path: str) -> RemotePart | None:
        """Return the remote part of that path and count it as claimed."""
        return self._parts.pop(path, None)
