"""`Compound`: a component that owns an ordered list of children and shares their fate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.core.flows import Flow, SharedFate
from engine.core.lifecycle import Phase
from engine.prim import Prim
from engine.wire.messages import Handle
from sfdl.values import Description, Value


class Compound(Prim, type="compound"):
    """A component with children: every attribute that is a component description, in order.

    What happens when a child ends is decided by the class's flow; the base rule is shared fate.
    """

    async def lost_on(self, name: str) -> str:
        """Return the host on which a child was lost and that does not answer, or an empty string."""
        return await self.live.process.parts.lost_on(self.live, name)

    def make_flow(self) -> Flow[Any]:
        """Return the decider of this compound, made anew for each life."""
        return SharedFate()

    @property
    def children(self) -> Iterator[str]:
        """Give the names of the present children, in order."""
        return iter(tuple(self.live.children))

    async def create_child(
        self,
        name: str,
        description: Description,
        overrides: Mapping[str, Value] | None = None,
        *,
        upto: str = "started",
    ) -> Handle:
        """Bring a child to life; from `on_deploy` only up to `deployed`: it joins the start phase.

        Args:
            name: Its name below this compound.
            description: What to make it from.
            overrides: Attributes that go on top.
            upto: `deployed` or `started`.

        Returns:
            What others need to reach it.

        Raises:
            EngineError: As it failed; nothing of the child is left.
        """
        whole = description.overlaid(tuple((overrides or {}).items()))
        phase = Phase.DEPLOY if upto == "deployed" else Phase.START
        return await self.live.nursery.start(name, whole, upto=phase)
