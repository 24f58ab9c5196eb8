"""Parts of a tree that live in other processes.

A remote part is an effect of its parent's process: making it is Create under a fixed request id,
undoing it is Terminate. Recovery and the reaper over many hosts follow from that.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace
from typing_extensions import override

from engine.core.diff import children
from engine.core.faults import Busy, Ended, EngineError, NotAllowed, TimedOut, Unreachable, fault_of
from engine.core.leases import Watch, fence
from engine.core.lifecycle import Phase, State
from engine.core.records import DEPLOYMENT_FAILURE, LIVENESS_FAILURE, Record
from engine.core.secrecy import has_secrets
from engine.runtime.effects import Effect, Presence, Site, encode_effect
from engine.runtime.ledger import drop_effect, put_effect
from engine.runtime.live import Live, Made, RemotePart
from engine.runtime.peers import Peers
from engine.wire.codec import flatten
from engine.wire.messages import (
    SIGNATURE,
    Create,
    Deploy,
    Gone,
    Grown,
    Handle,
    ParentLink,
    Plain,
    ReadSegment,
    SegmentFacts,
    Start,
    Terminate,
)
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.runtime.process import Process
    from engine.runtime.reaper import Item
    from engine.runtime.types import Types

PASSED_DOWN = (
    "sfLivenessDelay", "sfLivenessFactor", "sfOrphanPolicy", "sfLog", "sfUnwellFactor",
    "sfCheckTimeout", "sfReadyTimeout", "sfReadySuccesses", "sfStartGrace", "sfImplicitDeps",
    "sfUpdatable",
)  # fmt: skip
"""Reserved attributes that are inherited, over processes too."""
CREATE_S, GROW_S, END_S, GIVEN_UP_S = 60.0, 3600.0, 120.0, 3.0
"""Seconds a part's process gets for each; the last when it is presumed dead already."""


class RemoteSegment(Effect, frozen=True):
    """A part of our tree held by another process.

    Attributes:
        address: Where it is held.
        segment: Its id, chosen before it is made.
        root: Handle of its root component, once it is made.
        record: Why it is to end, once it is; without one it never started.
        fence_s: Seconds of silence after which all of it has surely ended by itself; 0: never surely.
        idle: Nothing of it can be running: it was never asked to start, or its host is off.
    """

    address: str
    segment: str
    path: str
    root: Handle | None = None
    record: Record | None = None
    fence_s: float = 0.0
    idle: bool = False

    @override
    def label(self) -> str:
        return f"part {self.path} at {self.address}"

    @override
    async def look(self, at: Site) -> Presence:
        try:
            facts = await at.given(Peers).read(self.address, ReadSegment(self.segment))
        except (Unreachable, TimedOut):
            return Presence.UNKNOWN
        held = isinstance(facts, SegmentFacts) and facts.state not in {"", "ended"}
        return Presence.OURS if held else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        return self

    @override
    async def undo(self, at: Site) -> None:
        record = self.record or Record(DEPLOYMENT_FAILURE, "its parent's process gave it up")
        peers = at.given(Peers)
        await peers.submit(
            self.address,
            Terminate(record, segment=self.segment, quietly=True),
            request_id=secrets.token_hex(8),
            budget_s=20.0,
        )


