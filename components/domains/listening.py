"""What the context of a machine tells it while it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.context import Outline
from components.domains.storing import Storing
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import Busy, Ended, WrongState
from engine.runtime.attributes import exposed

TURN_S = 40.0
"""Seconds an update waits for something that was begun just before it; less than `sfDeployTimeout`."""

if TYPE_CHECKING:
    from components.domains.acts import Acts
    from components.domains.making import Making


class Listening(Storing):
    """A machine whose guest may be told something else.

    Attributes:
        acts: What it is made to do, one thing at a time.
        making: What it makes on its host.
    """

    acts: Acts
    making: Making

    @exposed()
    async def hear_context(self) -> None:
        """Take in that what the guest is told may have changed; it counts at its next start anyway.

        Raises:
            Refused: It was to be told at once, and that could not be.
        """

        async def work(_hypervisor: Hypervisor) -> None:
            await self.updates.settle()

        try:
            text = "takes what its guest is to be told"
            await self.acts.run("update", text, work, wait_s=TURN_S)
        except Busy as error:
            if await self.updates.replaces():
                raise
            self.note(f"what its guest is told may have changed: {error}", "warning")
        except (WrongState, Ended) as error:
            self.log.debug("it is not to be changed any more: %s", error)

    @exposed()
    async def hears_of_context(self, now: bool) -> str:  # noqa: FBT001 - called from afar
        """Say when a changed context would reach the guest; now: it is to be at once."""
        return self.updates.hears_of_context(now=now)

    @exposed()
    async def check_context(self, outline: Outline) -> None:
        """Refuse what the context is to be where the guest cannot be told so.

        Raises:
            BadDescription: The text says what is missing or in the way.
            Refused: Its address would be another one.
        """
        await self.making.retelling.check(outline)
