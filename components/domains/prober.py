"""Looking at a guest from outside, in the ways its description asks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from components.domains.methods import Method
from components.hypervisor.capabilities import Capability
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import BadDescription, EngineError
from engine.runtime.commands import run_command

GUEST_PING = '{"execute":"guest-ping"}'


def check_agent(
    methods: Sequence[Method], hypervisor: Hypervisor, *, channel: bool, where: str
) -> None:
    """Refuse to ask an agent where there is no channel to one.

    Raises:
        BadDescription: It is asked for.
    """
    if not any(method.way == "agent" for method in methods):
        return
    if not channel:
        raise BadDescription(
            "the agent is to be asked, but the guest is given no channel for one",
            code="SF-DOM-009", where=where, hint="say agentChannel true, or leave agent out",
        )  # fmt: skip
    if Capability.AGENT not in hypervisor.caps:
        raise BadDescription(
            f"the agent is to be asked, but {hypervisor.uri} has no channel to one",
            code="SF-DOM-009", where=where, hint="look at it by ping, console or tcp:PORT",
        )  # fmt: skip


class Prober:
    """Looks at one guest, and remembers what it has shown so far.

    A guest that is still booting does not count as lost. Until a sign of having booted is there,
    nothing counts, where such a sign is waited for; else a way counts once the guest has been found
    well by it, or the time to boot is over; the agent, which not every guest has, only once it has
    answered.

    Attributes:
        awaited: Whether a sign of having booted is being waited for.
    """

    def __init__(
        self, *, uuid: str, ip: str, console: Path, quiet_s: float, limit_s: float, boot_s: float
    ) -> None:
        """Take whom to look at.

        Args:
            uuid: The guest at its hypervisor.
            ip: Its address; asked of the hypervisor if empty.
            console: File its serial console is written to.
            quiet_s: Seconds the console may be silent.
            limit_s: Seconds one look may take.
            boot_s: Seconds the guest has to boot.
        """
        self._uuid = uuid
        self._ip = ip
        self._console = console
        self._quiet_s = quiet_s
        self._limit_s = max(1.0, limit_s)
        self._boot_s = boot_s
        self._good: set[Method] = set()
        self.awaited = False
        self._size = -1
        self._grown_s = self._since_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Take in that the guest begins to boot."""
        self._good.clear()
        self._size = -1
        self._grown_s = self._since_s = asyncio.get_running_loop().time()

    async def troubles(self, hypervisor: Hypervisor, methods: Sequence[Method]) -> list[str]:
        """Look in all these ways at once; return what counts against the guest."""
        if self.awaited:
            return []
        said = await asyncio.gather(*(self.look(hypervisor, method) for method in methods))
        booting = asyncio.get_running_loop().time() - self._since_s < self._boot_s
        counted = []
        for method, trouble in zip(methods, said, strict=True):
            spared = method not in self._good and (booting or method.way == "agent")
            if trouble and not spared:
                counted.append(trouble)
        return counted

    async def look(self, hypervisor: Hypervisor, method: Method) -> str:
        """Look in one way; return what is wrong, or nothing."""
        try:
            async with asyncio.timeout(self._limit_s + 1.0):
                trouble = await self._looked(hypervisor, method)
        except TimeoutError:
            trouble = f"{method}: no answer within {self._limit_s:g} s"
        except HypervisorError as error:
            trouble = f"{method}: {error.message}"
        except (EngineError, OSError) as error:
            trouble = f"{method}: {error}"
        if not trouble:
            self._good.add(method)
        return trouble

    async def _looked(self, hypervisor: Hypervisor, method: Method) -> str:
        match method.way:
            case "state":
                status = await hypervisor.status(self._uuid)
                return "" if status is not None and status.active else "state: it is not running"
            case "agent":
                await hypervisor.agent(self._uuid, GUEST_PING, limit_s=self._limit_s)
                return ""
            case "console":
                return self._console_trouble(asyncio.get_running_loop().time())
            case "ping":
                return await self._ping(await self.address(hypervisor))
            case "tcp":
                return await self._connect(await self.address(hypervisor), method.port)

    async def address(self, hypervisor: Hypervisor) -> str:
        """Return the guest's address, or nothing where it is not known."""
        if self._ip:
            return self._ip
        return next(iter(await hypervisor.addresses(self._uuid)), "")

    async def _ping(self, address: str) -> str:
        if not address:
            return "ping: its address is not known"
        wait = str(max(1, round(self._limit_s)))
        said = await run_command(
            ["ping", "-n", "-q", "-c", "1", "-W", wait, address], timeout_s=self._limit_s + 1.0
        )
        return "" if said.status == 0 else f"ping: {address} does not answer"

    async def _connect(self, address: str, port: int) -> str:
        if not address:
            return f"tcp:{port}: its address is not known"
        try:
            async with asyncio.timeout(self._limit_s):
                _, writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            return f"tcp:{port}: {address}: {str(error) or 'no answer'}"
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return ""

    def _console_trouble(self, now_s: float) -> str:
        """Say whether the console has been silent for too long."""
        try:
            size = self._console.stat().st_size
        except FileNotFoundError:
            return "console: there is none"
        if size != self._size:
            self._size, self._grown_s = size, now_s
        silent_s = now_s - self._grown_s
        return f"console: silent for {silent_s:.0f} s" if silent_s > self._quiet_s else ""
