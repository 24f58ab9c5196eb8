"""An address from a pool: taken, written down, given back, or left with the guest that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.networks.allotted import AllottedAddress
from components.networks.probing import refuse_taken
from engine.core.faults import EngineError

if TYPE_CHECKING:
    from components.domains.domain import Domain


class Allotment:
    """What one domain has from its `ipPool`; nothing happens where it has none."""

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._probes = False

    async def take(self) -> None:
        """Have the pool say which address the machine has.

        Raises:
            Refused: There is none left, or the one that is given cannot be had.
        """
        domain = self._domain
        if domain.ip_pool.given:
            allotted = await domain.ip_pool.api.allocate(domain.handle, domain.ip)
            bound = domain.live.bound
            bound["ip"], bound["netmask"] = allotted.ip, allotted.netmask
            bound["gateway"] = domain.gateway or allotted.gateway
            self._probes = allotted.probe

    async def take_again(self) -> None:
        """Have it said again after a restart; a pool that does not answer is no reason to end."""
        try:
            await self.take()
        except EngineError as error:
            self._domain.note(f"the pool of its address does not answer: {error}", "warning")

    async def note(self) -> None:
        """Write down, before anything that could use it, that the address is to be given back."""
        domain, making = self._domain, self._domain.making
        if domain.ip_pool.given:
            if self._probes and making.uplink is not None:
                there = await domain.hypervisor(), making.uplink.kind, making.uplink.source
                await refuse_taken(domain, *there, domain.ip, making.uplink.mac)
            pool = await domain.ip_pool.handle()
            place = domain.uri, domain.uuid
            await making.make(AllottedAddress(pool, domain.handle, domain.ip, *place))

    async def give_back(self) -> None:
        """Tell the pool that the address is free, where nothing was made that could use it.

        If it cannot be told, it finds out by itself.
        """
        domain = self._domain
        made = any(isinstance(each.effect, AllottedAddress) for each in domain.live.effects)
        if domain.ip_pool.given and not made:
            try:
                await domain.ip_pool.api.release(domain.handle)
            except EngineError as error:
                domain.log.debug("the address could not be given back: %s", error)

    async def keep(self) -> None:
        """Have the pool leave the address with the guest, which outlives its component."""
        domain = self._domain
        if domain.ip_pool.given:
            try:
                await domain.ip_pool.api.keep(domain.handle)
            except EngineError as error:
                text = f"the pool does not know that {domain.ip} stays with its guest: {error}"
                domain.note(text, "warning")
