"""Comparing a running tree with a description: what an update would do, and what is in its way."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.core.diff import children
from engine.core.faults import EngineError, Fault, Kind, fault_of
from engine.core.lifecycle import State
from engine.core.updates import Fate, Judgement, judge
from engine.runtime.changing import WRITTEN
from engine.runtime.duplicates import duplicates
from engine.runtime.kinds import BadValueError
from engine.runtime.live import Live, RemotePart
from engine.runtime.proposal import proposing
from engine.wire.codec import encode_tree, flatten, unflatten
from engine.wire.messages import Handle, Plan, PlanRow, ReadUpdate
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.runtime.process import Process


class Change(Struct, frozen=True):
    """What an update does to one running component and its children.

    Attributes:
        kept: Children that stay: their changes by name, nothing for one in another process.
    """

    live: Live
    new: Description
    judgement: Judgement
    ended: tuple[str, ...]
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    kept: tuple[tuple[str, Change | None], ...]


async def plan(process: Process, question: ReadUpdate) -> Plan:
    """Say what an update would do, changing nothing.

    Raises:
        NotFound: There is no such application.
    """
    if question.segment:
        root = process.growth.segment(question.segment).root
    else:
        found = await process.reader.find(question.ref)
        if isinstance(found, Handle):
            answer = await process.peers.read(found.address, question)
            if not isinstance(answer, Plan):
                raise EngineError(f"{found.address} gave another answer than asked for")
            return answer
        root = found
    new = unflatten(question.tree)
    comparison = Comparison(process, back=question.back)
    await comparison.look(root, new)
    rows, problems = comparison.rows, comparison.problems
    if not question.segment:
        problems.extend(duplicates(new, root.path, process.types))
    if not question.segment and rows and rows[0].path == "" and rows[0].change == "+/-":
        text = f"the top of the tree cannot be replaced: {rows[0].why}"
        problems.append(Fault(Kind.REFUSED, text, "SF-UPDATE-002", root.path))
    text = f"{root.id}\0{root.segment.version}\0"
    digest = hashlib.sha256(text.encode() + encode_tree(new)).hexdigest()[:16]
    return Plan(tuple(rows), tuple(problems), digest)


class Comparison:
    """One walk over a running tree beside a description.

    Attributes:
        rows: What would change, parents before children.
        problems: What is in the way.
    """

    def __init__(self, process: Process, *, back: bool) -> None:
        """Compare trees of one process; parts elsewhere are asked there.

        Args:
            process: Of the trees.
            back: What they are compared with is what they were before an update that failed.
        """
        self._back = back
        self.rows: list[PlanRow] = []
        self.problems: list[Fault] = []
        self._process = process

    async def look(self, live: Live, new: Description, path: str = "") -> Change:
        """Judge a component and all below it."""
        if path:
            return await self._look(live, new, path)
        with proposing(live.path, new, back=self._back):
            return await self._look(live, new, path)

    async def _look(self, live: Live, new: Description, path: str) -> Change:
        self._check_able(live)
        judgement = await self._judge(live, new)
        if judgement.changed or judgement.fate is Fate.REPLACE:
            change = "+/-" if judgement.fate is Fate.REPLACE else "~"
            ways = await self._explained(live, new, judgement)
            self._row(path, change, new, judgement.why, judgement.changed, ways)
        if judgement.fate is Fate.REPLACE:
            return Change(live, new, judgement, (), (), (), ())
        wanted = self._wanted(live, new)
        ended = self._ended(live, wanted, path)
        replaced: list[str] = []
        kept: list[tuple[str, Change | None]] = []
        for name, child in live.children.items():
            if name not in wanted:
                continue
            inner, replace = await self._child(child, wanted[name], _below(path, name))
            if replace:
                replaced.append(name)
            else:
                kept.append((name, inner))
        added = self._added(live, wanted, path)
        return Change(live, new, judgement, ended, added, tuple(replaced), tuple(kept))

    def _wanted(self, live: Live, new: Description) -> dict[str, Description]:
        wanted = dict(children(new))
        if wanted and live.flow is None:
            text = f"{type(live.prim).__name__} has no children"
            self.problems.append(Fault(Kind.BAD_DESCRIPTION, text, "SF-TYPE-102", live.path))
            return {}
        return wanted

    def _ended(self, live: Live, wanted: dict[str, Description], path: str) -> tuple[str, ...]:
        """Return children the description had and has no more; others the type made itself."""
        known = {name for name, _ in children(live.description)}
        ended = [name for name in live.children if name in known and name not in wanted]
        for name in ended:
            self.rows.append(PlanRow(_below(path, name), "-", "", self._process.address))
        return tuple(ended)

    def _added(self, live: Live, wanted: dict[str, Description], path: str) -> tuple[str, ...]:
        if type(live.prim).creates_children:
            return ()
        added = [name for name in wanted if name not in live.children]
        for name in added:
            self._announce(wanted[name], _below(path, name))
        return tuple(added)

    def _announce(self, description: Description, path: str) -> None:
        self._row(path, "+", description)
        for name, below in children(description):
            self._announce(below, f"{path}:{name}")

    def _row(
        self, path: str, change: str, new: Description, why: str = "",
        names: tuple[str, ...] = (), ways: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        kind = str(new.get("sfClass") or "")
        self.rows.append(PlanRow(path, change, kind, self._process.address, why, names, ways))

    async def _explained(
        self, live: Live, new: Description, judgement: Judgement
    ) -> tuple[str, ...]:
        """Say how each change takes effect, as far as the component says so."""
        if "explain_update" not in type(live.prim).hooks:
            return ()
        try:
            async with asyncio.timeout(live.seconds("sfDeployTimeout", 60.0)):
                said = await live.prim.explain_update(dict(new.attributes))
        except EngineError:
            return ()
        return tuple(said.get(name, "") for name in judgement.changed)

    async def _child(
        self, child: Live | RemotePart, new: Description, path: str
    ) -> tuple[Change | None, bool]:
        if isinstance(child, RemotePart):
            return None, await self._elsewhere(child, new, path)
        inner = await self.look(child, new, path)
        return inner, inner.judgement.fate is Fate.REPLACE

    def _check_able(self, live: Live) -> None:
        if live.state is not State.STARTED:
            text = f"is {live.state.value}: only what has started can be updated"
            self.problems.append(Fault(Kind.WRONG_STATE, text, "SF-UPDATE-003", live.path))
        elif live.inherited("sfUpdatable") is not True:
            hint = "write sfUpdatable true on it, or on a component above it"
            fault = Fault(Kind.REFUSED, "is not updatable", "SF-UPDATE-001", live.path, hint)
            self.problems.append(fault)

    async def _judge(self, live: Live, new: Description) -> Judgement:
        kind = type(live.prim)
        declared = kind.declarations
        hook = "on_update" in kind.hooks
        able = {
            name: hook or "updatable" in attr.tags or name in declared.watchers
            for name, attr in declared.attrs.items()
        }
        judgement = judge(_own(live), new, updatable=able)
        try:
            declared.bind(dict(new.attributes), {}, where=live.path)
            if "check_update" in kind.hooks and judgement.fate is Fate.KEEP:
                async with asyncio.timeout(live.seconds("sfDeployTimeout", 60.0)):
                    if not await live.prim.check_update(dict(new.attributes)):
                        return Judgement(Fate.REPLACE, judgement.changed, "it asks for it")
        except BadValueError as error:
            fault = Fault(Kind.BAD_DESCRIPTION, str(error), "SF-ATTR-001", live.path)
            self.problems.append(fault)
        except Exception as error:  # noqa: BLE001 - boundary: an author's code refuses
            cause = fault_of(error)
            text = f"refuses the update: {cause.message}"
            fault = Fault(Kind.REFUSED, text, "SF-UPDATE-004", live.path, causes=(cause,))
            self.problems.append(fault)
        return judgement

    async def _elsewhere(self, part: RemotePart, new: Description, path: str) -> bool:
        """Have a part judged where it is; say whether it is to be replaced."""
        now = part.parent.value(part.name)
        if isinstance(now, Description) and _place(now) != _place(new):
            self._row(path, "+/-", new, "its place differs")
            return True
        try:
            question = ReadUpdate(flatten(new), segment=part.segment, back=self._back)
            answer = await self._process.peers.read(part.address, question)
        except EngineError as error:
            self.problems.append(fault_of(error))
            return False
        if not isinstance(answer, Plan):
            raise EngineError(f"{part.address} gave another answer than asked for")
        self.problems.extend(answer.problems)
        for row in answer.rows:
            full = f"{path}:{row.path}" if row.path else path
            self.rows.append(
                PlanRow(full, row.change, row.kind, row.address, row.why, row.attributes, row.ways)
            )
        return bool(answer.rows) and (answer.rows[0].path, answer.rows[0].change) == ("", "+/-")


def _own(live: Live) -> dict[str, Value]:
    """Return a component's attributes without its children and what is written while it runs."""
    declared = type(live.prim).declarations
    written = declared.outputs.keys() - declared.attrs.keys()
    return {
        name: value
        for name, value in live.described().items()
        if name not in live.children
        and name not in written
        and name not in WRITTEN
        and not (isinstance(value, Description) and not value.data)
    }


def _place(description: Description) -> tuple[Value, Value]:
    return description.get("sfProcessHost"), description.get("sfProcessName")


def _below(path: str, name: str) -> str:
    return f"{path}:{name}" if path else name
