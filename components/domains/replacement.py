"""Other volumes for a machine: made beside its own, which stay if it does not come up on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.context.effects import InjectedFiles
from components.domains.console import written
from components.domains.ends import End
from components.hypervisor.errors import HypervisorError
from engine.core.faults import Refused, TimedOut, fault_of
from engine.core.updates import AS_BEFORE

if TYPE_CHECKING:
    from components.domains.domain import Domain


class Replacement:
    """Replaces the volumes of one domain, once."""

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._mode = domain.making.retelling.mode or "none"
        self._past = 0

    async def carry_out(self, *, running: bool) -> None:
        """Do it; the old volumes go, or are kept as described, once the machine runs on the new ones.

        Args:
            running: It has an instance, which is shut down, and started on the new volumes.

        Raises:
            Refused: It did not work; the machine is on its old volumes, and runs if it did.
        """
        domain = self._domain
        api = domain.storage_backend.api
        try:
            with domain.step("storage", "makes other volumes beside its own"):
                await api.begin_replacement()
        except Exception as error:
            raise self._as_before(error) from error
        try:
            if running:
                await self._stop(End.GRACEFUL)
            await self._switch(new=True)
            if running:
                await self._start()
        except Exception as error:
            await self._back(running=running)
            raise self._as_before(error) from error
        await self._forget_files(await self._root())
        await api.end_replacement(True)
        domain.emit("replaced", what="volumes")

    def _as_before(self, error: Exception) -> Refused:
        domain = self._domain
        fault = fault_of(error)
        domain.last_error = f"its volumes could not be replaced: {fault.message}"
        domain.note(domain.last_error, "error")
        return Refused(
            f"its volumes could not be replaced, and it is on those it had: {fault.message}",
            code=AS_BEFORE, where=domain.path, hint=fault.hint,
        )  # fmt: skip

    async def _stop(self, end: End) -> None:
        domain = self._domain
        domain.watch_no_more()
        domain.set_ready(False)
        await domain.stopping.pause_for(await domain.hypervisor(), end)

    async def _switch(self, *, new: bool) -> None:
        """Have the machine, whose guest is off, on the new volumes or the old ones."""
        domain, making = self._domain, self._domain.making
        await domain.storage_backend.api.use_replacement(new)
        await making.read_context()
        mode = making.outline.mode if new else self._mode
        disks = await domain.storage_backend.api.disks()
        await making.tell(await making.told(), mode, disks)
        await making.rewrite()

    async def _start(self) -> None:
        domain = self._domain
        await self._switch_on()
        with domain.step("boot", "waits until its guest has booted"):
            await domain.begin_watch().tried(past=self._past)
        domain.set_ready(True)

    async def _switch_on(self) -> None:
        domain = self._domain
        self._past = await domain.run_blocking(written, domain.consolePath)
        await domain.start_again(await domain.hypervisor())
        domain.publish("running")

    async def _back(self, *, running: bool) -> None:
        """Go back to the old volumes, and have the new ones gone.

        Raises:
            EngineError: The guest does not start on them any more, or ends before it has booted: the
                old ones count, and all stay.
        """
        api = self._domain.storage_backend.api
        try:
            if running:
                await self._stop(End.DESTROY)
            await self._switch(new=False)
            if running:
                await self._switch_on()
                await self._wait_patiently()
        except Exception:
            await api.use_replacement(False)
            await api.retain()
            raise
        await self._forget_files(await self._root())
        await api.end_replacement(False)

    async def _wait_patiently(self) -> None:
        """Wait for the guest to boot on what it has always had; if it takes longer, it is ready then."""
        domain = self._domain
        watching = domain.begin_watch()
        try:
            await watching.tried(past=self._past)
            domain.set_ready(True)
        except (TimedOut, HypervisorError) as error:
            domain.note(f"back on its old volumes it has not booted yet: {error}", "warning")
            watching.boots_late(past=self._past)

    async def _root(self) -> str:
        """Return the root volume it is on."""
        disks = await self._domain.storage_backend.api.disks()
        return next((disk.path for disk in disks if disk.role == "root"), "")

    async def _forget_files(self, root: str) -> None:
        """Take in that what was written into a root volume goes with that, but for the one it is on."""
        for made in list(self._domain.live.effects):
            if isinstance(made.effect, InjectedFiles) and made.effect.volume != root:
                await self._domain.forget(made.effect)
