"""How a domain's guest is watched from its start on: until it has booted, while it runs, anew."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from components.domains.booting import Signs
from components.domains.console import written
from components.domains.liveness import GuestWatch, Looks, wanted
from components.domains.prober import Prober
from components.domains.reactions import Reactions
from components.domains.teller import Teller
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import Refused
from engine.core.records import Record

if TYPE_CHECKING:
    from components.domains.domain import Domain

AGAIN_S = 15.0
"""Seconds between two tries to reach a hypervisor that does not answer."""


class Watching:
    """Watches the guest of one domain as its description says.

    Attributes:
        late: The guest has not booted in time, and is waited for; so many bytes of its console are of
            the past.
    """

    def __init__(self, domain: Domain) -> None:
        """Take the domain, whose attributes are bound and whose console is known."""
        self._domain = domain
        self._task: asyncio.Task[object] | None = None
        self._waits: asyncio.Task[object] | None = None
        self.late: int | None = None
        self._ended = False
        self._trial: asyncio.Future[Record] | None = None
        console = Path(domain.consolePath)
        self._prober = Prober(
            uuid=domain.uuid, ip=domain.ip, console=console, quiet_s=domain.console_quiet,
            limit_s=domain.domain_liveness_delay, boot_s=domain.boot_limit_s,
        )  # fmt: skip
        self._signs = Signs(
            console=console, marker=domain.ready_marker, checks=domain.ready_checks,
            agent=domain.make_profile().agent_channel,
        )  # fmt: skip
        self._teller = Teller(domain)
        looks = Looks(
            wanted(domain.domain_liveness_methods), domain.domain_liveness_delay,
            domain.domain_liveness_factor, domain.connection_grace, domain.domain_liveness_check,
        )  # fmt: skip
        reactions = Reactions(
            domain.on_guest_shutdown, domain.on_guest_reboot, domain.on_guest_crash,
            domain.restart_limit, domain.restart_window,
        )  # fmt: skip
        self._watch = GuestWatch(
            name=domain.called, uuid=domain.uuid, looks=looks, reactions=reactions,
            prober=self._prober, guest=self,
        )  # fmt: skip

    async def run(self) -> None:
        """Watch until the guest has ended, and end the domain with it, unless it is stopping."""
        if self._ended:  # before it had begun
            return
        self._task = asyncio.current_task()
        record = await self._watch.run(await self._when_it_answers())
        if self._trial is not None and not self._trial.done():
            self._trial.set_result(record)
        elif not self._domain.stopping.asked:
            await self._domain.finish(record)

    async def tried(self, *, past: int = 0) -> None:
        """Wait until the guest has booted, where that is asked for; its end meanwhile ends no more.

        Args:
            past: As for `booted`.

        Raises:
            Refused: It has ended.
            TimedOut: It has not booted in time.
        """
        self._trial = asyncio.get_running_loop().create_future()
        booted = asyncio.ensure_future(self.booted(past=past))
        ended = self._trial
        ended.add_done_callback(lambda _: booted.cancel())
        try:
            await booted
        except asyncio.CancelledError:
            if not ended.done():
                booted.cancel()
                raise
            why = ended.result().description
            raise Refused(f"its guest has ended: {why}", code="SF-DOM-006") from None
        finally:
            self._trial = None

    def end(self) -> None:
        """Watch no more; what the guest does from now on is expected."""
        self._ended = True
        self._teller.end()
        for task in (self._task, self._waits):
            if task is not None:
                task.cancel()

    def begin_telling(self) -> None:
        """Have the guest's agent apply what it is told, once it answers, where that is asked for."""
        self._teller.begin()

    def hold(self, *, on: bool) -> None:
        """Expect the guest to answer nobody, or again to do so."""
        self._prober.awaited = on

    def trouble(self) -> str:
        """Say what is wrong, in constant time; empty when all is well or cannot be told."""
        return "" if self._ended else self._watch.trouble(asyncio.get_running_loop().time())

    async def booted(self, *, past: int = 0) -> None:
        """Wait until the guest has booted, where that is asked for.

        Args:
            past: So many bytes of its console are of the past, as they were there before the start.

        Raises:
            TimedOut: It has not in time.
            Refused: Its agent could not apply what it is told.
        """
        domain = self._domain
        if domain.start_mode == "booted":
            await self._wait_for_boot(await domain.hypervisor(), past, domain.boot_limit_s)

    def boots_late(self, *, past: int) -> None:
        """Have the machine ready once its guest has booted, however late.

        Args:
            past: As for `booted`.
        """
        self.late = past
        self._domain.spawn(self._ready_at_last(past))

    async def _ready_at_last(self, past: int) -> None:
        if self._ended:
            return
        self._waits = asyncio.current_task()
        if self._domain.start_mode == "booted":
            await self._wait_for_boot(await self._when_it_answers(), past, None)
        self.late = None
        self._domain.set_ready(True)

    async def _wait_for_boot(
        self, hypervisor: Hypervisor, past: int, limit_s: float | None
    ) -> None:
        self._signs.since(past)
        self._prober.awaited = True
        await self._signs.wait(hypervisor, self._prober, limit_s)
        self._prober.awaited = False
        await self._teller.done()

    async def _when_it_answers(self) -> Hypervisor:
        """Wait for the hypervisor: as long as nobody can tell, the guest counts as there."""
        while True:
            try:
                return await self._domain.hypervisor()
            except HypervisorError as error:
                if error.kind not in {"Unreachable", "Timeout"}:
                    raise
                self.say(f"the hypervisor does not answer yet: {error.message}")
                await asyncio.sleep(AGAIN_S)

    # -- for the watch

    async def restart(self) -> None:
        """Stop the guest if it runs, and start it again."""
        domain = self._domain
        domain.set_ready(False)
        hypervisor = await domain.hypervisor()
        if not await domain.stopping.before(hypervisor):
            return
        self._prober.begin()
        past = await domain.run_blocking(written, domain.consolePath)
        await domain.start_again(hypervisor)
        domain.publish("running")
        self._teller.begin()
        await self.booted(past=past)
        domain.set_ready(True)

    def rebooted(self) -> None:
        """Tell the guest again what does not outlast a boot."""
        self._teller.begin()

    async def dump(self) -> str:
        """Write the memory of the guest to a file of the host that stays; return its path."""
        domain = self._domain
        folder = domain.work_folder / "dumps"
        await domain.run_blocking(lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        path = folder / f"{domain.called}-{time.strftime('%Y%m%d-%H%M%S')}.core"
        with domain.step("dump", "writes the memory of its guest to a file"):
            await (await domain.hypervisor()).machines.dump(domain.uuid, str(path))
        return str(path)

    def seen(self, state: str, reason: str) -> None:
        """Take in the guest's run state."""
        self._domain.publish(state)
        self._domain.stateReason = reason

    def say(self, text: str) -> None:
        """Tell people of something."""
        self._domain.note(text, "warning")
