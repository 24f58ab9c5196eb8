"""A shell that others share: it stays until those that still need it at their own end are done."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from msgspec import Struct
from typing_extensions import override

from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import exposed
from sfdl.values import Value

CLAIM_S = 10.0
"""Seconds a shell that is to end waits for the next script of those that hold it."""


class ShellOutput(Struct, frozen=True):
    """What a script left: exit status and both streams."""

    status: int
    stdout: bytes
    stderr: bytes


class OwnShell(Struct, frozen=True):
    """How to run a script like a shell does that is gone.

    Attributes:
        command: The shell and its arguments; nothing: scripts are not to be run at all.
    """

    command: tuple[str, ...] = ()
    folder: str = ""
    environment: tuple[tuple[str, str], ...] = ()


class Shared(Prim):
    """Base of shells. Siblings end at the same time: a shell waits for those that hold it."""

    reserved: ClassVar[dict[str, Value]] = {"sfTerminateTimeout": 660}

    def __init__(self) -> None:
        """Be held by nobody."""
        self._holders: set[str] = set()
        self._busy = 0
        self._changed = asyncio.Event()

    def own_shell(self) -> OwnShell:
        """Say how a script is run when this shell is gone."""
        return OwnShell()

    async def answer(self, script: str, timeout_s: float) -> ShellOutput:
        """Run a script and return what it left."""
        raise NotImplementedError

    @exposed()
    async def execute(self, script: str, timeout_s: float) -> ShellOutput:
        """Run a script and return what it left; a script that hangs takes the shell with it."""
        self._busy += 1
        try:
            return await self.answer(script, timeout_s)
        finally:
            self._busy -= 1
            self._changed.set()

    @exposed()
    async def hold(self, who: str) -> OwnShell:
        """Have the shell wait for somebody at its end; say how to do without it."""
        self._holders.add(who)
        return self.own_shell()

    @exposed()
    async def release(self, who: str) -> None:
        """Let the shell end without waiting for somebody any more."""
        self._holders.discard(who)
        self._changed.set()

    @override
    async def on_terminate(self, record: Record) -> None:
        while self._holders:
            self._changed.clear()
            try:
                async with asyncio.timeout(None if self._busy else CLAIM_S):
                    await self._changed.wait()
            except TimeoutError:
                names = ", ".join(sorted(self._holders))
                self.note(f"ends though {names} may still need it", "warning")
                return
