"""Changing attributes of live components from outside: checked, told to whoever cares, durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.faults import (
    BadDescription,
    Ended,
    EngineError,
    HookFailed,
    NotFound,
    Refused,
    WrongState,
    fault_of,
)
from engine.core.lifecycle import State
from engine.core.secrecy import HIDDEN, redacted
from engine.runtime.kinds import BadValueError
from engine.runtime.ledger import Statement, drop_change, put_change
from engine.runtime.live import Live
from engine.wire.codec import encode_value, unflatten
from engine.wire.messages import Change, Changed, Handle, Set, as_tree
from sfdl.values import Description, Kept, Reference, Tbd, Value

if TYPE_CHECKING:
    from engine.runtime.process import Process

FIXED = {"sfClass", "sfProcessHost", "sfProcessName", "sfProcessComponentName", "sfRecovery"}
"""Reserved attributes that have had their effect once a component is there."""
WRITTEN = {
    "sfHost", "sfProcess", "sfState", "sfReady", "sfHealth", "sfStartedAt", "sfParseTime",
    "sfDeployTime", "sfStartTime", "sfRestartCount", "sfLastRecord", "sfVersion", "sfGeneration",
    "sfFlowState", "sfSinks",
}  # fmt: skip
"""Reserved attributes the engine writes."""


class Changer:
    """Carries out `Set` on the components of one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def carry_out(self, op: Set) -> Changed:
        """Change attributes of one component, all of them or none.

        Raises:
            Refused: An attribute may not be changed, or somebody else changed one meanwhile.
            BadDescription: A value does not fit what its type declares.
            NotFound: There is no such component, or no attribute to remove.
            HookFailed: The component did not accept a change; nothing is changed.
        """
        found: Live | Handle
        if op.ident is not None:
            found = self._process.live(op.ident)
        else:
            found = await self._process.reader.find(op.ref)
        if isinstance(found, Handle):
            return await self._pass_on(found, op)
        return await self.change(found, op.changes, op.expect)

    async def _pass_on(self, target: Handle, op: Set) -> Changed:
        result = await self._process.peers.submit(
            target.address,
            Set(op.changes, ident=target.ident, expect=op.expect),
            request_id=self._process.new_id(),
            budget_s=30.0,
        )
        if not isinstance(result, Changed):
            raise EngineError(f"{target.address} gave another answer than asked for")
        return result

    async def change(
        self, live: Live, changes: tuple[Change, ...], expect: int | None = None
    ) -> Changed:
        """Change attributes of a component held here; see `carry_out`."""
        if live.state.ended:
            raise Ended("component has ended", where=live.path)
        if live.state is State.CREATING:
            raise WrongState("component is still being created", where=live.path)
        if expect is not None and expect != live.generation:
            raise Refused(
                f"its attributes are at generation {live.generation}, not {expect}",
                code="SF-ATTR-016", where=live.path, hint="read them again, and decide anew",
            )  # fmt: skip
        wanted = [(each.name, self._value(live, each)) for each in changes]
        before = {name: self._state(live, name) for name, _ in wanted}
        try:
            for name, value in wanted:
                await self._apply(live, name, value)
        except EngineError:
            for name, (change, bound) in before.items():
                self._restore(live, name, change, bound)
            raise
        live.generation += 1
        await self._process.ledger.durable(*(self._row(live, name) for name, _ in wanted))
        old = tuple(as_tree(self._shown(live, name, before[name])) for name, _ in wanted)
        return Changed(live.path, old, live.generation)

    # -- checking

    def _value(self, live: Live, change: Change) -> Value:
        """Return what an attribute is to become; `Tbd` stands for nothing at all."""
        name, where = change.name, live.path
        if name in live.children:
            raise Refused(
                f"{name} is a component; end or detach it instead", code="SF-ATTR-012", where=where
            )
        kind = type(live.prim)
        tags = dict(live.description.tags).get(name, frozenset())
        declared = kind.declarations.attrs.get(name)
        if declared is not None:
            tags |= declared.tags
        if name in WRITTEN or name in kind.declarations.outputs:
            raise Refused(f"{name} is written by the engine or the component itself",
                          code="SF-ATTR-013", where=where)  # fmt: skip
        if name in FIXED or "final" in tags:
            raise Refused(
                f"{name} cannot be changed while the component runs", code="SF-ATTR-013",
                where=where, hint="sfupdate compares the tree with a new description",
            )  # fmt: skip
        if change.how == "add" and live.has(name):
            raise Refused(f"{name} is there already", code="SF-ATTR-014", where=where)
        if change.how == "remove":
            if not live.has(name):
                raise NotFound(f"there is no {name} in {where}", code="SF-REF-001", where=where)
            return Tbd()
        value = unflatten(change.value).get("value") if change.value is not None else None
        if isinstance(value, Description) and not value.data:
            raise Refused(
                f"{name} would be a component", code="SF-ATTR-015", where=where,
                hint="start it with sfstart --parent, or write extends DATA",
            )  # fmt: skip
        return value

    # -- doing

    async def _apply(self, live: Live, name: str, value: Value) -> None:
        kind = type(live.prim)
        old = live.bound.get(name, live.value(name))
        live.changes[name] = value
        declared = kind.declarations.attrs.get(name)
        if declared is not None:
            live.bound[name] = await self._bound(live, name, value)
        watcher = kind.declarations.watchers.get(name)
        if watcher is not None:
            try:
                await getattr(live.prim, watcher)(old, live.bound.get(name, live.value(name)))
            except Exception as error:
                fault = fault_of(error)
                raise HookFailed(
                    f"{name} was not accepted: {fault.message}", code="SF-ATTR-017",
                    where=live.path, causes=(fault,),
                ) from error  # fmt: skip
        self._process.events.attribute(live, name, live.value(name))

    async def _bound(self, live: Live, name: str, value: Value) -> object:
        try:
            if isinstance(value, Reference | Kept):
                return await self._process.resolver.fetch(live, name)
            return type(live.prim).declarations.attrs[name].read(live.value(name))
        except BadValueError as error:
            text = "does not fit" if live.is_secret(name) else str(error)
            raise BadDescription(f"{name} {text}", code="SF-ATTR-001", where=live.path) from None

    def _state(self, live: Live, name: str) -> tuple[Value | Tbd, object]:
        """Remember an attribute as it is, to put it back."""
        return live.changes.get(name, _UNCHANGED), live.bound.get(name, _UNCHANGED)

    def _restore(self, live: Live, name: str, change: Value, bound: object) -> None:
        if change is _UNCHANGED:
            live.changes.pop(name, None)
        else:
            live.changes[name] = change
        if bound is _UNCHANGED:
            live.bound.pop(name, None)
        else:
            live.bound[name] = bound

    def _row(self, live: Live, name: str) -> Statement:
        value = live.changes[name]
        if isinstance(value, Tbd) and name not in live.description.names():
            live.changes.pop(name)
            return drop_change(live.segment.id, live.place, name)
        return put_change(
            live.segment.id, live.place, name, encode_value(value, secret=live.is_secret(name))
        )

    def _shown(self, live: Live, name: str, before: tuple[Value, object]) -> Value:
        change, _ = before
        old = live.description.get(name) if change is _UNCHANGED else change
        return HIDDEN if live.is_secret(name) else redacted(old)


_UNCHANGED = Tbd()
"""Stands for "as described"; compared by identity."""
