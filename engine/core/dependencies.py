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
    siblings = frozenset(children)
    for child in children:
        description = table.get(child)
        if not isinstance(description, Description):
            continue
        for chain, reference, firm in _references(description):
            if not (firm or implicit):
                continue
            on = _branch(chain, reference.parts, table, siblings, path)
            if on is not None and on != child:
                found[child, on] = firm or found.get((child, on), False)
    return tuple(Edge(child, on, firm) for (child, on), firm in found.items())


def sibling(table: Mapping[str, Value], child: str, wanted: Value) -> str | None:
    """Return the sibling of a child that a reference of its own leads to, or a name stands for."""
    if isinstance(wanted, str):
        return wanted
    own = table.get(child)
    if isinstance(wanted, Reference) and isinstance(own, Description):
        return _branch((own,), wanted.parts, table, frozenset(table), ())
    return None


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
                for reference in _within(value):
                    yield chain, reference, name == DEPENDS_ON


def _within(value: Value) -> Iterator[Reference]:
    match value:
        case Reference(data=False):
            yield value
        case Vector(items):
            for item in items:
                yield from _within(item)
        case Kept(arguments=arguments, data=False):
            for _, argument in arguments:
                yield from _within(argument)
        case _:
            pass


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
