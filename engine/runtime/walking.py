"""Walking a path a user wrote, from an application to a component or a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.faults import EngineError, NotFound
from engine.core.secrecy import Sight, sight
from engine.runtime.live import Live, RemotePart
from engine.wire.messages import Handle, ReadValue, Resolved, as_tree
from sfdl.primitives import parse_reference
from sfdl.references import reference_text
from sfdl.values import Part, PartKind, Reference

if TYPE_CHECKING:
    from engine.runtime.process import Process


def names_of(ref: str) -> tuple[str, ...]:
    """Split a component name given by a user: `app:child:leaf`, with quotes around odd names.

    Example:
        >>> names_of('pool:computer1:"odd name"')
        ('pool', 'computer1', 'odd name')
    """
    return tuple(part.strip('"') for part in ref.split(":") if part)


async def value_at(process: Process, question: ReadValue) -> Resolved:
    """Walk a path as far as it is held here, and have the rest walked where it leads.

    It is for people: they see no secrets.

    Raises:
        NotFound: It leads nowhere; the message has the step that failed.
    """
    token = sight.set(Sight.PEOPLE)
    try:
        return await _value_at(process, question)
    finally:
        sight.reset(token)


async def _value_at(process: Process, question: ReadValue) -> Resolved:
    here, names = await _start(process, question)
    here, names = _down(here, names)
    if not names:
        return Resolved(handle=here.handle if isinstance(here, Live) else here)
    if isinstance(here, Handle):
        onward = ReadValue(ident=here.ident, names=names)
        answer = await process.peers.read(here.address, onward)
        if not isinstance(answer, Resolved):
            raise EngineError(f"{here.address} gave another answer than asked for")
        return answer
    parts = tuple(Part(PartKind.HERE, name) for name in names)
    found = await process.resolver.follow(here, parts, 64, ())
    return Resolved(handle=found) if isinstance(found, Handle) else Resolved(value=as_tree(found))


async def _start(process: Process, question: ReadValue) -> tuple[Live | Handle, tuple[str, ...]]:
    if question.ident is not None:
        return process.live(question.ident), question.names
    if question.ref.startswith("HOST "):
        host, *rest = parse_reference(question.ref).parts
        text = reference_text(Reference((host, *rest[:1])))
        return await process.reader.find(text), tuple(part.name for part in rest[1:])
    names = names_of(question.ref)
    first = 2 if names and names[0] in process.subprocesses.addresses else 1
    return await process.reader.find(":".join(names[:first])), names[first:]


def _down(here: Live | Handle, names: tuple[str, ...]) -> tuple[Live | Handle, tuple[str, ...]]:
    """Step from child to child while they are held here; stop at the first that is not."""
    while isinstance(here, Live) and names and names[0] in here.children:
        child = here.children[names[0]]
        if isinstance(child, RemotePart):
            if child.root is None:
                raise NotFound("not created yet", where=child.path)
            return child.root, names[1:]
        here, names = child, names[1:]
    return here, names
