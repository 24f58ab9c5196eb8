"""Who has which address on this host: asked before anything is made, so that nobody gets one twice."""

from __future__ import annotations

from weakref import WeakValueDictionary

from engine.core.faults import Refused
from engine.prim import Prim


class Claims:
    """The addresses and names that components of this process hold; one per process.

    A claim ends with the component that made it.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._held: WeakValueDictionary[tuple[str, str, str], Prim] = WeakValueDictionary()

    def holder(self, kind: str, scope: str, value: str) -> Prim | None:
        """Return the component that holds something, if one does."""
        prim = self._held.get((kind, scope, value))
        if prim is None or prim.live.process.lives.get(prim.live.id) is not prim.live:
            return None
        return prim

    def take(self, prim: Prim, kind: str, scope: str, value: str) -> None:
        """Claim something for a component.

        Args:
            prim: Who wants it.
            kind: What it is, in the description's word, such as `ip`.
            scope: Within what it may be there once, such as a network of a hypervisor.
            value: The address or name.

        Raises:
            Refused: Another component holds it.
        """
        self.check(prim, kind, scope, value)
        self._held[kind, scope, value] = prim

    def check(self, prim: Prim, kind: str, scope: str, value: str) -> None:
        """Refuse what another component holds; arguments as for `take`.

        Raises:
            Refused: Another component holds it.
        """
        holder = self.holder(kind, scope, value)
        if holder is not None and holder.path != prim.path:
            raise Refused(
                f"{kind} {value} is held by {holder.path} already", code="SF-NET-002",
                where=prim.path, hint=f"give {prim.path} another {kind}, or end {holder.path} first",
            )  # fmt: skip

    def give_back(self, prim: Prim, kind: str, scope: str, value: str) -> None:
        """End a claim before its component ends; one of another component stays."""
        if self._held.get((kind, scope, value)) is prim:
            del self._held[kind, scope, value]
