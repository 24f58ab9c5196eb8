"""Answering questions that change nothing: trees by page, attributes, facts, the report."""

from __future__ import annotations

import asyncio
from itertools import dropwhile, islice
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.core.events import Ident
from engine.core.faults import EngineError, NotFound, TimedOut, Unreachable
from engine.core.lifecycle import State
from engine.core.secrecy import HIDDEN, TAG, Sight, redacted, sight
from engine.runtime.census import census
from engine.runtime.checking import check_machine
from engine.runtime.comparing import plan as plan_update
from engine.runtime.kinds import shown
from engine.runtime.live import Live, RemotePart
from engine.runtime.report import report
from engine.runtime.walking import names_of, value_at
from engine.wire.codec import flatten, unflatten
from engine.wire.messages import (
    AttributeRow,
    Dumped,
    Handle,
    Page,
    PeersSeen,
    ReadAnswer,
    ReadAttributes,
    ReadCensus,
    ReadCheckup,
    ReadDiagnosis,
    ReadDump,
    Reading,
    ReadPeers,
    ReadPlan,
    ReadSegment,
    ReadTree,
    ReadUpdate,
    ReadValue,
    Resolve,
    SegmentFacts,
    TreeRow,
)
from sfdl.primitives import parse_reference
from sfdl.values import Description, Kept, Part, PartKind, Reference, Value, Vector

if TYPE_CHECKING:
    from engine.runtime.process import Process

MOST_ROWS = 500


