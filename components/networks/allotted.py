"""That a machine has an address of a pool: it is given back once the machine cannot use it any more."""

from __future__ import annotations

import logging
from typing import Self

from typing_extensions import override

from components.hypervisor.owner import is_ours
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import Busy, EngineError
from engine.runtime.calls import Calls
from engine.runtime.effects import Effect, Presence, Site
from engine.wire.codec import encode
from engine.wire.messages import Handle

log = logging.getLogger("sf.networks")


class AllottedAddress(Effect, frozen=True):
    """An address that a pool has given to a machine.

    Its undo waits for the guest: one that cannot be ended may go on using its address, long after its
    component is gone. A pool that cannot be told finds out by itself.

    Attributes:
        pool: Who gave it.
        owner: The machine.
        uri: Hypervisor of the machine.
        uuid: The machine's there.
    """

    pool: Handle
    owner: Handle
    ip: str
    uri: str
    uuid: str

    @override
    def label(self) -> str:
        return f"address {self.ip}"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS  # whether its pool still knows that is not the machine's fault

    @override
    async def make(self, at: Site) -> Self:
        return self

    @override
    async def undo(self, at: Site) -> None:
        facts = await (await at.service(HypervisorPool).get(self.uri)).fact(self.uuid)
        if facts is not None and facts.active and is_ours(facts, at.owner, exactly=True):
            raise Busy(f"{facts.name} is still running with it", code="SF-NET-010")
        try:
            calls = at.given(Calls)
            await calls.call(self.pool, "release", encode([self.owner]))
        except EngineError as error:
            log.debug("%s could not be given back: %s", self.ip, error)
