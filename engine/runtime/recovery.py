"""After a restart: what the ledger says was here is adopted where it lives on, else undone.

Each application recovers by itself. Below a durable STARTED, a component whose host effects are all in
place goes on under its old id; one that has lost something has ended, and its parent decides; what
cannot be told is adopted, and looked at again. Whatever had not been started, or was ending, is undone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.core.events import Noted
from engine.core.faults import EngineError, Kind, fault_of
from engine.core.flows import ChildEnded, StartFailed
from engine.core.leases import Verdict, Watch
from engine.core.lifecycle import State
from engine.core.records import ABNORMAL, DEPLOYMENT_FAILURE, LIVENESS_FAILURE, Record
from engine.runtime.effects import Presence
from engine.runtime.keeper import keeps, seconds_of
from engine.runtime.ledger import EffectRow, SegmentRow, drop_effect
from engine.runtime.live import Live, Made, Origin, RemotePart, Segment
from engine.runtime.machine import BOOT
from engine.runtime.parts import RemoteSegment, ending_because, outlives
from engine.wire.codec import decode, decode_tree, decode_value
from engine.wire.messages import ParentLink, Plain
from sfdl.errors import SmartDomainsError
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.runtime.process import Process

LOOK_S = 30.0
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts to take up a component whose surroundings do not answer yet."""
PASSING = {Kind.UNREACHABLE, Kind.TIMEOUT, Kind.BUSY}
REMOTE = f"{RemoteSegment.__module__}:{RemoteSegment.__qualname__}"


