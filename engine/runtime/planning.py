"""Plans: what a start would make, and everything that can be found wrong without making it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from msgspec import structs

from engine.core.diff import Difference, children, diff
from engine.core.faults import EngineError, Fault, Kind, NameInUse, fault_of
from engine.core.secrecy import secret_names
from engine.runtime.duplicates import duplicates
from engine.runtime.kinds import BadValueError
from engine.runtime.spelling import undeclared
from engine.wire.codec import encode_tree, flatten, unflatten
from engine.wire.messages import Plan, PlanRow, ReadPlan
from sfdl.values import Description

if TYPE_CHECKING:
    from engine.runtime.process import Process


LOOK_S = 10.0
"""Seconds a type may look whether what it needs is there."""


class Planner:
    """Makes plans for one process; peers plan their own parts."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def plan(self, question: ReadPlan) -> Plan:
        """Say what a start under this name would make here and elsewhere, and what is wrong with it.

        The digest binds the plan to the description, to the name being free or held by the very
        application it is held by now, and to the processes that would take part.
        """
        root = unflatten(question.tree)
        problems: list[Fault] = []
        if question.name in self._process.apps:
            problems.append(
                NameInUse(
                    f"{question.name} is in use", where=question.name, code="SF-NAME-005"
                ).fault
            )
        if question.name:  # parts are asked without one; what is above them looks over all
            problems.extend(duplicates(root, question.name, self._process.types))
            odd = undeclared(root, question.name, self._process.types)
            problems.extend(each.fault for each in odd if each.refused)
        takers = [self._process.daemon_id]
        rows = [_row(difference, self._process.address) for difference in diff(None, root)]
        by_path = {row.path: index for index, row in enumerate(rows)}
        stack = [(root, "")]
        while stack:
            node, path = stack.pop()
            await self._check(node, path, question.name, problems)
            here: list[tuple[Description, str]] = []
            for name, child in children(node):
                below = f"{path}:{name}" if path else name
                address, fault = await self._elsewhere(child, below)
                if fault is not None:
                    problems.append(fault)
                if address is None:
                    here.append((child, below))
                    continue
                part = await self._part(address, below, child, problems)
                if part is not None:
                    takers.append(part.digest)
                    for row in part.rows:
                        full = f"{below}:{row.path}" if row.path else below
                        rows[by_path[full]] = PlanRow(full, row.change, row.kind, row.address)
            stack.extend(reversed(here))
        return Plan(tuple(rows), tuple(problems), self._digest(question.name, root, takers))

    async def _check(self, node: Description, path: str, name: str, problems: list[Fault]) -> None:
        where = f"{name}:{path}" if path else name
        kind = node.get("sfClass")
        bound: dict[str, object] = {}
        try:
            cls = self._process.types.component(str(kind or ""), where=where)
            cls.declarations.bind(
                dict(node.attributes), bound, where=where, secret=secret_names(node)
            )
            self._process.subprocesses.check(node, where)
            async with asyncio.timeout(LOOK_S):
                await cls.plan(bound, where)
        except BadValueError as error:
            problems.append(Fault(Kind.BAD_DESCRIPTION, str(error), "SF-ATTR-001", where))
        except Exception as error:  # noqa: BLE001 - boundary: whatever a type says is in the way
            fault = fault_of(error)
            problems.append(structs.replace(fault, where=fault.where or where))

    async def _elsewhere(self, child: Description, where: str) -> tuple[str | None, Fault | None]:
        host = child.get("sfProcessHost")
        if not isinstance(host, str):
            return None, None
        try:
            return await self._process.peers.elsewhere(host, where=where), None
        except EngineError as error:
            return None, error.fault

    async def _part(
        self, address: str, path: str, child: Description, problems: list[Fault]
    ) -> Plan | None:
        try:
            answer = await self._process.peers.read(address, ReadPlan("", flatten(child)))
        except EngineError as error:
            problems.append(fault_of(error))
            return None
        if not isinstance(answer, Plan):
            return None
        problems.extend(
            Fault(each.kind, each.message, each.code, f"{path}{each.where}", each.hint)
            for each in answer.problems
        )
        return answer

    def _digest(self, name: str, root: Description, takers: list[str]) -> str:
        held = self._process.apps.get(name)
        text = "\0".join((name, held.id if held is not None else "", *takers)).encode()
        return hashlib.sha256(text + encode_tree(root)).hexdigest()[:16]


def _row(difference: Difference, address: str) -> PlanRow:
    return PlanRow(difference.path, difference.change.value, difference.type, address)
