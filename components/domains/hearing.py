"""What a machine hears of changes in what its guest is to be told: its own, and those of its context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from components.context.context import Context, Outline
from components.domains import uplink
from engine.core.faults import EngineError
from engine.wire.messages import Handle
from sfdl.values import Description, Part, PartKind, Reference, Value

if TYPE_CHECKING:
    from components.domains.domain import Domain


class Hearing:
    """Listens for one domain.

    Attributes:
        changed: Attributes of the machine that are told, and that an update has just changed.
    """

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self.changed: tuple[str, ...] = ()

    async def news(self) -> tuple[str, ...]:
        """Return the attributes that make the guest be told something else, each once."""
        names, self.changed = self.changed, ()
        if not self._domain.context.given:
            return names
        if await self._domain.making.retelling.changed():
            names = tuple(dict.fromkeys((*names, "context")))
        return names

    def now(self, names: tuple[str, ...]) -> bool:
        """Say whether such a change is to reach the guest at once, by a power cycle."""
        domain = self._domain
        return bool(names) and (domain.making.outline.apply_now or domain.update_mode == "reboot")

    async def at_once(self, context: Value) -> bool:
        """Say whether a context, as the machine is described to have it, is applied at once."""
        if isinstance(context, Description):
            return context.get("applyNow") is True
        if isinstance(context, Reference):
            inner = Reference((*context.parts, Part(PartKind.HERE, "applyNow")), lazy=True)
            try:
                return await self._resolved(inner) is True
            except EngineError:  # it comes with the same update
                return False
        return False

    async def check(self, wanted: Mapping[str, object]) -> None:
        """Refuse what the guest cannot be told, before anything is changed.

        Args:
            wanted: Attributes of the machine to be.

        Raises:
            BadDescription: The text says what does not fit.
            Refused: Another context would give it another MAC address.
        """
        domain = self._domain
        ip, netmask = str(wanted["ip"] or domain.ip), str(wanted["netmask"])
        if ip:
            gateway = "" if wanted["gatewayOnLink"] else str(wanted["gateway"])
            uplink.check_address(ip, netmask, gateway, domain.path)
        context = wanted.get("context")
        if isinstance(context, Reference):
            try:
                found = await self._resolved(context)
            except EngineError:  # it comes with the same update
                return
            if isinstance(found, Handle):
                outline = await domain.call(found, Context, "outline")
                await domain.making.retelling.check(cast("Outline", outline))

    async def _resolved(self, reference: Reference) -> Value | Handle:
        live = self._domain.live
        return await live.process.resolver.resolve(live, reference)