class Recovery:
    """Brings one process back to what its ledger says."""

    def __init__(self, process: Process) -> None:
        """Serve one process; `run` is called once, before anything else is accepted."""
        self._process = process

    async def run(self) -> None:
        """Adopt or undo every segment in the ledger; one that cannot be read is left as it is."""
        ledger, clean = self._process.ledger, self._process.settings.clean
        effects: dict[str, list[EffectRow]] = {}
        for effect in ledger.effects():
            effects.setdefault(effect.segment, []).append(effect)
        for row in ledger.segments():
            mine = effects.pop(row.id, [])
            try:
                adopt = row.state == "started" and row.recovery == "adopt" and not clean
                if adopt and not self._replaced(row):
                    await self._adopt(row, mine)
                else:
                    await self._undo(row, mine)
            except Exception as error:
                self._process.log.exception("recovery of %s failed", row.path)
                text = f"{row.path} could not be recovered and is left: {fault_of(error).message}"
                self._process.events.note(None, "error", text)
        for stray in effects.values():
            rest, _ = self._process.finishing.take(stray)
            for effect in rest:
                await self._undo_effect(effect)

    def _replaced(self, row: SegmentRow) -> bool:
        """Say whether a part's lease ran out while we were down: another may stand in its place.

        What goes on without its parent by its policy is never replaced without being asked for.
        """
        heard = self._process.ledger.heard(row.id)
        if row.parent is None or heard is None:
            return False
        boot, at_s = heard
        description = decode_tree(row.description)
        inherited: dict[str, Value] = dict(decode(row.inherited, dict[str, Plain]))
        settings = self._process.settings
        delay = description.get("sfLivenessDelay") or inherited.get("sfLivenessDelay")
        factor = description.get("sfLivenessFactor") or inherited.get("sfLivenessFactor")
        watch = Watch(
            float(delay) if isinstance(delay, int | float) else settings.liveness_delay_s,
            factor if isinstance(factor, int) else settings.liveness_factor,
        )
        silent_s = asyncio.get_running_loop().time() - at_s
        over = boot != BOOT or silent_s > watch.lease_s
        above = inherited.get("sfOrphanPolicy")
        return over and not outlives(description, above, self._process.types)

    # -- undoing what was half made or half gone

    async def _undo(self, row: SegmentRow, effects: list[EffectRow]) -> None:
        record = self._record(row)
        left = 0
        rest, taken = self._process.finishing.take(effects)
        for effect in reversed(rest):
            left += not await self._undo_effect(effect, record)
        self._process.forget_segment(row.id, row.application, row.parent is None, record)
        more = f"; {left} left with the reaper" if left else ""
        more += "".join(f"; {path} is being finished" for path, _ in sorted(taken))
        text = f"{row.path}: was {row.state} when the daemon ended; undone{more}"
        self._process.events.publish(None, Noted("warning", text))
        self._process.log.warning(text)

    def _record(self, row: SegmentRow) -> Record:
        if row.record is not None:
            return decode(row.record, Record)
        if row.state == "started":
            return Record(LIVENESS_FAILURE, "its daemon was restarted", row.path)
        if row.state == "updating":
            text = "its daemon was restarted in the middle of an update"
            return Record(LIVENESS_FAILURE, text, row.path)
        return Record(
            DEPLOYMENT_FAILURE, "its daemon was restarted before it had started", row.path
        )

    async def _undo_effect(self, effect: EffectRow, record: Record | None = None) -> bool:
        """Undo one effect, or leave it as `keep` says; say whether nothing is left to do."""
        process = self._process
        ended_as = record if record is not None and not effect.due_ms else None
        stays = ended_as is not None and keeps(effect.keep, ended_as) and effect.state != "intent"
        if effect.survival == "process" or stays:
            process.ledger.lazy(drop_effect(effect.id))
            return True
        try:
            made = ending_because(process.keeper.restore(effect), ended_as)
        except Exception as error:  # noqa: BLE001 - its class may be gone or changed
            text = (
                f"an effect of {effect.path} cannot be read and is left: {fault_of(error).message}"
            )
            process.events.note(None, "error", text)
            return False
        after_s = seconds_of(effect.keep)
        if ended_as is not None and after_s is not None and ended_as.type != DEPLOYMENT_FAILURE:
            process.keeper.undo_later(made, after_s)
            return True
        wait_s = effect.due_ms / 1000 - process.wall_s()
        if effect.due_ms and wait_s > 0:
            process.reaper.add(made, wait_s)
            return True
        return await process.keeper.undo(made, 30.0) is None

    # -- adopting

    async def _adopt(self, row: SegmentRow, effects: list[EffectRow]) -> None:
        process = self._process
        parts = self._parts(effects)
        segment = self._segment(row)
        rebuilt = _Rebuilt(process, segment, set(parts))
        try:
            rebuilt.build()
        except (SmartDomainsError, ValueError) as error:
            text = f"{row.path} cannot be rebuilt: {fault_of(error).message}"
            process.events.note(None, "error", text)
            await self._undo(row, effects)
            return
        process.take_up(segment)
        lost = await self._give_back(rebuilt, parts, effects)
        for live in segment.root.walk():
            live.willing = True  # unless it says otherwise now
            if live.id not in lost:
                await self._take_up(live, lost)
        self._decide(segment, rebuilt, lost)
        process.liveness.attend(segment)

    def _decide(self, segment: Segment, rebuilt: _Rebuilt, lost: dict[str, str]) -> None:
        """Let the flows decide from here on, and tell them who is not there any more."""
        process = self._process
        lives = list(segment.root.walk())
        for live in reversed(lives):
            process.readiness.adopted(live)
        for live in lives:
            process.phases.put_in_order(live)
            if live.flow is not None and not live.state.ended:
                down = {what.child for parent, what in rebuilt.down if parent is live}
                if live.state is State.STARTED:
                    live.flow.begin(down)
        kept = sum(1 for live in lives if live.id not in lost)
        text = f"{segment.path}: {kept} components adopted, {len(lost)} found gone"
        process.events.note(None, "info", text)
        for parent, what in rebuilt.down:
            if parent.flow is not None:
                parent.flow.tell(what)
        for component, why in lost.items():
            gone = process.lives.get(component)
            if gone is not None:
                process.finish(gone, Record(ABNORMAL, why, gone.path, process.wall_s()))

    def _segment(self, row: SegmentRow) -> Segment:
        inherited: dict[str, Value] = dict(decode(row.inherited, dict[str, Plain]))
        segment = Segment(
            self._process,
            id_=row.id,
            application=row.application,
            path=row.path,
            name=row.name,
            parent=decode(row.parent, ParentLink) if row.parent is not None else None,
            description=decode_tree(row.description),
            incarnation=row.incarnation,
            inherited=inherited,
            origin=decode(row.origin, Origin) if row.origin is not None else None,
        )
        segment.state = "started"
        return segment

    def _parts(self, effects: list[EffectRow]) -> dict[str, EffectRow]:
        """Return the rows of remote parts that had been made and were not ending, by path."""
        return {
            decode(row.data, RemoteSegment).path: row
            for row in effects
            if row.class_ == REMOTE and row.state == "made"
        }

    async def _give_back(
        self, rebuilt: _Rebuilt, parts: dict[str, EffectRow], effects: list[EffectRow]
    ) -> dict[str, str]:
        """Look at every host effect; give each to its component; return who lost something."""
        process = self._process
        looks: list[tuple[Live, Made]] = []
        rest, taken = process.finishing.take(effects)
        for row in rest:
            if row.survival == "process":
                process.ledger.lazy(drop_effect(row.id))
                continue
            live = rebuilt.find(row.path, row.incarnation)
            if row.class_ == REMOTE:
                path = decode(row.data, RemoteSegment).path
                part = rebuilt.part(path) if parts.get(path) is row else None
                if part is not None:
                    self._attach(part, process.keeper.restore(row))
                    continue
                await self._undo_effect(row)
            elif live is None or row.state in {"undoing", "doubt"}:
                await self._undo_effect(row)
            else:
                looks.append((live, process.keeper.restore(row)))
        found = await asyncio.gather(*(self._look(made) for _, made in looks))
        lost: dict[str, str] = {}
        for live in filter(None, (rebuilt.find(*place) for place in taken)):
            lost[live.id] = "was ending when the daemon went down"
        for (live, made), presence in zip(looks, found, strict=True):
            process.keeper.adopt(live, [made])
            if presence is Presence.UNKNOWN:
                live.health = Verdict(None, f"cannot tell whether {made.effect.label()} is there")
            elif presence is not Presence.OURS and not await self._begun_only(live, made, presence):
                lost[live.id] = f"{made.effect.label()} was gone when the daemon came back"
        return lost

    async def _begun_only(self, live: Live, made: Made, presence: Presence) -> bool:
        """Say whether something was about to be made: its component goes on without, as before."""
        if made.row.state != "intent" or presence is not Presence.ABSENT:
            return False
        live.effects.remove(made)
        return await self._undo_effect(made.row)

    async def _look(self, made: Made) -> Presence:
        try:
            async with asyncio.timeout(LOOK_S):
                return await made.effect.look(made.site)
        except Exception:
            self._process.log.exception("looking at %s failed", made.effect.label())
            return Presence.UNKNOWN

    def _attach(self, part: RemotePart, made: Made) -> None:
        if isinstance(made.effect, RemoteSegment):
            part.segment = made.effect.segment
            part.address = made.effect.address
            part.root = made.effect.root
            part.made = made
            part.state = State.STARTED
            part.ready = True
            self._process.parts.resume(part)

    async def _take_up(self, live: Live, lost: dict[str, str]) -> None:
        try:
            await self._adopt_one(live)
        except Exception as error:  # noqa: BLE001 - boundary: an author's code
            if not _passing(error):
                lost[live.id] = f"could not be taken up again: {fault_of(error).message}"
                return
            live.health = Verdict(None, f"not yet taken up again: {fault_of(error).message}")
            live.prim.spawn(self._take_up_later(live))

    async def _adopt_one(self, live: Live) -> None:
        if live.state is not State.STARTED:
            return  # it waits to be started, and there is nothing to take up
        if live.lazy_names:
            await self._process.phases.bind_lazy(live)
        if "on_adopt" in type(live.prim).hooks:
            limit_s = live.seconds("sfStartTimeout", 60.0)
            async with asyncio.timeout(limit_s):
                with live.prim.during("adopt"):
                    await live.prim.on_adopt(tuple(made.effect for made in live.effects))

    async def _take_up_later(self, live: Live) -> None:
        """Try again until what the component needs answers; what cannot be told is no end."""
        attempt = 0
        while True:
            await asyncio.sleep(AGAIN_S[min(attempt, len(AGAIN_S) - 1)])
            attempt += 1
            try:
                await self._adopt_one(live)
            except Exception as error:
                if not _passing(error):
                    raise
            else:
                live.health = Verdict(None)
                return