class Reader:
    """Answers the `read` verb of one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def read(self, question: Reading) -> ReadAnswer:
        """Answer one question.

        Raises:
            EngineError: It cannot be answered; the fault says why.
        """
        match question:
            case ReadTree():
                return await self._tree(question)
            case ReadAttributes():
                return await self._attributes(question)
            case Resolve() | ReadValue() | ReadPeers() | ReadCensus():
                return await self._pass(question)
            case ReadSegment(segment):
                return self._segment(segment)
            case ReadPlan():
                return await self._process.planner.plan(question)
            case ReadUpdate():
                return await plan_update(self._process, question)
            case ReadDump():
                return await self._dump(question)
            case ReadCheckup():
                return await check_machine(self._process)
            case ReadDiagnosis():
                return await report(self._process, question)

    async def _pass(self, question: Resolve | ReadValue | ReadPeers | ReadCensus) -> ReadAnswer:
        match question:
            case Resolve():
                return await self._process.resolver.answer(question)
            case ReadValue():
                return await value_at(self._process, question)
            case ReadPeers():
                return PeersSeen(await self._process.peers.survey())
            case ReadCensus():
                return census(self._process)

    # -- finding

    async def find(self, ref: str) -> Live | Handle:
        """Return the component a user's name means, here or elsewhere.

        A name may begin with `HOST h:`: what follows is looked up in the daemon of that host.

        Raises:
            NotFound: There is none; if it ended a while ago, the message has its record.
        """
        if ref.startswith("HOST "):
            return await self._find_at(ref)
        names = names_of(ref)
        if names and names[0] in self._process.subprocesses.addresses:
            parts = tuple(Part(PartKind.HERE, name) for name in names)
            inside = await self._process.resolver.registered(self._process.address, parts)
            if not isinstance(inside, Handle):
                raise NotFound(f"{ref} is a value, not a component", where=ref)
            return inside
        try:
            root = self._process.application(names[0] if names else "")
        except NotFound:
            elsewhere = await self._in_subprocess(names)
            if elsewhere is None:
                raise
            return elsewhere
        if len(names) == 1:
            return root
        parts = tuple(Part(PartKind.HERE, name) for name in names[1:])
        found = await self._process.resolver.follow(root, parts, 64, ())
        if not isinstance(found, Handle):
            raise NotFound(f"{ref} is a value, not a component", where=ref)
        if found.ident.daemon == self._process.daemon_id:
            return self._process.live(found.ident)
        return found

    async def _find_at(self, ref: str) -> Live | Handle:
        parts = parse_reference(ref).parts
        address = await self._process.peers.locate(parts[0].name)
        found = await self._process.resolver.registered(address, parts[1:])
        if not isinstance(found, Handle):
            raise NotFound(f"{ref} is a value, not a component", where=ref)
        mine = found.ident.daemon == self._process.daemon_id
        return self._process.live(found.ident) if mine else found

    async def _in_subprocess(self, names: tuple[str, ...]) -> Handle | None:
        """Look for an application in the sub-processes of this host."""
        parts = tuple(Part(PartKind.HERE, name) for name in names)
        for address in self._process.subprocesses.addresses.values():
            try:
                found = await self._process.resolver.registered(address, parts)
            except EngineError:
                continue
            if isinstance(found, Handle):
                return found
        return None

    # -- trees

    async def _tree(self, question: ReadTree) -> Page:
        limit = max(1, min(question.limit, MOST_ROWS))
        rows: list[TreeRow] = []
        if question.ident is None and not question.ref:
            rows.extend(
                self._row(segment.root, 0)
                for segment in self._process.apps.values()
                if hasattr(segment, "root")
            )
            rows.extend(await self._of_subprocesses(question))
            return Page(tuple(rows[:limit]))
        start: Live | Handle
        if question.ident is not None:
            start = self._process.live(question.ident)
        else:
            start = await self.find(question.ref)
        if isinstance(start, Handle):
            inner = ReadTree(
                ident=start.ident, depth=question.depth, after=question.after, limit=limit
            )
            answer = await self._process.peers.read(start.address, inner)
            if not isinstance(answer, Page):
                raise EngineError(f"{start.address} gave another answer than asked for")
            return answer
        more = await self._below(start, question.after, question.depth, limit, rows)
        last = rows[-1] if rows else None
        return Page(tuple(rows), next=last.path if more and last is not None else "")

    async def _of_subprocesses(self, question: ReadTree) -> list[TreeRow]:
        """Return the applications of this host's sub-processes; one that has just died has none."""
        rows: list[TreeRow] = []
        for address in self._process.subprocesses.addresses.values():
            try:
                answer = await self._process.peers.read(address, question)
            except (Unreachable, TimedOut):
                continue
            if isinstance(answer, Page):
                rows.extend(row for row in answer.rows if isinstance(row, TreeRow))
        return rows

    async def _below(
        self, top: Live, after: str, depth: int, limit: int, rows: list[TreeRow]
    ) -> bool:
        """Append rows in pre-order after the cursor; say whether there may be more."""
        stack: list[tuple[Live | RemotePart, int, tuple[str, ...] | None]] = []
        passed = _relative(top.path, after)
        stack.append((top, 0, passed))
        visited = 0
        while stack:
            node, level, skip = stack.pop()
            if len(rows) >= limit:
                return True
            visited += 1
            if visited % 256 == 0:
                await asyncio.sleep(0)
            if isinstance(node, RemotePart):
                if await self._part_rows(
                    node, level, after if skip is not None else "", depth, limit, rows
                ):
                    return True
                continue
            if skip is None:
                rows.append(self._row(node, level))
            if level < depth:
                most = limit - len(rows) + 1
                stack.extend(reversed(_children_after(node, level, skip, most)))
        return False

    async def _part_rows(
        self, part: RemotePart, level: int, after: str, depth: int, limit: int, rows: list[TreeRow]
    ) -> bool:
        left = limit - len(rows)
        try:
            if part.root is None:
                raise NotFound("not created yet", where=part.path)
            question = ReadTree(ident=part.root.ident, depth=depth - level, after=after, limit=left)
            page = await self._process.peers.read(part.address, question, 5.0)
        except EngineError as error:
            if not after:
                rows.append(self._lost(part, level, error.fault.message))
            return False
        if isinstance(page, Page):
            rows.extend(
                replace(row, depth=row.depth + level)
                for row in page.rows
                if isinstance(row, TreeRow)
            )
            return bool(page.next)
        return False

    def _row(self, live: Live, level: int) -> TreeRow:
        kind = type(live.prim)
        return TreeRow(
            path=live.path,
            name=live.name,
            depth=level,
            kind=kind.type_name or f"{kind.__module__}.{kind.__qualname__}",
            state=live.state.value,
            ready=live.ready,
            good=live.health.good,
            health=live.health.text,
            address=self._process.address,
            age_s=round(asyncio.get_running_loop().time() - live.since_s, 3),
            restarts=live.restarts,
            ident=live.ident,
            record=live.record if live.state.ended else None,
            status=live.prim.doing(),
        )

    def _lost(self, part: RemotePart, level: int, why: str) -> TreeRow:
        state = part.state.value if part.state is State.TERMINATED else "lost"
        ident = part.root.ident if part.root is not None else Ident("", "")
        return TreeRow(
            part.path, part.name, level, "", state, False, None, why, part.address, 0.0, 0, ident,
            part.record,
        )  # fmt: skip

    # -- one component

    async def _attributes(self, question: ReadAttributes) -> Page:
        found: Live | Handle
        if question.ident is not None:
            found = self._process.live(question.ident)
        else:
            found = await self.find(question.ref)
        if isinstance(found, Handle):
            inner = ReadAttributes(ident=found.ident)
            answer = await self._process.peers.read(found.address, inner)
            if not isinstance(answer, Page):
                raise EngineError(f"{found.address} gave another answer than asked for")
            return answer
        return Page(tuple(self._attribute_rows(found)))

    def _attribute_rows(self, live: Live) -> list[AttributeRow]:
        tags = dict(live.description.tags)
        rows = []
        for name, value in live.context().items():
            words = tuple(sorted(tags.get(name, ())))
            child = live.children.get(name)
            if child is not None:
                text = (
                    f"{child.state.value} at {child.address}"
                    if isinstance(child, RemotePart)
                    else (f"{type(child.prim).__name__}, {child.state.value}")
                )
                rows.append(AttributeRow(name, text, "component", words))
            elif live.is_secret(name):
                rows.append(AttributeRow(name, HIDDEN, TAG, words))
            else:
                rows.append(AttributeRow(name, written(redacted(value)), kind_of(value), words))
        extra: dict[str, Value] = {
            "sfState": live.state.value,
            "sfReady": live.ready,
            "sfHost": self._process.address,
            "sfProcess": self._process.settings.process,
        }
        if live.record is not None:
            extra["sfLastRecord"] = live.record.sentence()
        if live.restarts:
            extra["sfRestartCount"] = live.restarts
        rows.extend(
            AttributeRow(name, written(value), kind_of(value), ("engine",))
            for name, value in extra.items()
        )
        return rows

    def _segment(self, segment_id: str) -> SegmentFacts:
        segment = self._process.segments.get(segment_id)
        if segment is None:
            record = self._process.ended_part(segment_id)
            return SegmentFacts("ended" if record is not None else "", record=record)
        state = "ended" if segment.root.state is State.TERMINATED else segment.root.state.value
        return SegmentFacts(state, segment.root.handle, segment.root.record)

    # -- dumps

    async def _dump(self, question: ReadDump) -> Dumped:
        found: Live | Handle
        if question.ident is not None:
            found = self._process.live(question.ident)
        else:
            found = await self.find(question.ref)
        if isinstance(found, Handle):
            inner = ReadDump(ident=found.ident, resolved=question.resolved)
            answer = await self._process.peers.read(found.address, inner)
            if not isinstance(answer, Dumped):
                raise EngineError(f"{found.address} gave another answer than asked for")
            return answer
        lost: list[str] = []
        tree = await self._described(found, lost, resolved=question.resolved)
        return Dumped(flatten(tree), tuple(lost))

    async def _described(self, live: Live, lost: list[str], *, resolved: bool) -> Description:
        """Describe a live component as it is now; parts that do not answer are as they were."""
        pairs: list[tuple[str, Value]] = []
        for name, value in live.context().items():
            child = live.children.get(name)
            now: Value = value
            if isinstance(child, Live):
                now = await self._described(child, lost, resolved=resolved)
            elif isinstance(child, RemotePart):
                now = await self._described_part(child, value, lost, resolved=resolved)
            elif live.is_secret(name):
                now = HIDDEN
            elif resolved and isinstance(value, Reference | Kept):
                now = await self._settled(live, value)
            else:
                now = redacted(value)
            pairs.append((name, now))
        return Description(tuple(pairs), live.description.tags, live.description.data)

    async def _settled(self, live: Live, value: Value) -> Value:
        token = sight.set(Sight.PEOPLE)
        try:
            found = await self._process.resolver.settle(live, value)
        except EngineError:
            return value
        finally:
            sight.reset(token)
        return value if isinstance(found, Handle) else found

    async def _described_part(
        self, part: RemotePart, before: Value, lost: list[str], *, resolved: bool
    ) -> Value:
        try:
            if part.root is None:
                raise NotFound("not created yet", where=part.path)
            question = ReadDump(ident=part.root.ident, resolved=resolved)
            answer = await self._process.peers.read(part.address, question, 5.0)
        except EngineError as error:
            lost.append(f"{part.path}: {error.fault.message}")
            return redacted(before)
        if not isinstance(answer, Dumped):
            return redacted(before)
        lost.extend(answer.lost)
        return unflatten(answer.tree)