class Parts:
    """Drives the remote parts of this process's trees."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def create(self, part: RemotePart, description: Description) -> None:
        """Have a part created where it belongs; the intent is durable first."""
        parent = part.parent
        if self._process.settings.insecure and has_secrets(description):
            raise NotAllowed(
                f"{part.path} has secrets, and daemons without TLS do not pass them on",
                code="SF-SEC-013", where=part.path,
            )  # fmt: skip
        await self.clear_the_way(parent.segment.origin.application, part.place)
        part.asked = False
        part.watch = self._watch(part, description)
        above = parent.inherited("sfOrphanPolicy")
        fence_s = (
            0.0
            if outlives(description, above, self._process.types)
            else fence(part.watch, self._process.settings.ping_timeout_s)
        )
        effect = RemoteSegment(part.address, part.segment, part.place, fence_s=fence_s)
        made = self._process.keeper.record(parent, effect)
        part.made = made
        await self._process.ledger.durable(put_effect(made.row))
        await self._process.relays.part_comes(part.address, parent.segment.application)
        op = Create(
            segment=part.segment,
            application=parent.segment.application,
            path=part.path,
            name=part.name,
            tree=flatten(description),
            parent=ParentLink(parent.ident, self._process.address, parent.path),
            inherited=self._inherited(part),
        )
        grown = await self._submit(part, op, "create", CREATE_S)
        part.root = grown.root
        part.components = grown.components
        part.hosts = grown.hosts
        made.effect = replace(effect, root=grown.root)
        made.row = replace(made.row, state="made", data=encode_effect(made.effect)[1])
        self._process.ledger.lazy(put_effect(made.row))
        part.state = State.CREATED
        self._process.liveness.watch(part)

    def resume(self, part: RemotePart) -> None:
        """Go on watching a part after a restart of this process."""
        description = part.parent.value(part.name)
        if isinstance(description, Description):
            part.watch = self._watch(part, description)
            self._process.liveness.watch(part)

    async def lost_on(self, live: Live, name: str) -> str:
        """Return the host on which a child was lost and that does not answer, or an empty string."""
        part = live.children.get(name)
        if not isinstance(part, RemotePart) or not _presumed_dead(part):
            return ""
        try:
            await self._process.peers.hello(part.address)
        except (Unreachable, TimedOut):
            return self._process.peers.name_of(part.address)
        return ""

    async def clear_the_way(self, application: str, place: str) -> None:
        """Have earlier parts of a place, and below it, ended before another component is made there.

        One that cannot be asked, but would have ended by itself when its lease ran out, is waited for
        as long as that takes.

        Raises:
            Busy: It cannot be confirmed gone: two copies might run.
        """
        loop = asyncio.get_running_loop()

        def earlier() -> list[Item]:
            return [
                item
                for item in self._process.reaper.pending(application)
                if isinstance(item.made.effect, RemoteSegment)
                and f"{item.made.effect.path}:".startswith(f"{place}:")
            ]

        while left := earlier():
            for item in left:
                await self._process.reaper.retry(item)
            now_s = loop.time()
            left = [item for item in earlier() if not self._fenced(item, now_s)]
            if not left:
                return
            unsure = [item for item in left if not _fence_s(item)]
            if not unsure:
                await asyncio.sleep(1.0)
                continue
            item = unsure[0]
            raise Busy(
                f"an earlier {item.made.effect.label()} is not confirmed gone: {item.error}",
                code="SF-BUSY-001", where=place,
                hint="sfstatus --reaper shows what is pending and why",
            )  # fmt: skip

    def _fenced(self, item: Item, now_s: float) -> bool:
        """Say whether an earlier part has surely ended by itself, although nobody could be asked."""
        effect = item.made.effect
        if not isinstance(effect, RemoteSegment) or not (effect.fence_s or effect.idle):
            return False
        if effect.idle:
            return True
        silent_since_s = max(item.since_s, self._process.liveness.excused_until_s(effect.root))
        return effect.fence_s <= now_s - silent_since_s

    def _inherited(self, part: RemotePart) -> tuple[tuple[str, Plain], ...]:
        signature = part.parent.segment.inherited.get(SIGNATURE)
        pairs: list[tuple[str, Plain]] = []
        if isinstance(signature, str):
            pairs.append((SIGNATURE, signature))
        for name in PASSED_DOWN:
            value = part.parent.inherited(name)
            if isinstance(value, str | int | float | bool):
                pairs.append((name, value))
        return tuple(pairs)

    def _watch(self, part: RemotePart, description: Description) -> Watch:
        def number(name: str, default: float) -> float:
            value: Value = description.get(name)
            if value is None:
                value = part.parent.inherited(name)
            good = isinstance(value, int | float) and not isinstance(value, bool)
            return float(value) if good else default  # type: ignore[arg-type] # checked above

        settings = self._process.settings
        delay = number("sfLivenessDelay", settings.liveness_delay_s)
        factor = int(number("sfLivenessFactor", settings.liveness_factor))
        unwell = max(1, int(number("sfUnwellFactor", 1)))
        return Watch(delay or settings.liveness_delay_s, max(1, factor), unwell_factor=unwell)

    async def enter(self, part: RemotePart, phase: Phase) -> None:
        """Have a part enter deploy or start, its whole sub-tree in one request."""
        if part.state.ended:
            raise Ended("component has ended", where=part.path)
        part.state = phase.during
        part.asked = part.asked or phase is Phase.START
        op = Deploy(part.segment) if phase is Phase.DEPLOY else Start(part.segment)
        grown = await self._submit(part, op, phase.value, GROW_S)
        part.state = phase.after
        part.ready = grown.ready
        if part.early is not None:
            self._process.part_ended(part, part.early)

    async def _submit(
        self, part: RemotePart, op: Create | Deploy | Start, phase: str, budget_s: float
    ) -> Grown:
        try:
            result = await self._process.peers.submit(
                part.address, op, request_id=f"{part.segment}-{phase}", budget_s=budget_s
            )
        except (Unreachable, TimedOut) as error:
            raise Unreachable(
                f"host {part.address} did not answer while it was to {phase} {part.path}",
                code="SF-HOST-003", where=part.path, phase=phase, causes=(error.fault,),
            ) from error  # fmt: skip
        if not isinstance(result, Grown):
            raise EngineError(f"{part.address} gave another answer than asked for")
        return result

    async def end(self, part: RemotePart, record: Record, errors: list[str]) -> list[str]:
        """End a part and wait for it; what cannot be reached goes to the reaper.

        Returns:
            What is left over there, or that nobody answers, one line each.
        """
        part.state = State.TERMINATING
        self._process.liveness.unwatch(part)
        leftovers: list[str] = []
        try:
            result = await self._process.peers.submit(
                part.address,
                Terminate(record, segment=part.segment, quietly=True),
                request_id=secrets.token_hex(8),
                budget_s=GIVEN_UP_S if self.out_of_reach(part) else END_S,
            )
        except EngineError as error:
            self._to_reaper(part, record, fault_of(error).message)
            leftovers.append(f"{part.path} at {part.address}: {fault_of(error).message}")
        else:
            if isinstance(result, Gone):
                leftovers.extend(result.leftovers)
                errors.extend(result.errors)
                part.parent.segment.ended_elsewhere += result.components
            self.forget(part)
        part.state = State.TERMINATED
        part.ended.set()
        return leftovers

    def out_of_reach(self, part: RemotePart) -> bool:
        """Say whether a part is presumed dead, or nobody has answered at its place for a while."""
        silent_s = self._process.peers.silent_s(part.address)
        return _presumed_dead(part) or silent_s > self._process.settings.ping_timeout_s

    def _to_reaper(self, part: RemotePart, record: Record, text: str) -> None:
        if part.made is None:
            return
        part.made = ending_because(part.made, record)
        if not part.asked:
            _idle(part.made)
        part.made.row = replace(part.made.row, state="undoing", error=text)
        self._process.ledger.lazy(put_effect(part.made.row))
        self._process.reaper.add(part.made)
        part.made = None

    def confirm_off(self, address: str) -> int:
        """Take it that nothing is running at an address: what was lost there may be made elsewhere.

        Whoever comes back there is still told to end what it has.

        Returns:
            How many parts that concerns.
        """
        lost = [
            item.made
            for item in self._process.reaper.items
            if isinstance(item.made.effect, RemoteSegment) and item.made.effect.address == address
        ]
        for made in lost:
            _idle(made)
            self._process.ledger.lazy(put_effect(made.row))
        return len(lost)

    def forget(self, part: RemotePart) -> None:
        """Drop the ledger's row of a part that is confirmed gone."""
        if part.made is not None:
            self._process.ledger.lazy(drop_effect(part.made.row.id))
            part.made = None

    def gone(self, part: RemotePart, record: Record) -> None:
        """Take in that a part has ended by itself."""
        part.record = record
        part.state = State.TERMINATED
        part.ended.set()
        self._process.liveness.unwatch(part)


