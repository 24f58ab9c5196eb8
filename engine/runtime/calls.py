"""Reaching a component wherever it is: its methods, its state, its attributes."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING

import msgspec

from engine.core.events import Ident
from engine.core.faults import Ended, EngineError, NotAllowed, NotFound, Refused, WrongState
from engine.core.lifecycle import State
from engine.runtime.handles import NOT_EXPOSED, decode_arguments
from engine.runtime.reaper import KEPT
from engine.wire.codec import encode, unflatten
from engine.wire.messages import (
    Call,
    Change,
    Changed,
    Diagnosis,
    Handle,
    Page,
    ReadDiagnosis,
    ReadTree,
    Returned,
    Set,
    TreeRow,
    as_tree,
)
from sfdl.values import Value

if TYPE_CHECKING:
    from engine.runtime.process import Process

CALL_S = 120.0
"""Seconds another process gets to answer."""


class Calls:
    """Asks components by their handles, for one process; only data passes."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def call(
        self, target: Handle, method: str, arguments: bytes, named: bytes = b""
    ) -> bytes:  # fmt: skip
        """Call an exposed method of any component; local or not, only data passes."""
        if target.ident.daemon == self._process.daemon_id:
            return await self.invoke(target.ident, method, arguments, named)
        result = await self._process.peers.submit(
            target.address,
            Call(target.ident, method, arguments, named),
            request_id=self._process.new_id(),
            budget_s=CALL_S,
        )
        if not isinstance(result, Returned):
            raise EngineError(f"{target.address} gave another answer than asked for")
        return result.value

    async def state_of(self, target: Handle) -> str:
        """Return the state of any component.

        Raises:
            NotFound: It has ended, some time ago.
        """
        if target.ident.daemon == self._process.daemon_id:
            return self._process.live(target.ident).state.value
        question = ReadTree(ident=target.ident, depth=0)
        page = await self._process.peers.read(target.address, question)
        row = page.rows[0] if isinstance(page, Page) and page.rows else None
        if not isinstance(row, TreeRow):
            raise EngineError(f"{target.address} gave another answer than asked for")
        return row.state

    async def is_over(self, target: Handle) -> bool:
        """Say whether a component has ended and all it made is undone.

        Raises:
            EngineError: That cannot be told, as its process does not answer.
        """
        with contextlib.suppress(NotFound):
            if await self.state_of(target) != State.TERMINATED.value:
                return False
        return not await self.owes(target)

    async def owes(self, target: Handle) -> bool:
        """Say whether what a component has made could not be undone yet, though it has ended.

        Raises:
            EngineError: That cannot be told.
        """
        if target.ident.daemon == self._process.daemon_id:
            rows = (item.made.row for item in self._process.reaper.items)
            return any(row.path == target.name and not row.due_ms for row in rows)
        question = ReadDiagnosis(whole=True, path=target.name)
        found = await self._process.peers.read(target.address, question)
        if not isinstance(found, Diagnosis):
            raise EngineError(f"{target.address} gave another answer than asked for")
        pending = (row for table in found.tables if table.name == "reaper" for row in table.rows)
        return any(row[0] == target.name and row[-1] != KEPT for row in pending)

    async def set(self, target: Handle, attribute: str, value: Value) -> Value:
        """Change an attribute of any component, and return its value before."""
        op = Set((Change(attribute, "replace", as_tree(value)),), ident=target.ident)
        if target.ident.daemon == self._process.daemon_id:
            changed: object = await self._process.changer.carry_out(op)
        else:
            changed = await self._process.peers.submit(
                target.address, op, request_id=self._process.new_id(), budget_s=CALL_S
            )
        if not isinstance(changed, Changed):
            raise EngineError(f"{target.address} gave another answer than asked for")
        return unflatten(changed.old[0]).get("value")

    async def invoke(
        self, ident: Ident, method: str, arguments: bytes, named: bytes = b""
    ) -> bytes:  # fmt: skip
        """Run an exposed method of a component held here."""
        live = self._process.live(ident)
        kind = type(live.prim)
        if method not in kind.declarations.methods:
            raise NotAllowed(
                f"{live.path} is a {kind.__name__}, which does not expose {method}",
                code=NOT_EXPOSED, where=live.path,
            )  # fmt: skip
        if live.state is State.TERMINATED:
            raise Ended("component has ended", where=live.path)
        if live.state is State.CREATING:
            raise WrongState("component is still being created", where=live.path)
        function = getattr(live.prim, method)
        try:
            given, by_name = decode_arguments(function, arguments, named)
            inspect.signature(function).bind(*given, **by_name)
        except (msgspec.ValidationError, TypeError) as error:
            words = ", ".join(
                each.name
                for each in inspect.signature(function).parameters.values()
                if each.kind is not each.KEYWORD_ONLY
            )
            raise Refused(
                f"{method} of {live.path} does not take these arguments: {error}", code="SF-CALL-002",
                where=live.path, hint=f"it takes: {words}" if words else "it takes none",
            ) from error  # fmt: skip
        result = await function(*given, **by_name)
        return encode(result)
