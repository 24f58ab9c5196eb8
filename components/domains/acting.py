"""The actions of a machine, for users and other components: each by its name, with a role."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from components.domains import agent, keys
from components.domains.described import Conducted
from components.domains.effects import Screen
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import exposed
from engine.runtime.kinds import BadValueError
from engine.wire.messages import Change, as_tree
from sfdl.values import Vector

if TYPE_CHECKING:
    from components.domains.acts import Acts
    from components.domains.making import Making
    from components.domains.stopping import Stopping


class Acting(Conducted):
    """A machine that can be told to do things; one at a time.

    A second one is refused as `Busy`, or waits for its turn for as many seconds as `wait` says, after
    those that came before it.

    Attributes:
        acts: Carries them out.
        making: Makes what the machine is made of.
        stopping: Ends its guest.
    """

    acts: Acts
    making: Making
    stopping: Stopping
    uri: str

    @property
    @abstractmethod
    def asks_agent(self) -> bool:
        """Say whether its guest has a channel for an agent."""

    # -- on, off and in between

    @exposed(role="operator")
    async def suspend(self, *, wait: float = 0.0) -> None:
        """Hold the guest's processors; it stays in memory. One suspended already stays so."""

        async def work(hypervisor: Hypervisor) -> None:
            await self.acts.hold(hypervisor, on=True)

        await self.acts.run("suspend", "suspends its guest", work, wait_s=wait)

    @exposed(role="operator")
    async def resume(self, *, wait: float = 0.0) -> None:
        """Let a suspended guest go on. One that runs goes on running."""

        async def work(hypervisor: Hypervisor) -> None:
            await self.acts.hold(hypervisor, on=False)

        await self.acts.run("resume", "lets its guest go on", work, wait_s=wait)

    @exposed(role="operator")
    async def start(self, *, wait: float = 0.0) -> None:
        """Start a guest that is off, from what was saved of it, if anything. One that runs runs on."""
        await self.acts.run("start", "starts its guest", self.acts.switch_on, wait_s=wait)

    @exposed(role="operator")
    async def shutdown(self, *, wait: float = 0.0) -> None:
        """Ask the guest to shut down, for `stopTimeout`; the machine stays, to be started again."""

        async def work(hypervisor: Hypervisor) -> None:
            await self.acts.switch_off(
                hypervisor, "shutdown", lambda: self.stopping.ask(hypervisor), "its guest is off"
            )

        await self.acts.run("shutdown", "waits for its guest to shut down", work, wait_s=wait)

    @exposed(role="operator")
    async def destroy(self, *, wait: float = 0.0) -> None:
        """Switch the guest off at once; the machine stays, to be started again."""

        async def work(hypervisor: Hypervisor) -> None:
            async def off() -> bool:
                return await self.stopping.before(hypervisor)

            await self.acts.switch_off(hypervisor, "destroy", off, "its guest is off")

        await self.acts.run("destroy", "switches its guest off", work, wait_s=wait)

    @exposed(role="operator")
    async def save(self, *, wait: float = 0.0) -> None:
        """Write the guest's memory to the host's disk and switch it off; `start` goes on from there."""

        async def work(hypervisor: Hypervisor) -> None:
            async def saved() -> bool:
                await hypervisor.machines.save(self.uuid)
                return True

            await self.acts.switch_off(hypervisor, "save", saved, "its guest is saved")

        await self.acts.run("save", "saves its guest", work, wait_s=wait)

    @exposed(role="operator")
    async def restore(self, *, wait: float = 0.0) -> None:
        """Let a saved guest go on; unlike `start`, it is refused if nothing is saved."""

        async def work(hypervisor: Hypervisor) -> None:
            if not await hypervisor.machines.is_saved(self.uuid):
                raise Refused(
                    "nothing of its guest is saved", code="SF-DOM-016", where=self.path,
                    hint="start boots it anew",
                )  # fmt: skip
            await self.acts.switch_on(hypervisor)

        await self.acts.run("restore", "lets its saved guest go on", work, wait_s=wait)

    @exposed(role="operator")
    async def reboot(self, *, wait: float = 0.0) -> None:
        """Ask the guest to reboot, without waiting for it."""

        async def work(hypervisor: Hypervisor) -> None:
            await self.acts.running(hypervisor, "reboot")
            await hypervisor.machines.reboot(self.uuid)

        await self.acts.run("reboot", "asks its guest to reboot", work, wait_s=wait)

    @exposed(role="operator")
    async def reset(self, *, wait: float = 0.0) -> None:
        """Press the guest's reset button."""

        async def work(hypervisor: Hypervisor) -> None:
            await self.acts.running(hypervisor, "reset")
            await hypervisor.machines.reset(self.uuid)

        await self.acts.run("reset", "resets its guest", work, wait_s=wait)

    # -- what it is called by

    @exposed(role="operator")
    async def set_label(self, label: str, on: bool = True) -> None:  # noqa: FBT001, FBT002 - an argument of a command
        """Give it a label, or take it away with `false`; what it has, or has not, is left so."""
        if not label or label != label.strip():
            raise BadDescription(
                f"a label must be a word (got {label!r})", code="SF-ATTR-001", where=self.path
            )
        others = tuple(each for each in self.labels if each != label)
        now = Vector((*others, label) if on else others)
        change = Change("labels", "replace", as_tree(now))
        await self.live.process.changer.change(self.live, (change,))

    # -- its screen, keyboard and agent

    @exposed(role="operator")
    async def screenshot(self, *, wait: float = 0.0) -> str:
        """Take a picture of its screen; return the file on its host, which the next one replaces."""

        async def work(hypervisor: Hypervisor) -> str:
            await self.acts.running(hypervisor, "screenshot")
            picture = await hypervisor.machines.screenshot(self.uuid)
            screen = Screen(str(self.making.screen_file(picture.suffix)))
            if not any(made.effect == screen for made in self.live.effects):
                await self.make(screen)
            await self.run_blocking(screen.write, picture.data)
            return screen.path

        return await self.acts.run("screenshot", "takes a picture of its screen", work, wait_s=wait)

    @exposed(role="operator")
    async def send_keys(self, chords: str, *, wait: float = 0.0) -> None:
        """Press keys: chords with blanks between, each of keys joined by `-`, as `ctrl-alt-delete`."""
        try:
            codes = keys.read(chords)
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", where=self.path) from error

        async def work(hypervisor: Hypervisor) -> None:
            await self.acts.running(hypervisor, "sendKeys")
            for chord in codes:
                await hypervisor.machines.keys(self.uuid, chord)

        await self.acts.run("sendKeys", "presses keys of its guest", work, wait_s=wait)

    @exposed(role="operator")
    async def exec(
        self, command: str, limit_s: float = 60.0, *, wait: float = 0.0
    ) -> dict[str, int | str]:  # fmt: skip
        """Have its agent run a command line, for so many seconds; return status, out and err."""
        if not self.asks_agent:
            raise Refused(
                "its guest has no channel for an agent", code="SF-DOM-009", where=self.path,
                hint="say agentChannel true; Xen has none",
            )  # fmt: skip

        async def work(hypervisor: Hypervisor) -> dict[str, int | str]:
            await self.acts.running(hypervisor, "exec")
            return await agent.run(
                hypervisor, self.uuid, command, limit_s=limit_s, answer_s=self.agent_timeout
            )

        return await self.acts.run("exec", "has its agent run a command", work, wait_s=wait)
