"""Telling a guest that runs, through its agent: once for each boot, and what is done once, once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from components.context.by_agent import LOOK, SHELL, Step, applied, steps_for
from components.domains import agent
from components.domains.prober import GUEST_PING
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import EngineError, Refused, TimedOut, fault_of

if TYPE_CHECKING:
    from components.domains.domain import Domain

STEP_S = 120.0
"""Seconds a step may take that is not a command of the description."""
AGAIN_S = 1.0
"""Seconds between two questions to an agent that does not answer yet."""
MOST_SAID = 500
"""Characters of what a step has written that are told if it fails, of its end."""


class Teller:
    """Has the guest of one domain told by its agent, if its context says so."""

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._task: asyncio.Task[object] | None = None
        self._outcome: asyncio.Future[EngineError | None] | None = None

    def begin(self) -> None:
        """Take in that the guest begins to boot, or is taken up again; it is told once it answers."""
        self.end()
        domain = self._domain
        if domain.making.outline.mode != "agent":
            return
        domain.contextTold = "waiting"
        self._outcome = asyncio.get_running_loop().create_future()
        domain.spawn(self._run(self._outcome))

    def end(self) -> None:
        """Tell it no more."""
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(None)
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def done(self) -> None:
        """Wait until the guest has been told, where it is.

        Raises:
            TimedOut: Its agent does not answer, or is not done in time.
            Refused: A step failed; the text has which, and the guest's words.
        """
        outcome, failure = None, None
        while outcome is not self._outcome:  # another one: it boots anew meanwhile
            outcome = self._outcome
            failure = await outcome if outcome is not None else None
        if failure is not None:
            raise failure

    async def _run(self, outcome: asyncio.Future[EngineError | None]) -> None:
        if outcome.done():  # before it had begun
            return
        self._task = asyncio.current_task()
        domain = self._domain
        try:
            await self._tell()
        except (EngineError, HypervisorError) as error:
            failure = _failure(error, domain.path)
            domain.contextTold = failure.fault.message
            domain.note(failure.fault.message, "warning")
            outcome.set_result(failure)
        else:
            domain.contextTold = "told"
            outcome.set_result(None)
        finally:
            if not outcome.done():  # it ends
                outcome.set_result(None)

    async def _tell(self) -> None:
        domain = self._domain
        hypervisor = await self._when_it_answers()
        told = await domain.making.told()
        there = applied(await self._do(hypervisor, LOOK))
        steps = steps_for(told, there)
        if not steps:
            return
        with domain.step("context", "has its guest's agent apply what the guest is told"):
            for step in steps:
                await self._do(hypervisor, step)

    async def _when_it_answers(self) -> Hypervisor:
        """Wait for the agent; the time in which the guest's processors are held does not count."""
        domain, waited_s, why = self._domain, 0.0, "not asked yet"
        loop = asyncio.get_running_loop()
        while waited_s < domain.boot_limit_s:
            asked_s = loop.time()
            try:
                hypervisor = await domain.hypervisor()
                await hypervisor.agent(domain.uuid, GUEST_PING, limit_s=domain.agent_timeout)
            except HypervisorError as error:
                why = error.message
                await asyncio.sleep(AGAIN_S)
            else:
                return hypervisor
            if not domain.acts.wants_pause:
                waited_s += loop.time() - asked_s
        raise TimedOut(
            f"the guest's agent, which is to apply what the guest is told, has not answered within "
            f"{domain.boot_limit_s:g} s: {why}",
            code="SF-CTX-004", where=domain.path,
            hint="install qemu-guest-agent in the image, or choose another mode for its Context",
        )  # fmt: skip

    async def _do(self, hypervisor: Hypervisor, step: Step) -> str:
        """Carry a step out; return what it has written."""
        domain = self._domain
        limit_s = domain.making.outline.command_s if step.patient else STEP_S
        try:
            found = await agent.run(
                hypervisor, domain.uuid, SHELL, limit_s=limit_s, answer_s=domain.agent_timeout,
                input_=step.script,
            )  # fmt: skip
        except (EngineError, HypervisorError) as error:
            raise _failure(error, domain.path, step.name) from error
        if found["status"] != 0:
            said = f"{found['out']}{found['err']}".strip()[-MOST_SAID:] or "it has written nothing"
            raise Refused(
                f"{_what(step.name)} ended with status {found['status']}: {said}",
                code="SF-CTX-004", where=domain.path,
            )  # fmt: skip
        return str(found["out"])


def _what(name: str) -> str:
    return f"the guest's agent could not apply what the guest is told: {name}"


def _failure(error: EngineError | HypervisorError, where: str, name: str = "") -> EngineError:
    """Return an error of a step as one of the context; one that is told already as it is."""
    if isinstance(error, EngineError) and not name:
        return error
    fault = fault_of(error)
    kind = TimedOut if isinstance(error, TimedOut) else Refused
    return kind(
        f"{_what(name)}: {fault.message}" if name else fault.message,
        code="SF-CTX-004", where=where, hint=fault.hint,
    )  # fmt: skip
