"""The order in which the children of a compound are brought to life, and ended."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from engine.core.dependencies import Edge
from engine.core.faults import BadDescription


class Order(Struct, frozen=True):
    """Children in waves: one wave is done before the next begins.

    Attributes:
        waves: Names; within a wave in declaration order.
        firm: Whether `sfDependsOn` had a say: then they also end in these waves, last first.
        warnings: What was not followed, one sentence each.
    """

    waves: tuple[tuple[str, ...], ...]
    firm: bool = False
    warnings: tuple[str, ...] = ()


def order(children: Sequence[str], edges: Sequence[Edge], *, together: bool) -> Order:
    """Put children in order.

    One at a time, declaration decides and `sfDependsOn` overrides it; a plain reference that points
    forward is only warned of. Several at a time, plain references count too, unless they run in a
    circle.

    Args:
        children: Names in declaration order.
        edges: Who wants whom.
        together: Whether several children may be worked on at a time.

    Raises:
        BadDescription: `sfDependsOn` runs in a circle; the message has it.

    Example:
        >>> order(("a", "b", "c"), (Edge("a", "c", True),), together=False).waves
        (('b',), ('c',), ('a',))
        >>> order(("a", "b", "c"), (Edge("a", "c", False),), together=True).waves
        (('b', 'c'), ('a',))
    """
    firm = [edge for edge in edges if edge.firm]
    if not edges:
        return Order((tuple(children),) if together else tuple((name,) for name in children))
    if not firm and not together:
        waves = tuple((name,) for name in children)
        return Order(waves, warnings=_against(waves, edges))
    if firm:
        _refuse_circle(firm)
    return _together(children, edges) if together else _one_by_one(children, firm, edges)


def _one_by_one(children: Sequence[str], firm: Sequence[Edge], edges: Sequence[Edge]) -> Order:
    import networkx as nx  # noqa: PLC0415 - slow to import, and most trees need no graph

    place = {name: index for index, name in enumerate(children)}
    graph = nx.DiGraph()
    graph.add_nodes_from(children)
    graph.add_edges_from((edge.on, edge.child) for edge in firm)
    line = nx.lexicographical_topological_sort(graph, key=place.__getitem__)
    waves = tuple((name,) for name in line)
    return Order(waves, firm=True, warnings=_against(waves, edges))


def _together(children: Sequence[str], edges: Sequence[Edge]) -> Order:
    import networkx as nx  # noqa: PLC0415 - slow to import, and most trees need no graph

    place = {name: index for index, name in enumerate(children)}
    graph = nx.DiGraph()
    graph.add_nodes_from(children)
    graph.add_edges_from((edge.on, edge.child) for edge in edges)
    warnings = []
    component = {
        name: index
        for index, names in enumerate(nx.strongly_connected_components(graph))
        for name in names
    }
    for edge in edges:
        if not edge.firm and component[edge.child] == component[edge.on]:
            graph.remove_edge(edge.on, edge.child)
            warnings.append(
                f"{edge.child} refers to {edge.on}, which refers back: "
                "their order is not derived from it"
            )
    waves = tuple(
        tuple(sorted(wave, key=place.__getitem__)) for wave in nx.topological_generations(graph)
    )
    return Order(waves, firm=any(edge.firm for edge in edges), warnings=tuple(warnings))


def _refuse_circle(firm: Sequence[Edge]) -> None:
    import networkx as nx  # noqa: PLC0415 - slow to import, and most trees need no graph

    graph = nx.DiGraph((edge.child, edge.on) for edge in firm)
    try:
        circle = [child for child, _ in nx.find_cycle(graph)]
    except nx.NetworkXNoCycle:
        return
    way = " -> ".join((*circle, circle[0]))
    raise BadDescription(
        f"sfDependsOn runs in a circle: {way}", code="SF-ORDER-001", phase="create",
        hint="remove one of these dependencies",
    )  # fmt: skip


def _against(waves: Sequence[tuple[str, ...]], edges: Sequence[Edge]) -> tuple[str, ...]:
    place = {name: index for index, wave in enumerate(waves) for name in wave}
    return tuple(
        f"{edge.child} refers to {edge.on}, which starts after it"
        for edge in edges
        if not edge.firm and place[edge.on] > place[edge.child]
    )