def outlives(description: Description, above: Value, types: Types) -> bool:
    """Say whether anything in a part goes on when its parent's process is not heard of any more.

    Args:
        description: What the part is made from.
        above: The orphan policy that holds above it.
        types: Where component types are found; one that is not known here may go on.
    """
    stack = [description]
    while stack:
        node = stack.pop()
        policy = node.get("sfOrphanPolicy") or _reserved(node, types) or above
        if policy not in {None, "terminate"}:
            return True
        stack.extend(child for _, child in children(node))
    return False


def _reserved(node: Description, types: Types) -> Value:
    try:
        kind = types.component(str(node.get("sfClass") or ""), where="")
    except EngineError:
        return "unknown"
    return kind.reserved.get("sfOrphanPolicy")


def _fence_s(item: Item) -> float:
    effect = item.made.effect
    return effect.fence_s if isinstance(effect, RemoteSegment) else 0.0


def _presumed_dead(part: RemotePart) -> bool:
    return part.record is not None and part.record.type == LIVENESS_FAILURE


def _idle(made: Made) -> None:
    """Note with a remote part that nothing of it can be running."""
    if isinstance(made.effect, RemoteSegment):
        made.effect = replace(made.effect, idle=True)
        made.row = replace(made.row, data=encode_effect(made.effect)[1])


def ending_because(made: Made, record: Record | None) -> Made:
    """Keep with a remote part why it ends, so that its own volumes and images are treated by it."""
    if isinstance(made.effect, RemoteSegment) and record is not None:
        made.effect = replace(made.effect, record=record)
        made.row = replace(made.row, data=encode_effect(made.effect)[1])
    return made
