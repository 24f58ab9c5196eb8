"""Following references at run time, from component to component and across processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from engine.core.events import Ident
from engine.core.faults import BadDescription, EngineError, NotAllowed, NotFound, Refused
from engine.core.secrecy import (
    HIDDEN,
    Sight,
    has_secrets,
    met,
    redacted,
    secret_names,
    sight,
    witnessing,
)
from engine.runtime.kinds import BadValueError
from engine.runtime.live import Live, RemotePart
from engine.wire.codec import decode, encode, flatten, unflatten
from engine.wire.messages import Handle, Resolve, Resolved
from sfdl.values import Description, Kept, Part, PartKind, Reference, Value

if TYPE_CHECKING:
    from engine.runtime.process import Process

HOPS = 64
Spot: TypeAlias = Live | Description
"""Where a walk stands: a live component, or plain data inside one."""


def encode_parts(parts: Sequence[Part]) -> str:
    """Write parts as text for the wire."""
    return encode([(part.kind.value, part.name) for part in parts]).hex()


def decode_parts(text: str) -> tuple[Part, ...]:
    """Read parts written by `encode_parts`.

    Raises:
        msgspec.DecodeError: They are none.
    """
    try:
        pairs = decode(bytes.fromhex(text), list[tuple[str, str]])
        return tuple(Part(PartKind(kind), name) for kind, name in pairs)
    except ValueError as error:
        raise msgspec.DecodeError(f"no parts of a reference: {error}") from error


def spoken(parts: Sequence[Part]) -> str:
    """Show parts to people."""
    words = []
    for index, part in enumerate(parts):
        usual = PartKind.ATTRIB if index == 0 else PartKind.HERE
        words.append(part.name if part.kind is usual else f"{part.kind.value} {part.name}".rstrip())
    return ":".join(words)


class Resolver:
    """Follows references for the components of one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    async def resolve(self, live: Live, reference: Reference) -> Value | Handle:
        """Follow a reference from the component that holds it.

        Returns:
            A copy of a value (values are immutable), or a handle to a component.

        Raises:
            NotFound: It leads nowhere; the message has the part that failed.
            Unreachable: A process on the way does not answer.
        """
        try:
            with witnessing() as witness:
                found = await self.follow(live, reference.parts, HOPS, ())
        except NotFound:
            if reference.optional:
                return reference.default
            raise
        if witness.met and sight.get() is Sight.COMPONENT:
            live.confided.add("")
        return found

    async def fetch(self, live: Live, name: str) -> object:
        """Read a declared attribute anew and check it; see `Prim.fetch`."""
        declared = type(live.prim).declarations.attrs[name]
        with witnessing() as witness:
            value = await self.settle(live, live.value(name))
        if witness.met:
            live.confided.add(name)
        if isinstance(value, Handle):
            raise BadDescription(f"{name} leads to a component, not to a value", where=live.path)
        try:
            return declared.read(value)
        except BadValueError as error:
            text = "does not fit" if live.is_secret(name) else str(error)
            raise BadDescription(f"{name} {text}", where=live.path) from None

    async def settle(self, live: Live, value: Value) -> Value | Handle:
        """Turn a LAZY reference or kept function into what it stands for now."""
        if isinstance(value, Reference) and not value.data:
            return await self.resolve(live, value)
        if isinstance(value, Kept) and not value.data:
            return await self._compute(live, value)
        return value

    async def _compute(self, live: Live, kept: Kept) -> Value:
        import sfdl  # noqa: PLC0415 - evaluation is rare and slow to import

        resolved = {}
        for need in sfdl.needs(kept):
            found = await self.resolve(live, need.at_holder)
            if isinstance(found, Handle):
                raise BadDescription("a function cannot take a live component", where=live.path)
            resolved[need] = found
        return sfdl.evaluate(kept, resolved, live.description)

    # -- the walk

    async def follow(
        self,
        start: Live,
        parts: Sequence[Part],
        hops: int,
        walked: tuple[str, ...],
        *,
        own: bool = True,
    ) -> Value | Handle:
        """Walk `parts` from a live component; used by `resolve` and for peers.

        Args:
            start: Where the walk begins, or goes on.
            parts: What is left of the reference.
            hops: How many processes it may still pass.
            walked: Components and parts it has passed, to find circles.
            own: The reference is held by `start`: it may see attributes tagged `sfLocal`.
        """
        rest = tuple(parts)
        mark = f"{start.id}|{spoken(rest)}"
        if mark in walked or hops <= 0:
            path = " -> ".join((*walked, mark))
            raise Refused(f"cyclic reference: {path}", code="SF-REF-002", where=start.path)
        walked = (*walked, mark)
        here: Spot | Value = start
        holder = start
        while rest:
            part, rest = rest[0], rest[1:]
            if isinstance(here, Live):
                holder = here
                if part.kind is PartKind.HERE and not (own and here is start):
                    _refuse_local(here, part.name)
                step = await self._step(here, part, rest, hops, walked)
            else:
                step = _inside(here, part, holder)
            if isinstance(step, _Elsewhere):
                return step.found
            here = step
        return here.handle if isinstance(here, Live) else here

    async def _step(
        self, here: Live, part: Part, rest: tuple[Part, ...], hops: int, walked: tuple[str, ...]
    ) -> Spot | Value | _Elsewhere:
        match part.kind:
            case PartKind.THIS:
                return here
            case PartKind.HERE:
                return await self._attribute(here, part.name, rest, hops, walked)
            case PartKind.ATTRIB:
                return await self._upwards(here, part, rest, hops, walked)
            case PartKind.PARENT if here.parent is not None:
                return here.parent
            case PartKind.PARENT:
                return await self._to_parent(here, rest, hops, walked)
            case PartKind.ROOT if here.segment.parent is None:
                return here.segment.root
            case PartKind.ROOT:
                return await self._to_parent(here.segment.root, (part, *rest), hops, walked)
            case _:
                return await self._outside(here, part, rest, hops, walked)

    async def _outside(
        self, here: Live, part: Part, rest: tuple[Part, ...], hops: int, walked: tuple[str, ...]
    ) -> Spot | Value | _Elsewhere:
        match part.kind:
            case PartKind.PROCESS:
                return await self._registered(self._process.address, rest, hops, walked)
            case PartKind.HOST:
                address = await self._process.peers.locate(part.name)
                return await self._registered(address, rest, hops, walked)
            case PartKind.CONSTANT:
                raise NotFound(f"CONSTANT {part.name} is not allowed at run time", where=here.path)
            case _:
                return _environment(part, here)

    async def _upwards(
        self, here: Live, part: Part, rest: tuple[Part, ...], hops: int, walked: tuple[str, ...]
    ) -> Spot | Value | _Elsewhere:
        at: Live | None = here
        while at is not None:
            if part.name in at.children or at.has(part.name):
                return await self._attribute(at, part.name, rest, hops, walked)
            at = at.parent
        if here.segment.parent is not None:
            return await self._to_parent(here.segment.root, (part, *rest), hops, walked)
        raise NotFound(
            f"cannot resolve {spoken((part, *rest))}: no {part.name} here or above",
            code="SF-REF-001",
            where=here.path,
        )

    async def _attribute(
        self, at: Live, name: str, rest: tuple[Part, ...], hops: int, walked: tuple[str, ...]
    ) -> Spot | Value | _Elsewhere:
        child = at.children.get(name)
        if isinstance(child, Live):
            return child
        if isinstance(child, RemotePart):
            return await self._to_part(child, rest, hops, walked)
        if not at.has(name):
            raise NotFound(f"there is no {name} in {at.path}", code="SF-REF-001", where=at.path)
        value = at.value(name)
        if at.is_secret(name):
            met()
            if sight.get() is not Sight.COMPONENT:
                return _hidden(at, name)
        if isinstance(value, Reference) and not value.data:
            parts = (*value.parts, *rest)
            try:
                return _Elsewhere(await self.follow(at, parts, hops - 1, walked))
            except NotFound:
                if value.optional and not rest:
                    return value.default
                raise
        if isinstance(value, Kept) and not value.data:
            return await self._compute(at, value)
        return value if rest else _seen(at, name, value)

    # -- across processes

    async def _to_part(
        self, part: RemotePart, rest: tuple[Part, ...], hops: int, walked: tuple[str, ...]
    ) -> _Elsewhere:
        if part.root is None:
            raise NotFound(f"{part.path} has not been created yet", where=part.path)
        if not rest:
            return _Elsewhere(part.root)
        return await self._ask(part.address, part.root, rest, hops, walked)

    async def _to_parent(
        self, root: Live, rest: tuple[Part, ...], hops: int, walked: tuple[str, ...]
    ) -> _Elsewhere:
        parent = root.segment.parent
        if parent is None:
            raise NotFound("there is no parent above the root", code="SF-REF-001", where=root.path)
        handle = Handle(parent.ident, parent.address, parent.name)
        if not rest:
            return _Elsewhere(handle)
        return await self._ask(parent.address, handle, rest, hops, walked)

    async def _registered(
        self, address: str, rest: tuple[Part, ...], hops: int, walked: tuple[str, ...]
    ) -> Spot | Value | _Elsewhere:
        names = list(rest)
        if names and names[0].name == "rootProcess":
            names = names[1:]
            if address == self._process.address:
                address = self._process.root_address
        elif names and address == self._process.address:
            there = self._process.subprocesses.addresses.get(names[0].name)
            if there is not None:
                address, names = there, names[1:]
        if not names:
            raise NotFound("a process itself is not a component; name an application in it")
        if address != self._process.address:
            start = Handle(Ident("", ""), address, "")
            return await self._ask(address, start, tuple(names), hops, walked)
        root = self._process.application(names[0].name)
        remaining = tuple(names[1:])
        if not remaining:
            return root
        return _Elsewhere(await self.follow(root, remaining, hops - 1, walked, own=False))

    async def registered(self, address: str, parts: tuple[Part, ...]) -> Value | Handle:
        """Follow a path that begins with the name of an application in some process."""
        found = await self._registered(address, parts, HOPS, ())
        if isinstance(found, _Elsewhere):
            return found.found
        return found.handle if isinstance(found, Live) else found

    async def _ask(
        self,
        address: str,
        start: Handle,
        rest: tuple[Part, ...],
        hops: int,
        walked: tuple[str, ...],
    ) -> _Elsewhere:
        shown = sight.get() is Sight.PEOPLE
        question = Resolve(start.ident, encode_parts(rest), hops - 1, walked, shown=shown)
        answer = await self._process.peers.read(address, question)
        if not isinstance(answer, Resolved):
            raise EngineError(f"{address} gave another answer than asked for")
        if answer.handle is not None:
            return _Elsewhere(answer.handle)
        if answer.secret:
            met()
        if answer.value is None:
            return _Elsewhere(None)
        return _Elsewhere(unflatten(answer.value).get("value"))

    async def answer(self, question: Resolve) -> Resolved:
        """Go on with a walk that a peer began."""
        parts = decode_parts(question.parts)
        if question.shown:
            asked_for = Sight.PEOPLE
        else:
            asked_for = Sight.NOBODY if self._process.settings.insecure else Sight.COMPONENT
        token = sight.set(asked_for)
        try:
            with witnessing() as witness:
                found = await self._go_on(question, parts)
        finally:
            sight.reset(token)
        if isinstance(found, Handle):
            return Resolved(handle=found)
        return Resolved(value=flatten(Description((("value", found),))), secret=witness.met)

    async def _go_on(self, question: Resolve, parts: tuple[Part, ...]) -> Value | Handle:
        if question.start.component:
            start = self._process.live(question.start)
        elif parts and parts[0].name in self._process.subprocesses.addresses:
            return await self.registered(self._process.address, parts)
        else:
            names, parts = parts[:1], parts[1:]
            start = self._process.application(names[0].name if names else "")
        return await self.follow(start, parts, question.hops, question.walked, own=False)