def _relative(top: str, after: str) -> tuple[str, ...] | None:
    """Return the names of the cursor below `top`, or nothing when there is no cursor below it."""
    if not after:
        return None
    if after == top:
        return ()
    return tuple(after[len(top) + 1 :].split(":")) if after.startswith(f"{top}:") else None


def _children_after(
    node: Live, level: int, skip: tuple[str, ...] | None, most: int
) -> list[tuple[Live | RemotePart, int, tuple[str, ...] | None]]:
    """Return the children to go on with: no more than a page can show, and one to know of more."""
    if not skip or skip[0] not in node.children:
        return [(child, level + 1, None) for child in islice(node.children.values(), most)]
    rest = dropwhile(lambda item: item[0] != skip[0], node.children.items())
    return [
        (child, level + 1, skip[1:] if name == skip[0] else None)
        for name, child in islice(rest, most + 1)
    ]


def kind_of(value: Value) -> str:
    """Name the kind of a value for people.

    Example:
        >>> kind_of(1), kind_of(1.0), kind_of(Vector(()))
        ('int', 'double', 'vector')
    """
    match value:
        case bool():
            return "boolean"
        case Reference(lazy=True):
            return "lazy reference"
        case Kept(assertion=True):
            return "assertion"
        case _:
            return _KINDS.get(type(value), type(value).__name__.lower())


_KINDS: dict[type, str] = {
    type(None): "null", int: "int", float: "double", str: "string", Kept: "function",
    Description: "data",
}  # fmt: skip


def written(value: Value) -> str:
    """Write a value as a description would, short enough for a table."""
    from engine.runtime.resolver import spoken  # noqa: PLC0415 - shown only here

    match value:
        case Reference():
            flags = ("LAZY " if value.lazy else "") + ("DATA " if value.data else "")
            return f"{flags}{spoken(value.parts)}"
        case Kept(function, arguments):
            return f"{function}({', '.join(name for name, _ in arguments)})"
        case Vector(items):
            return f"[{', '.join(written(item) for item in items)}]"
        case _:
            return shown(value)