def _passing(error: Exception) -> bool:
    """Say whether a failure may be over by itself: somebody does not answer yet."""
    if isinstance(error, EngineError):
        return any(fault.kind in PASSING for fault in error.fault.chain())
    return isinstance(error, TimeoutError) or getattr(error, "kind", "") in {
        "Unreachable",
        "Timeout",
    }


class _Rebuilt:
    """The tree of one segment, made again from its description and what became of it.

    Attributes:
        down: What is to be told of children that had ended or were being started, to which parent.
    """

    def __init__(self, process: Process, segment: Segment, away: set[str]) -> None:
        self._process = process
        self._segment = segment
        self._births = process.ledger.births(segment.id)
        self._fates = process.ledger.fates(segment.id)
        self._changes = process.ledger.changes(segment.id)
        self._away = away
        self._by_path: dict[str, Live] = {}
        self._parts: dict[str, RemotePart] = {}
        self.down: list[tuple[Live, ChildEnded | StartFailed]] = []

    def build(self) -> None:
        """Make all components, STARTED, without running any hook."""
        segment = self._segment
        segment.root = self._seat(None, segment.name, segment.description)
        stack = [segment.root]
        while stack:
            live = stack.pop()
            grows = type(live.prim).creates_children
            dormant = live.prim.dormant()
            with_it = live.prim.made_with() | dormant
            for name, value in live.child_descriptions():
                path = f"{live.place}:{name}"
                unborn = grows and name not in with_it
                if unborn and path not in self._births and path not in self._fates:
                    continue  # its type creates children itself, and had not created this one
                if path in self._fates:
                    self._note_fate(live, name, path)
                elif path in self._away:
                    part = RemotePart(live, name, "", "")
                    live.children[name] = part
                    self._parts[path] = part
                else:
                    child = self._seat(live, name, value)
                    if name in dormant or live.state is not State.STARTED:
                        child.state = State.DEPLOYED
                    live.children[name] = child
                    stack.append(child)

    def _note_fate(self, live: Live, name: str, path: str) -> None:
        fate, data = self._fates[path]
        if fate == "dropped":
            return
        if fate == "fresh":
            self._process.write_fate(live, name, "dropped", None)
            return
        if fate == "growing" and live.flow is not None and live.flow.lasting:
            return  # nothing of it is left, and the flow knows that it was to come up
        text = f"deployment failed at {path}: the daemon ended while it was being started"
        failed = Record(DEPLOYMENT_FAILURE, text, path, self._process.wall_s())
        record = decode(data, Record) if data is not None else failed
        happening = ChildEnded if fate == "down" else StartFailed
        self.down.append((live, happening(name, record)))

    def _seat(self, parent: Live | None, name: str, description: Description) -> Live:
        segment = self._segment
        path = f"{parent.place}:{name}" if parent is not None else segment.origin.path
        above = parent.incarnation if parent is not None else segment.incarnation
        number = self._births.get(path, above)
        changes = {
            changed: decode_value(data) for changed, data in self._changes.get(path, {}).items()
        }
        live = self._process.phases.seat(segment, parent, name, description, number, changes)
        live.state = State.STARTED
        self._by_path[path] = live
        return live

    def find(self, path: str, incarnation: int) -> Live | None:
        """Return the component an effect belongs to, if that creation is the present one."""
        live = self._by_path.get(path)
        return live if live is not None and live.incarnation == incarnation else None

    def part(self, path: str) -> RemotePart | None:
        """Return the remote part of that path and count it as claimed."""
        return self._parts.pop(path, None)
