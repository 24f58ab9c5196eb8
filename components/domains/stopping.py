"""Stopping a guest: asked first, then let go by its emulator, then by force."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from components.domains.ends import End
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import is_ours
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import WrongState

if TYPE_CHECKING:
    from components.domains.domain import Domain

AGAIN_S = 15.0
"""Seconds after which a guest is asked again to shut down; it may have been booting."""


class Stopping:
    """Stops the guest of one domain, once.

    Attributes:
        asked: Whether it was asked to.
    """

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._one_at_a_time = asyncio.Lock()
        self.asked = False
        self._aside = False

    async def stop(self, hypervisor: Hypervisor, end: End) -> None:
        """Stop the guest or set it aside; done already is success, and how it was done stands.

        Args:
            hypervisor: Where it runs.
            end: How.
        """
        self.asked = True
        async with self._one_at_a_time:
            if self._aside or not await self._is_active(hypervisor):
                return
            if end.sets_aside and await self._set_aside(hypervisor, end):
                self._aside = True
                return
            if end is not End.DESTROY and await self._shut_down(hypervisor):
                return
            await self._destroy(hypervisor)

    async def _set_aside(self, hypervisor: Hypervisor, end: End) -> bool:
        """Save or suspend the guest, or leave it; say whether that could be done."""
        uuid = self._domain.uuid
        try:
            if end is End.SAVE:
                self._domain.progress(0.0, "saves its guest")
                await hypervisor.machines.save(uuid)
            elif end is End.SUSPEND:
                await hypervisor.suspend(uuid)
        except HypervisorError as error:
            text = f"the guest cannot be set aside ({end.value}), it is shut down: {error.message}"
            self._domain.note(text, "warning")
            return False
        return True

    async def before(self, hypervisor: Hypervisor) -> bool:
        """End the guest's instance so that it can be started again; not once it is to stop.

        Returns:
            Whether it may be started again.
        """
        async with self._one_at_a_time:
            if not self.asked and await self._is_active(hypervisor):
                await self._destroy(hypervisor)
            return not self.asked

    async def ask(self, hypervisor: Hypervisor) -> bool:
        """Ask the guest to stop, and wait; say whether it did in time."""
        async with self._one_at_a_time:
            return not await self._is_active(hypervisor) or await self._shut_down(hypervisor)

    async def pause_for(self, hypervisor: Hypervisor, end: End) -> None:
        """End the guest's instance so that it can be started again as it is defined now."""
        async with self._one_at_a_time:
            if self.asked:
                raise WrongState("it is ending", where=self._domain.path)
            if not await self._is_active(hypervisor):
                return
            if end is End.GRACEFUL and await self._shut_down(hypervisor):
                return
            await self._destroy(hypervisor)

    async def _destroy(self, hypervisor: Hypervisor) -> None:
        uuid = self._domain.uuid
        with contextlib.suppress(HypervisorError):
            await hypervisor.destroy(uuid, gentle=True)
        if await self._is_active(hypervisor):
            await hypervisor.destroy(uuid, gentle=False)

    async def _is_active(self, hypervisor: Hypervisor) -> bool:
        facts = await hypervisor.fact(self._domain.uuid)
        owner = self._domain.live.owner
        return facts is not None and facts.active and is_ours(facts, owner, exactly=True)

    async def _shut_down(self, hypervisor: Hypervisor) -> bool:
        """Ask the guest to stop, again every few seconds; say whether it did in time."""
        domain = self._domain
        loop = asyncio.get_running_loop()
        until = loop.time() + domain.stop_timeout
        ask_at = loop.time()
        domain.progress(0.0, "waits for its guest to shut down")
        with contextlib.suppress(HypervisorError):  # one that is suspended hears nothing
            await hypervisor.resume(domain.uuid)
        while loop.time() < until:
            if loop.time() >= ask_at:
                ask_at = loop.time() + AGAIN_S
                try:
                    await hypervisor.shutdown(domain.uuid)
                except HypervisorError as error:
                    text = f"the guest cannot be asked to shut down: {error.message}"
                    domain.note(text, "warning")
                    return False
            if not await self._is_active(hypervisor):
                return True
            await asyncio.sleep(0.1)
        domain.note(f"the guest did not shut down within {domain.stop_timeout:g} s", "warning")
        return False
