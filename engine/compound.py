"""`Compound`: a component that owns an ordered list of children and shares their fate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.core.flows import Flow, SharedFate
from engine.prim import Prim


class Compound(Prim, type="compound"):
    """A component with children: every attribute that is a component description, in order.

    What happens when a child ends is decided by the class's flow; the base rule is shared fate.
    """

    def make_flow(self) -> Flow[Any]:
        """Return the decider of this compound, made anew for each life."""
        return SharedFate()

    @property
    def children(self) -> Iterator[str]:
        """Give the names of the present children, in order."""
        return iter(tuple(self.live.children))
