"""Changing a running tree into another: look first, then end, swap, create, and replace in turn.

Looking changes nothing, so there is nothing to abandon when somebody refuses. A failure afterwards
either ends the application or goes the same way back, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.core.faults import (
    BadDescription,
    EngineError,
    Fault,
    HookFailed,
    Kind,
    Refused,
    WrongState,
    fault_of,
    raised,
)
from engine.core.lifecycle import Phase
from engine.core.records import Record
from engine.core.updates import AS_BEFORE
from engine.runtime.changing import WRITTEN
from engine.runtime.comparing import Change, Comparison, plan
from engine.runtime.kinds import BadValueError
from engine.runtime.ledger import drop_change, put_change, put_segment, set_previous
from engine.runtime.live import GENERATION, Live, RemotePart, Segment
from engine.runtime.proposal import going_back, proposing
from engine.runtime.signing import check_signed
from engine.wire.codec import decode_tree, encode_tree, encode_value, flatten, unflatten
from engine.wire.messages import (
    SIGNATURE,
    Handle,
    ReadUpdate,
    Update,
    Updated,
    UpdatePart,
)
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.runtime.operations import Operation
    from engine.runtime.process import Process

READY_S = 10.0
"""Seconds a replaced child must be ready before the next is replaced, without `sfMinReadyTime`."""
PART_S = 3600.0


class Updating:
    """Carries out updates of the segments of one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    # -- doing

    async def carry_out(self, op: Update, operation: Operation) -> Updated:
        """Change a running application as described.

        Raises:
            Refused: Something is not updatable, or the world is not the one the plan was made for.
            HookFailed: It failed on the way: the application was ended, or is as before again.
        """
        found = await self._process.reader.find(op.ref)
        if isinstance(found, Handle):
            result = await self._process.peers.submit(
                found.address, op, request_id=f"{operation.id}-on", budget_s=operation.budget_s
            )
            if not isinstance(result, Updated):
                raise EngineError(f"{found.address} gave another answer than asked for")
            return result
        segment = found.segment
        if found is not segment.root or segment.parent is not None:
            raise Refused(
                f"{op.ref} is not a whole application", code="SF-UPDATE-005", where=found.path
            )
        if op.tree is not None:
            new = unflatten(op.tree)
            check_signed(self._process.settings, op.signature, new)
        else:
            new = await self._previous(segment)
        outlook = await plan(self._process, ReadUpdate(flatten(new), op.ref))
        if op.expect and outlook.digest != op.expect:
            raise Refused(
                f"the plan is now {outlook.digest}, not {op.expect}: something has changed",
                code="SF-PLAN-001", where=found.path, hint="look at it again: sfupdate ... --plan",
            )  # fmt: skip
        if outlook.problems:
            first = outlook.problems[0]
            raise raised(
                Fault(first.kind, first.message, first.code, first.where, first.hint,
                      causes=(*first.causes, *outlook.problems[1:]))
            )  # fmt: skip
        if op.signature:
            segment.inherited[SIGNATURE] = op.signature
        await self._run(segment, new, operation)
        count = {
            sign: sum(row.change == sign for row in outlook.rows) for sign in ("+", "-", "~", "+/-")
        }
        return Updated(
            segment.path, count["~"], count["+/-"], count["+"], count["-"], segment.version
        )

    async def _previous(self, segment: Segment) -> Description:
        data = self._process.ledger.previous(segment.id)
        if data is None:
            raise Refused("there is no earlier description to go back to", where=segment.path)
        return decode_tree(data)

    async def _run(self, segment: Segment, new: Description, operation: Operation) -> None:
        before = segment.description
        operation.progress(f"updating {segment.path}")
        try:
            await self._change_segment(segment, new, operation)
        except Exception as error:
            fault = fault_of(error)
            if segment.root.state.ended:
                raise
            back = any(each.code == AS_BEFORE for each in fault.chain())
            if back or segment.root.value("sfUpdateFailure") == "revert":
                await self._revert(segment, before, operation, fault)
            await self._give_up(segment, fault)

    async def _revert(
        self, segment: Segment, before: Description, operation: Operation, fault: Fault
    ) -> None:
        self._process.events.note(segment.root, "warning", f"update failed: {fault.message}")
        operation.progress(f"going back: {segment.path}")
        try:
            await self._change_segment(segment, before, operation, back=True)
        except Exception as error:  # noqa: BLE001 - once is enough: it is ended below
            second = fault_of(error)
            text = f"{fault.message}; and going back failed: {second.message}"
            await self._give_up(segment, Fault(fault.kind, text, fault.code, fault.where,
                                               causes=(fault, second)))  # fmt: skip
        raise HookFailed(
            f"the update failed and everything is as before: {fault.message}",
            code="SF-UPDATE-006", where=fault.where or segment.path, causes=(fault,),
        )  # fmt: skip

    async def _give_up(self, segment: Segment, fault: Fault) -> None:
        record = Record.abnormal(f"its update failed: {fault.message}", fault)
        gone = await self._process.termination.terminate_segment(segment, record)
        found = Fault(
            Kind.HOOK_FAILED, f"the update failed and the application was ended: {fault.message}",
            "SF-UPDATE-007", fault.where or segment.path, causes=(fault,), undone=gone.components,
            leftovers=gone.leftovers,
        )  # fmt: skip
        raise raised(found)

    async def part(self, op: UpdatePart, operation: Operation) -> Updated:
        """Change a part of an application as its parent's process asks."""
        segment = self._process.growth.segment(op.segment)
        check_signed(self._process.settings, op.signature, None)
        if op.signature:
            segment.inherited[SIGNATURE] = op.signature
        await self._change_segment(segment, unflatten(op.tree), operation, back=op.back)
        return Updated(segment.path, 0, 0, 0, 0, segment.version)

    async def _change_segment(
        self, segment: Segment, new: Description, operation: Operation, *, back: bool = False
    ) -> None:
        with proposing(segment.path, new, back=back):
            await self._change(segment, new, operation, back=back)

    async def _change(
        self, segment: Segment, new: Description, operation: Operation, *, back: bool
    ) -> None:
        process = self._process
        if segment.updating or segment.growth is not None or segment.state != "started":
            raise WrongState("something else is under way", where=segment.path)
        comparison = Comparison(process, back=back)
        change = await comparison.look(segment.root, new)
        if comparison.problems:
            raise raised(comparison.problems[0])
        segment.updating = True
        previous = encode_tree(segment.description)
        await process.ledger.durable(
            put_segment(process.growth.row(segment, "updating")), set_previous(segment.id, previous)
        )
        try:
            await self._apply(change, operation)
            segment.description = new
            self._count(segment.root)
            await process.ledger.durable(
                put_segment(process.growth.row(segment, "started")),
                set_previous(segment.id, previous),
            )
            await self._started(change)
        finally:
            segment.updating = False

    def _count(self, root: Live) -> None:
        root.write(GENERATION, root.segment.version + 1)
        value = encode_value(root.value(GENERATION))
        self._process.ledger.lazy(put_change(root.segment.id, root.place, GENERATION, value))

    async def _apply(self, change: Change, operation: Operation) -> None:
        """End what goes, swap contexts, go on below, create what is new, replace in turn."""
        live = change.live
        for name in reversed(change.ended):
            operation.progress(f"ending {live.path}:{name}")
            await live.nursery.end(name, Record.normal("not in the new description"), again=False)
        await self._swap(change)
        for name, inner in change.kept:
            child = live.children[name]
            if inner is not None:
                await self._apply(inner, operation)
            elif isinstance(child, RemotePart):
                await self._apply_away(child, change.new.get(name))
        await self._add(change, operation)
        await self._replace(change, operation)
        if live.flow is not None and (change.ended or change.added or change.replaced):
            live.flow.renew()
            self._process.phases.put_in_order(live)

    async def _swap(self, change: Change) -> None:
        live, new = change.live, change.new
        old = {name: live.bound.get(name, live.value(name)) for name in change.judgement.changed}
        stale = [
            name
            for name in live.changes
            if name not in live.prim.declarations.outputs
            and name not in WRITTEN
            and (name not in live.children or name in new.names())
        ]
        for name in stale:
            del live.changes[name]
        live.swap(new)
        self._process.ledger.lazy(
            *(drop_change(live.segment.id, live.place, name) for name in stale)
        )
        try:
            live.lazy_names = type(live.prim).declarations.bind(
                live.described(), live.bound, where=live.path
            )
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", where=live.path) from error
        await self._process.phases.bind_lazy(live)
        for name in change.judgement.changed:
            self._process.events.attribute(live, name, live.value(name))
        await self._tell(live, old, change.judgement.changed)

    async def _tell(self, live: Live, old: Mapping[str, object], changed: tuple[str, ...]) -> None:
        """Let the component take its new values: by its watchers, else by `on_update`."""
        kind = type(live.prim)
        limit_s = live.seconds("sfDeployTimeout", 60.0)
        try:
            async with asyncio.timeout(limit_s):
                for name in changed:
                    watcher = kind.declarations.watchers.get(name)
                    if watcher is not None:
                        await getattr(live.prim, watcher)(old[name], live.bound.get(name))
                if changed and "on_update" in kind.hooks:
                    new = {name: live.bound.get(name, live.value(name)) for name in changed}
                    await live.prim.on_update(dict(old), new)
        except TimeoutError as error:
            raise HookFailed(
                f"did not take its new values within {limit_s:g} s", where=live.path
            ) from error
        except Exception as error:
            fault = fault_of(error)
            raise HookFailed(
                f"did not take its new values: {fault.message}", code="SF-UPDATE-008",
                where=live.path, causes=(fault,),
            ) from error  # fmt: skip

    async def _add(self, change: Change, operation: Operation) -> None:
        """Bring all new children of one compound through one phase after the other."""
        live = change.live
        for phase in (Phase.CREATE, Phase.DEPLOY, Phase.START):
            for name in change.added:
                operation.progress(f"{phase.value} {live.path}:{name}")
                await live.nursery.step(name, _described(change.new, name), phase)

    async def _replace(self, change: Change, operation: Operation) -> None:
        """Replace children in turn, each ready for a while before the next goes."""
        live = change.live
        settle_s = live.number("sfMinReadyTime", READY_S)
        most = max(1, int(live.number("sfMaxParallel", 1)))
        for index in range(0, len(change.replaced), most):
            batch = change.replaced[index : index + most]
            operation.progress(f"replacing {', '.join(batch)} of {live.path}")
            for name in batch:
                await live.nursery.end(name, Record.normal("replaced by an update"), again=True)
            starts = [
                live.nursery.start(name, _described(change.new, name), settle_s=settle_s)
                for name in batch
            ]
            for outcome in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    async def _apply_away(self, part: RemotePart, new: Value) -> None:
        if not isinstance(new, Description):
            raise BadDescription(f"{part.name} is no component any more", where=part.path)
        await self._process.peers.submit(
            part.address,
            UpdatePart(
                part.segment, flatten(new), _signature(part.parent.segment), back=going_back()
            ),
            request_id=self._process.new_id(), budget_s=PART_S,
        )  # fmt: skip

    async def _started(self, change: Change) -> None:
        if "on_update_started" in type(change.live.prim).hooks:
            await change.live.prim.on_update_started()
        for _, inner in change.kept:
            if inner is not None:
                await self._started(inner)


def _described(new: Description, name: str) -> Description:
    value = new.get(name)
    if not isinstance(value, Description):
        raise BadDescription(f"{name} is no component")
    return value


def _signature(segment: Segment) -> str:
    """Return the signature a segment came with, or nothing."""
    found = segment.inherited.get(SIGNATURE)
    return found if isinstance(found, str) else ""
