"""When has a guest booted? The first sign counts: its agent, its console, or what was asked for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

from components.domains.console import ConsoleTail
from components.domains.methods import Method
from components.domains.prober import Prober
from components.hypervisor.capabilities import Capability
from components.hypervisor.protocol import Hypervisor
from engine.core.faults import Refused, TimedOut
from engine.prim import Prim

CONSOLE_S, CHECKS_S = 0.1, 1.0
"""Seconds between two looks at the console, and between two looks of all other kinds."""
AGENT, PING = Method("agent"), Method("ping")


def check_kernel(prim: Prim) -> None:
    """Refuse a kernel or RAM disk that is not there; one that is LAZY is known only at the start.

    Raises:
        Refused: The text names the file.
    """
    for name in ("kernel", "ramdisk"):
        path = prim.live.bound.get(name)
        if isinstance(path, str) and path and not Path(path).expanduser().is_file():
            raise Refused(
                f"there is no file {path} on host {socket.gethostname()}", code="SF-DOM-004",
                where=prim.path, hint="kernel and ramdisk are paths on the host the machine runs on",
            )  # fmt: skip
    if prim.live.bound.get("kernel") == "" and prim.live.value("extra"):  # as an image said at last
        prim.note("extra is not used: it boots from its disk, not a kernel of the host", "warning")


class Signs:
    """What tells that a guest has booted."""

    def __init__(
        self, *, console: Path, marker: str, checks: Sequence[Method], agent: bool
    ) -> None:
        """Take the signs.

        Args:
            console: File the serial console is written to.
            marker: What it shows once booted; empty: nothing.
            checks: All of these being well is a sign, too.
            agent: Whether the guest may have an agent; its answer is a sign.
        """
        self._console = console
        self._marker = marker
        self._agent = agent
        self._checks = tuple(checks)
        self._tail = ConsoleTail(console)

    def since(self, past: int) -> None:
        """Take in that the guest boots anew: the first bytes of its console are of the past."""
        self._tail = ConsoleTail(self._console, past=past)

    async def wait(self, hypervisor: Hypervisor, prober: Prober, limit_s: float | None) -> None:
        """Wait for the first sign, for so many seconds or as long as it takes.

        Raises:
            TimedOut: There was none within the limit; the text has the end of the console.
        """
        works = [self._shown()] if self._marker else []
        if self._agent and Capability.AGENT in hypervisor.caps:
            works.append(self._well(hypervisor, prober, (AGENT,)))
        if self._checks or not works:
            works.append(self._well(hypervisor, prober, self._checks or (PING,)))
        signs = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(
                signs, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for sign in signs:
                sign.cancel()
            await asyncio.gather(*signs, return_exceptions=True)
        for sign in done:
            sign.result()
        if not done:
            raise TimedOut(
                f"{self._wanted()} within {limit_s or 0:g} s; "
                f"the console ends: {await asyncio.to_thread(self._tail.last)}",
                code="SF-DOM-006",
            )  # fmt: skip

    async def _shown(self) -> None:
        shown = False
        while not shown:
            await asyncio.sleep(CONSOLE_S)
            shown = await asyncio.to_thread(self._tail.shows, self._marker)

    async def _well(
        self, hypervisor: Hypervisor, prober: Prober, methods: Sequence[Method]
    ) -> None:
        troubles = ["not looked at yet"]
        while any(troubles):
            await asyncio.sleep(CHECKS_S)
            troubles = [await prober.look(hypervisor, method) for method in methods]

    def _wanted(self) -> str:
        if self._marker:
            return f"no {self._marker} on the console"
        return f"no answer to {', '.join(map(str, self._checks or (PING,)))}"