class _Elsewhere(msgspec.Struct, frozen=True):
    """The final answer of a walk that went on elsewhere."""

    found: Value | Handle


def _refuse_local(live: Live, name: str) -> None:
    if any(name == tagged and "sfLocal" in words for tagged, words in live.description.tags):
        raise Refused(
            f"{name} of {live.path} is for itself only", code="SF-REF-003", where=live.path,
            hint="it is tagged sfLocal",
        )  # fmt: skip


def _hidden(at: Live, name: str) -> Value:
    if sight.get() is Sight.PEOPLE:
        return HIDDEN
    raise NotAllowed(
        f"{name} is secret, and this daemon runs without TLS", code="SF-SEC-013",
        where=at.path, hint="secrets leave a process over TLS only: do without --insecure",
    )  # fmt: skip


def _seen(at: Live, name: str, value: Value) -> Value:
    """Return data as whoever asks may see it."""
    if not has_secrets(value):
        return value
    met()
    if sight.get() is Sight.COMPONENT:
        return value
    return redacted(value) if sight.get() is Sight.PEOPLE else _hidden(at, name)


def _inside(here: Spot | Value, part: Part, holder: Live) -> Value:
    if isinstance(here, Description) and part.kind in {PartKind.HERE, PartKind.ATTRIB}:
        if part.name in here.names():
            if part.name in secret_names(here):
                met()
                if sight.get() is not Sight.COMPONENT:
                    return _hidden(holder, part.name)
            return _seen(holder, part.name, here.get(part.name))
        raise NotFound(
            f"there is no {part.name} in that data", code="SF-REF-001", where=holder.path
        )
    raise NotFound(f"cannot step {part.name or part.kind.value} into a value", code="SF-REF-001",
                   where=holder.path)  # fmt: skip


def _environment(part: Part, here: Live) -> Value:
    text = os.environ.get(part.name)
    if text is None:
        raise NotFound(f"{part.kind.value} {part.name} is not set", where=here.path)
    if part.kind in {PartKind.IPROPERTY, PartKind.IENVPROPERTY}:
        import sfdl  # noqa: PLC0415 - the parser is slow to import

        return sfdl.parse_value(text)
    return text
