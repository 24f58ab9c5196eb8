"""What users have a machine do: one thing at a time, told while it lasts, over when the machine ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from components.domains.console import written
from components.domains.effects import RunningDomain
from components.domains.liveness import BAD_PAUSES
from components.domains.showing import show
from components.domains.turns import Turns
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import DomainState, Hypervisor
from engine.core.faults import (
    Ended,
    EngineError,
    Refused,
    TimedOut,
    Unreachable,
    WrongState,
)
from engine.core.lifecycle import State

if TYPE_CHECKING:
    from components.domains.domain import Domain

T = TypeVar("T")


def _raise(error: HypervisorError, where: str) -> NoReturn:
    """Raise what a hypervisor refused as a fault of ours."""
    kinds: dict[str, type[EngineError]] = {"Unreachable": Unreachable, "Timeout": TimedOut}
    kind = kinds.get(error.kind, Refused)
    raise kind(error.message, code="SF-DOM-015", where=where, hint=error.hint) from error


class Acts:
    """The acts of one machine.

    Attributes:
        off: It was switched off by an act, and nobody is to miss its guest.
        paused: An act has suspended it, or resumed it; nothing: it is as described.
    """

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._turns = Turns(lambda: domain.path)
        self._now: asyncio.Task[object] | None = None
        self.off = False
        self.paused: bool | None = None

    @property
    def wants_pause(self) -> bool:
        """Say whether its processors are to be held."""
        return self._domain.start_mode == "created" if self.paused is None else self.paused

    # -- one at a time

    @property
    def doing(self) -> str:
        """Return the name of the act that is under way; empty: none."""
        return self._turns.name

    def refuse_second(self) -> None:
        """Refuse while something is under way, or waits for that.

        Raises:
            Busy: Something is; the text says what, and since when.
        """
        self._turns.refuse_second()

    async def run(
        self, name: str, text: str, work: Callable[[Hypervisor], Awaitable[T]], *,
        wait_s: float = 0.0,
    ) -> T:  # fmt: skip
        """Carry an act out.

        Args:
            name: Its name, also in `timings`.
            text: What the machine does meanwhile, for people.
            work: Does it.
            wait_s: Most seconds it waits for its turn; 0: it is refused if another one is under way.

        Raises:
            Busy: Another one is under way.
            WrongState: The machine has not started, or is ending.
            Ended: It ended in the middle.
            EngineError: As it failed.
        """
        domain = self._domain
        self._refuse_unless_started(name)
        await self._turns.take(name, wait_s, self._tell_waiting)
        try:
            self._refuse_unless_started(name)
            task = asyncio.create_task(self._do(name, text, work), name=f"{domain.path} {name}")
            self._now = task
            return await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and own.cancelling():
                raise
            raise Ended(f"it ended in the middle of {name}", where=domain.path) from None
        finally:
            self._now = None
            self._turns.give_back()

    def _tell_waiting(self, text: str) -> None:
        self._domain.live.process.operations.report(0.0, text)

    def _refuse_unless_started(self, name: str) -> None:
        domain = self._domain
        if domain.live.state is not State.STARTED or domain.stopping.asked:
            state = "ending" if domain.stopping.asked else domain.live.state.value
            raise WrongState(f"it is {state}, so it cannot {name}", where=domain.path)

    async def _do(self, name: str, text: str, work: Callable[[Hypervisor], Awaitable[T]]) -> T:
        domain = self._domain
        domain.begin_run()
        try:
            with domain.step(name, text):
                domain.progress(0.0, text)
                return await work(await domain.hypervisor())
        except HypervisorError as error:
            _raise(error, domain.path)

    async def end(self) -> None:
        """Stop what is under way, and what waits for that: the machine ends."""
        self._turns.end()
        if self._now is not None:
            self._now.cancel()
            await asyncio.wait({self._now})

    # -- on and off

    async def state(self, hypervisor: Hypervisor) -> DomainState | None:
        """Return the run state of the guest; nothing if it is off."""
        status = await hypervisor.status(self._domain.uuid)
        return status.state if status is not None and status.active else None

    async def running(self, hypervisor: Hypervisor, name: str) -> DomainState:
        """Return the run state of a guest that is to be on.

        Raises:
            WrongState: It is off.
        """
        state = await self.state(hypervisor)
        if state is None:
            raise WrongState(
                f"its guest is off, so it cannot {name}", where=self._domain.path,
                hint="start it first",
            )  # fmt: skip
        return state

    async def switch_off(
        self, hypervisor: Hypervisor, name: str, how: Callable[[], Awaitable[bool]], said: str
    ) -> None:
        """Have the guest end by wish: the machine stays, to be started again.

        Args:
            hypervisor: Where it runs.
            name: Of the act.
            how: Ends it; says whether that was done.
            said: What the machine says of itself afterwards.

        Raises:
            Refused: Nothing would be left of the machine.
            TimedOut: The guest goes on.
        """
        domain = self._domain
        if not domain.persistent:
            raise Refused(
                f"{name} would leave nothing of it, as persistent is false", code="SF-DOM-010",
                where=domain.path, hint="end the component, or say persistent true",
            )  # fmt: skip
        if await self.state(hypervisor) is None:
            return
        domain.watch_no_more()
        domain.set_ready(False)
        ended = False
        try:
            ended = await how()
        finally:
            if ended:
                await self._is_off(said)
            else:  # it goes on
                domain.begin_watch()
                domain.set_ready(not self.wants_pause)
        if not ended:
            raise TimedOut(
                f"the guest did not shut down within {domain.stop_timeout:g} s; it goes on",
                code="SF-DOM-022", where=domain.path, hint="destroy ends it at once",
            )  # fmt: skip

    async def _is_off(self, said: str) -> None:
        domain = self._domain
        self.off, self.paused = True, None
        domain.updates.stopped()
        for made in list(domain.live.effects):
            if isinstance(made.effect, RunningDomain):
                await domain.forget(made.effect)
        domain.publish("shutoff")
        domain.rest(said)
        await show(domain)

    async def switch_on(self, hypervisor: Hypervisor) -> None:
        """Start the guest again, from what is saved of it if there is such a thing."""
        domain = self._domain
        state = await self.state(hypervisor)
        if state is DomainState.PAUSED:
            raise WrongState("its guest is suspended, not off", where=domain.path, hint="resume it")
        if state is not None:
            return
        saved = await hypervisor.machines.is_saved(domain.uuid)
        past = await domain.run_blocking(written, domain.consolePath)
        if not saved:  # what it has may have changed while it was off
            await domain.making.rewrite()
        try:
            await domain.making.start()
        except BaseException:
            await self._undo_start()
            raise
        self.off, self.paused = False, False
        if domain.start_mode == "created":
            await hypervisor.resume(domain.uuid)
        domain.updates.started()
        await domain.updates.tune(hypervisor)
        domain.publish("running")
        await show(domain, began=True)
        watching = domain.begin_watch()
        try:
            if not saved:
                await watching.booted(past=past)
        except TimedOut:
            watching.boots_late(past=past)
            raise
        domain.set_ready(True)

    async def _undo_start(self) -> None:
        domain = self._domain
        for made in [one for one in domain.live.effects if isinstance(one.effect, RunningDomain)]:
            await domain.unmake(made.effect)

    # -- held

    async def adopted(self) -> None:
        """Take in, after a restart of the daemon, that the guest's processors are held by wish."""
        domain = self._domain
        if domain.start_mode == "created":
            return
        try:
            status = await (await domain.hypervisor()).status(domain.uuid)
        except HypervisorError as error:
            domain.log.debug("its hypervisor cannot be asked now: %s", error)
            return
        if status is not None and status.state is DomainState.PAUSED:
            self.paused = status.reason not in BAD_PAUSES or None

    async def hold(self, hypervisor: Hypervisor, *, on: bool) -> None:
        """Hold the guest's processors, or let them go on; done already is success."""
        domain = self._domain
        await self.running(hypervisor, "suspend" if on else "resume")
        if on:
            self.paused = True
            domain.hold_watch(on=True)
            domain.set_ready(False)
            await hypervisor.suspend(domain.uuid)
        else:
            await hypervisor.resume(domain.uuid)
            self.paused = False
            domain.hold_watch(on=False)
            domain.set_ready(True)
        domain.publish("paused" if on else "running")
