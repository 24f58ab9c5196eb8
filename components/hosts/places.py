"""On which hosts the members of a cluster are tried, in which order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum


class Placement(Enum):
    """How members are spread over hosts."""

    SPREAD = "spread"
    PACK = "pack"
    ANY = "any"


def candidates(
    placement: Placement, hosts: Sequence[str], number: int, members: Mapping[str, int],
    avoid: str = "",
) -> tuple[str, ...]:  # fmt: skip
    """Return the hosts to try for one member, best first; ties go by the order of the list.

    Args:
        placement: `spread` begins with the host that has fewest members, `pack` with the first, `any`
            with the next in turn.
        hosts: Where members may be.
        number: Of the member, from 1.
        members: How many members are on a host already.
        avoid: A host to try last: the member was lost there.

    Example:
        >>> candidates(Placement.SPREAD, ("a", "b"), 1, {"a": 2, "b": 1})
        ('b', 'a')
        >>> candidates(Placement.ANY, ("a", "b", "c"), 2, {})
        ('b', 'c', 'a')
        >>> candidates(Placement.PACK, ("a", "b"), 9, {"a": 5}, avoid="a")
        ('b', 'a')
    """
    order = list(hosts)
    if placement is Placement.SPREAD:
        order.sort(key=lambda host: members.get(host, 0))
    elif placement is Placement.ANY and order:
        turn = (number - 1) % len(order)
        order = order[turn:] + order[:turn]
    order.sort(key=lambda host: host == avoid)
    return tuple(order)
