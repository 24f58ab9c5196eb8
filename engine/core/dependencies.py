"""Which children of a compound refer to which of their siblings.

References are followed over descriptions, as far as names alone tell: a bare word is looked up from
its holder upwards, `PARENT` steps up, `ROOT` starts at the top of the tree. What leaves the compound,
or stays inside one child, makes no edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from sfdl.values import Description, Kept, Part, PartKind, Reference, Value, Vector

DEPENDS_ON = "sfDependsOn"


class Edge(Struct, frozen=True):
    """One child wants another to be there before it.

    Attributes:
        child: Who wants it.
        on: The sibling wanted.
        firm: Asked for by `sfDependsOn`; else a plain LAZY reference.
    """

    child: str
    on: str
    firm: bool


def edges(
    table: Mapping[str, Value], children: Sequence[str], path: Sequence[str], *, implicit: bool
) -> tuple[Edge, ...]:
    """Find the edges among the children of one compound.

    Args:
        table: The compound's attributes, its children's descriptions among them.
        children: Names of its children, in order.
        path: Names from the application down to the compound.
        implicit: Count plain LAZY references, not just `sfDependsOn`.

    Returns:
        Each edge once; a firm one stands for a plain one between the same two.

    Example:
        >>> ref = Reference((Part(PartKind.ATTRIB, "db"),), lazy=True)
        >>> web = Description((("sfDependsOn", Vector((ref,))),))
        >>> edges({"db": Description(()), "web": web}, ("db", "web"), ("app",), implicit=True)
        (Edge(child='web', on='db', firm=True),)
    """
    found: dict[tuple[str, str], bool] = {}
    names = frozenset(children)
    for child in children:
        description = table.get(child)
        if not isinstance(description, Description):
            continue
        for chain, reference, firm in _references(description):
            if not (firm or implicit):
                continue
            on = _branch(chain, reference.parts, table, names, path)
            if on is not None and on != child:
                found[child, on] = firm or found.get((child, on), False)
    return tuple(Edge(child, on, firm) for (child, on), firm in found.items())


def siblings(table: Mapping[str, Value], child: str, wanted: Value) -> tuple[str, ...]:
    """Return the siblings a child names, or that references of its own lead to."""
    if isinstance(wanted, str):
        return (wanted,)
    if isinstance(wanted, Vector) and all(isinstance(each, str) for each in wanted.items):
        return tuple(each for each in wanted.items if isinstance(each, str))
    own = table.get(child)
    if not isinstance(own, Description):
        return ()
    names = frozenset(table)
    found = (
        _branch(chain, reference.parts, table, names, ())
        for chain, reference in within(wanted, (own,))
    )
    return tuple(name for name in found if name is not None)


def _references(child: Description) -> Iterator[tuple[tuple[Description, ...], Reference, bool]]:
    """Give every reference in a sub-tree with the descriptions from its top down to its holder."""
    stack: list[tuple[Description, ...]] = [(child,)]
    while stack:
        chain = stack.pop()
        for name, value in chain[-1].attributes:
            if isinstance(value, Description):
                if not value.data:
                    stack.append((*chain, value))
            elif isinstance(value, Reference | Vector | Kept):
                for holder, reference in within(value, chain):
                    yield holder, reference, name == DEPENDS_ON


def within(
    value: Value, chain: tuple[Description, ...]
) -> Iterator[tuple[tuple[Description, ...], Reference]]:
    """Give the references in a value, each with the descriptions down to its holder.

    A function is a place of its own: `PARENT` in its arguments is the component that has it.
    """
    match value:
        case Reference(data=False):
            yield chain, value
        case Vector(items):
            for item in items:
                yield from within(item, chain)
        case Kept(arguments=arguments, data=False):
            for _, argument in arguments:
                yield from within(argument, (*chain, _FUNCTION))
        case _:
            pass


_FUNCTION = Description(())


def _branch(
    chain: tuple[Description, ...],
    parts: Sequence[Part],
    table: Mapping[str, Value],
    siblings: frozenset[str],
    path: Sequence[str],
) -> str | None:
    """Return the child of the compound that a reference enters first from outside that child."""
    level = len(chain)
    rest = list(parts)
    while rest:
        part = rest.pop(0)
        match part.kind:
            case PartKind.THIS:
                continue
            case PartKind.PARENT:
                level -= 1
            case PartKind.ROOT:
                return _from_root(rest, siblings, path)
            case PartKind.ATTRIB:
                while level > 0 and part.name not in chain[level - 1].names():
                    level -= 1
                return _at_compound(part.name, table, siblings) if level == 0 else None
            case PartKind.HERE:
                return _at_compound(part.name, table, siblings) if level == 0 else None
            case _:
                return None
        if level < 0:
            return None
    return None


def _at_compound(name: str, table: Mapping[str, Value], siblings: frozenset[str]) -> str | None:
    seen: set[str] = set()
    while name not in siblings:
        value = table.get(name)
        if name in seen or not isinstance(value, Reference) or not value.parts:
            return None
        seen.add(name)
        first = value.parts[0]
        if first.kind not in {PartKind.ATTRIB, PartKind.HERE}:
            return None
        name = first.name
    return name


def _from_root(rest: list[Part], siblings: frozenset[str], path: Sequence[str]) -> str | None:
    names = [part.name for part in rest if part.kind in {PartKind.HERE, PartKind.ATTRIB}]
    above = len(path) - 1
    if len(names) <= above or tuple(names[:above]) != tuple(path[1:]):
        return None
    return names[above] if names[above] in siblings else None
